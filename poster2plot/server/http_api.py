"""The HTTP API: one poster in, its plots out, as routes for any Starlette application."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import CancelledError
from contextlib import aclosing, asynccontextmanager
from dataclasses import fields
from functools import partial
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from poster2plot.errors import (
    BusyError,
    CheckpointError,
    DamagedImageError,
    ImageTooLargeError,
    InputError,
    InvalidTitleError,
    Poster2PlotError,
    PosterNotFoundError,
    PosterServiceError,
    QueueFullError,
    RateLimitError,
    SettingsError,
    UnsupportedImageError,
)
from poster2plot.images.limits import MAX_BYTES
from poster2plot.imdb.finder import PosterFinder
from poster2plot.imdb.ids import looks_like_title
from poster2plot.inputs import LoadedPoster
from poster2plot.pipeline import Candidate, PlotRequest
from poster2plot.records import plot_record
from poster2plot.server import metrics as prometheus
from poster2plot.server.health import model_writes
from poster2plot.server.service import PlotService
from poster2plot.server.visitor import Visitor
from poster2plot.settings import GenerationSettings

_STATUS = {
    SettingsError: 400,
    InputError: 400,
    InvalidTitleError: 400,
    PosterNotFoundError: 404,
    ImageTooLargeError: 413,
    UnsupportedImageError: 415,
    DamagedImageError: 422,
    RateLimitError: 429,
    PosterServiceError: 502,
    CheckpointError: 503,
    QueueFullError: 503,
}
_DEFAULTS = GenerationSettings()
_SETTINGS = {field.name for field in fields(GenerationSettings)}
_FORM_BYTES = 64 * 1024  # of a request beside its picture
_BODY_BYTES = MAX_BYTES + _FORM_BYTES
FORM_SECONDS = 60  # for a request to arrive

logger = logging.getLogger(__name__)


def routes(service: Callable[[], PlotService], finder: Callable[[], PosterFinder]) -> list[Route]:
    """The API of a service and a finder, which are called for with each request.

    - `POST /api/plot`: a form with an `image`, and its `title` if that is known, or with an IMDb id
      or URL as `title`, and with generation settings. It answers the JSON object of the command
      line's `--json`, or `{"error": …}` with a status of 400 or above.
    - `GET /api/health`: 200 when the model writes, else 503.
    - `GET /metrics`: for Prometheus.
    """

    async def plot(request: Request) -> Response:
        try:
            return JSONResponse(await _plot(request, await run_in_threadpool(service), finder))
        except Poster2PlotError as error:
            headers = {}
            if isinstance(error, BusyError):
                headers["Retry-After"] = str(error.retry_after)
            return JSONResponse({"error": str(error)}, _STATUS[type(error)], headers)
        except TimeoutError:
            return JSONResponse({"error": "The request took too long to arrive."}, 408)
        except CancelledError:
            return Response(status_code=499)  # as nginx says it: the client is gone
        except Exception as error:
            # Only its kind: a message may quote what the visitor sent.
            logger.error("a plot failed: %s", type(error).__name__)
            sentence = "The plot could not be written; try again later."
            return JSONResponse({"error": sentence}, 500)

    async def health(_: Request) -> Response:
        try:
            here = await run_in_threadpool(service)
        except CheckpointError as error:
            return JSONResponse({"error": str(error)}, 503)
        if not await run_in_threadpool(model_writes, here.p2p):
            return JSONResponse({"error": "The model does not write."}, 503)
        p2p = here.p2p
        return JSONResponse(
            {
                "model": p2p.name,
                "device": str(p2p.device),
                "notice": p2p.notice,
                "waiting": p2p.waiting(),
            }
        )

    async def metrics(_: Request) -> Response:
        here = await run_in_threadpool(service)
        return Response(here.metrics.text(), media_type=prometheus.CONTENT_TYPE)

    return [
        Route("/api/plot", plot, methods=["POST"]),
        Route("/api/health", health),
        Route("/metrics", metrics),
    ]


async def _plot(
    request: Request, service: PlotService, finder: Callable[[], PosterFinder]
) -> dict[str, Any]:
    visitor = Visitor("api", request.client.host if request.client else "")
    with service.visit(visitor):
        async with asyncio.timeout(FORM_SECONDS), _form(request) as form:
            source, load, settings = await _read(form, service, finder, visitor)
        started = time.perf_counter()
        settings = service.p2p.resolve(settings)
        loaded = await run_in_threadpool(load)
        title = loaded.title
        plots = service.submit(
            loaded.image,
            settings,
            title.text if title else None,
            visitor=visitor,
            read_seconds=time.perf_counter() - started,
        )
        candidates = await _written(request, plots)
    return plot_record(
        source,
        candidates,
        model=service.p2p.name,
        device=str(service.p2p.device),
        settings=settings,
        seconds=time.perf_counter() - started,
        poster=loaded.poster,
        title=title,
    )


async def _written(request: Request, plots: PlotRequest) -> list[Candidate]:
    """The candidates; who hangs up cancels them."""

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    loop, done = asyncio.get_running_loop(), asyncio.Event()
    plots.on_done(lambda: loop.call_soon_threadsafe(done.set))
    waits = [asyncio.create_task(done.wait()), asyncio.create_task(hung_up())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        plots.cancel()
        for wait in waits:
            wait.cancel()
    return plots.result(0)


class _Capped(Request):
    """A request that ends in an error as soon as its body is too large."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        size = 0
        async for chunk in super().stream():
            size += len(chunk)
            if size > _BODY_BYTES:
                raise ImageTooLargeError(
                    f"The picture is larger than {MAX_BYTES // 2**20} MB; make it smaller."
                )
            yield chunk


class _InMemory(MultiPartParser):
    """A parser of forms that never writes a picture to disk, however large a request may be."""

    spool_max_size = _BODY_BYTES


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    """The form of a request, closed in the end."""
    capped = _Capped(request.scope, request.receive)
    kind, _ = parse_options_header(capped.headers.get("Content-Type"))
    if kind != b"multipart/form-data":  # no files
        async with capped.form() as form:
            yield form
        return
    async with aclosing(capped.stream()) as stream:
        form = await _InMemory(capped.headers, stream).parse()
    try:
        yield form
    finally:
        await form.close()


async def _read(
    form: FormData, service: PlotService, finder: Callable[[], PosterFinder], visitor: Visitor
) -> tuple[str, Callable[[], LoadedPoster], GenerationSettings]:
    """What a form asks for: its poster's name, how to get the poster, and settings."""
    unknown = set(form) - _SETTINGS - {"image", "title"}
    if unknown:
        raise SettingsError(
            f"There is no field {sorted(unknown)[0]!r}; there are image, title, "
            f"{', '.join(sorted(_SETTINGS))}."
        )
    image, title = form.get("image"), form.get("title")
    settings = _settings(form)
    if isinstance(image, UploadFile):
        given = title or ""
        if isinstance(given, str) and not looks_like_title(given):
            data, name = await image.read(), image.filename or "image"
            read = partial(service.read, data, name=name, visitor=visitor, given_title=given)
            return name, read, settings
    elif isinstance(title, str) and image is None:
        return title, lambda: service.find(title, finder(), visitor=visitor), settings
    raise InputError(
        "Send either a file named image, beside which title may hold its title in words, or an "
        "IMDb id or URL named title."
    )


def _settings(form: FormData) -> GenerationSettings:
    chosen: dict[str, Any] = {}
    for name in _SETTINGS & set(form):
        text = form[name]
        try:
            chosen[name] = _value(name, str(text))
        except ValueError:
            raise SettingsError(f"{name} cannot be {text!r}.") from None
    return GenerationSettings(**chosen)


def _value(name: str, text: str) -> Any:
    """A form's text as a value of the kind of the setting's default."""
    default = getattr(_DEFAULTS, name)
    if (name, text) == ("early_stopping", "never"):
        return text
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError
        return text.lower() == "true"
    return int(text) if isinstance(default, int) else float(text)
