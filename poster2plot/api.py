"""The HTTP API: one poster in, its plots out, as routes for any Starlette application."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from poster2plot.errors import (
    CheckpointError,
    DamagedImageError,
    ImageTooLargeError,
    InputError,
    InvalidTitleError,
    Poster2PlotError,
    PosterNotFoundError,
    PosterServiceError,
    SettingsError,
    UnsupportedImageError,
)
from poster2plot.images import MAX_BYTES, read_image
from poster2plot.inputs import LoadedPoster, from_title
from poster2plot.lookup import PosterFinder
from poster2plot.pipeline import Poster2Plot
from poster2plot.records import plot_record
from poster2plot.settings import GenerationSettings

_STATUS = {
    SettingsError: 400,
    InputError: 400,
    InvalidTitleError: 400,
    PosterNotFoundError: 404,
    ImageTooLargeError: 413,
    UnsupportedImageError: 415,
    DamagedImageError: 422,
    PosterServiceError: 502,
    CheckpointError: 503,
}
_DEFAULTS = GenerationSettings()
_SETTINGS = {field.name for field in fields(GenerationSettings)}
_FORM_BYTES = 64 * 1024  # of a request beside its picture


def routes(model: Callable[[], Poster2Plot], finder: Callable[[], PosterFinder]) -> list[Route]:
    """`POST /api/plot`: a form with an `image` or an IMDb `title`, and generation settings.

    It answers the JSON object of the command line's `--json`, or `{"error": …}` with a status of
    400 or above. `model` and `finder` are called for each request.
    """

    async def plot(request: Request) -> JSONResponse:
        try:
            async with _Capped(request.scope, request.receive).form() as form:
                source, load, settings = await _read(form, finder)
            record = await run_in_threadpool(_write, model, source, load, settings)
        except Poster2PlotError as error:
            return JSONResponse({"error": str(error)}, _STATUS[type(error)])
        return JSONResponse(record)

    # Pictures of visitors stay in memory.
    MultiPartParser.spool_max_size = MAX_BYTES + _FORM_BYTES
    return [Route("/api/plot", plot, methods=["POST"])]


class _Capped(Request):
    """A request that ends in an error as soon as its body is too large."""

    async def stream(self) -> Any:
        size = 0
        async for chunk in super().stream():
            size += len(chunk)
            if size > MAX_BYTES + _FORM_BYTES:
                raise ImageTooLargeError(
                    f"The picture is larger than {MAX_BYTES // 2**20} MB; make it smaller."
                )
            yield chunk


async def _read(
    form: FormData, finder: Callable[[], PosterFinder]
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
    if isinstance(image, UploadFile) and title is None:
        data, name = await image.read(), image.filename or "image"
        return name, lambda: LoadedPoster(read_image(data, name=name)), settings
    if isinstance(title, str) and image is None:
        return title, lambda: from_title(title, finder()), settings
    raise InputError("Send either a file named image or an IMDb id or URL named title.")


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


def _write(
    model: Callable[[], Poster2Plot],
    source: str,
    load: Callable[[], LoadedPoster],
    settings: GenerationSettings,
) -> dict[str, Any]:
    started = time.perf_counter()
    p2p = model()
    settings = p2p.resolve(settings)
    loaded = load()
    [candidates] = p2p.generate([loaded.image], settings)
    return plot_record(
        source,
        candidates,
        model=p2p.name,
        device=str(p2p.device),
        settings=settings,
        seconds=time.perf_counter() - started,
        poster=loaded.poster,
    )
