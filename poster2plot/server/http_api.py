"""The HTTP API: posters in, their plots out, as routes for any Starlette application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.routing import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, request_response
from starlette.types import ASGIApp

from poster2plot.errors import BusyError, CheckpointError, InputError
from poster2plot.imdb.finder import PosterFinder
from poster2plot.imdb.ids import looks_like_id
from poster2plot.imdb.search import LONGEST_NAME
from poster2plot.inputs import LoadedPoster
from poster2plot.pipeline import PlotRequest, closed
from poster2plot.records import plot_record
from poster2plot.server import http_errors
from poster2plot.server import metrics as prometheus
from poster2plot.server.http_access import Access
from poster2plot.server.http_bodies import Asked, AskedPoster, read_body
from poster2plot.server.http_docs import (
    NAME_PARAMETER,
    RECORD_LINKS,
    TITLE_LINKS,
    add_docs,
    body,
)
from poster2plot.server.http_events import (
    INTERVAL,
    MEDIA_TYPE,
    EventStream,
    until_done,
    wants_events,
)
from poster2plot.server.http_gate import Cors, Gate, add_headers
from poster2plot.server.http_types import (
    MAX_POSTERS,
    AmbiguousName,
    FoundTitles,
    Health,
    PlotBody,
    PlotForm,
    PlotRecord,
    PlotRecords,
    PlotsBody,
    PlotsForm,
    Problem,
    Status,
)
from poster2plot.server.rate_limits import Limits, RateLimiter
from poster2plot.server.service import PlotService
from poster2plot.server.visitor import Visitor
from poster2plot.settings import GenerationSettings

_DESCRIPTION = """
Posters in, the plots that a small neural network invents for them out.

Pictures come as files of a form or in base64; a picture is never fetched from an address, except
the poster of an IMDb title from the services that are known to have it. The paths without `v1` are
the same.
"""
_PROBLEMS = {
    400: "A setting out of range, an unknown field, a body that cannot be read, no poster, or not "
    "a title",
    401: "No API key, or not one of the server's, where it has some",
    404: "No service knows the title, or has a poster for it",
    408: "The request took more than a minute to arrive",
    413: "Too many bytes or pixels",
    415: "Not a picture of a known format, or a body of an unknown kind",
    422: "A damaged picture",
    429: "One visitor asks for too much; Retry-After has the seconds",
    500: "A fault of the server",
    502: "No poster service answered",
    503: "The model cannot be loaded, too many posters wait, or the server shuts down; Retry-After "
    "has the seconds",
}
_OF_SEARCHES = (400, 401, 429, 500, 502, 503)
_EXAMPLE = {"title": "tt1375666"}
_Responses = dict[int | str, dict[str, Any]]
_T = TypeVar("_T")
_EVENTS = {
    "schema": {"type": "string"},
    "example": 'event: queue\ndata: {"ahead": 2}\n\nevent: text\ndata: {"text": "A young"}\n\n'
    'event: record\ndata: {"source": "poster.jpg", "plot": "A young keeper …"}\n\n',
}


def routes(
    service: Callable[[], PlotService],
    finder: Callable[[], PosterFinder],
    *,
    root_path: str = "",
    access: Access | None = None,
    limits: Limits | None = None,
    is_closing: Callable[[], bool] = lambda: False,
) -> list[BaseRoute]:
    """The API of a service and a finder, which are called for when they are needed.

    Who waits for either, or still sends, is told that the server shuts down once `is_closing` says
    so or the service's `Poster2Plot` is closed.

    Each path answers both at the root and under `root_path`, as "/posters". An error is
    `{"error": …}`, one sentence that repeats nothing of the request.

    - `POST /api/v1/plot`: a form or JSON with one poster and settings. It answers the JSON object
      of the command line's `--json`, or the plot as it grows as server-sent events.
    - `POST /api/v1/plots`: several posters, each its record or its error.
    - `GET /api/v1/titles`: what a name may mean.
    - `GET /api/v1/health`: 200 when the model writes; `/live` when the process answers, `/ready`
      when the model is loaded.
    - The same without `/v1`, `GET /api/openapi.json` and `/api/docs`, and `GET /metrics` for
      Prometheus.

    Raises `InputError` for API keys or origins in the environment that cannot be meant.
    """
    access = access or Access.from_environment()
    limiter = RateLimiter(limits or Limits())
    api = _Api(_Loader(service, is_closing), finder, access)
    app: ASGIApp = Gate(_app(api, access), limiter)
    metrics: ASGIApp = Gate(request_response(api.metrics), limiter)
    if access.origins:
        app = Cors(app, limiter, access.origins)
    found: list[BaseRoute] = []
    for prefix in dict.fromkeys(["", root_path]):
        # Without the second, /api alone would be the page.
        found += [Mount(f"{prefix}/api", app), Route(f"{prefix}/api", app)]
        found.append(Route(f"{prefix}/metrics", metrics))
    return found


class _Loader:
    """The service, loaded by one request for all, and not again soon after it failed."""

    def __init__(self, service: Callable[[], PlotService], is_closing: Callable[[], bool]) -> None:
        self._service, self._is_closing = service, is_closing
        self._lock = asyncio.Lock()
        self._loading: asyncio.Task[PlotService] | None = None
        self._failure: tuple[str, float] | None = None  # what it was, until when it counts
        self.loaded: PlotService | None = None

    async def get(self) -> PlotService:
        """Wait for the service. Raises `CheckpointError`, or `QueueFullError` at a shutdown."""
        if self.loaded is not None:
            return self.loaded
        return await self.unless_closing(self._load())

    async def unless_closing(self, awaited: Awaitable[_T]) -> _T:
        """Wait for what comes before the queue, which answers by itself who is in it.

        Raises `QueueFullError` when the server shuts down meanwhile.
        """
        task = asyncio.ensure_future(awaited)
        try:
            while not (await asyncio.wait([task], timeout=INTERVAL))[0]:
                if self._is_closing() or (self.loaded and self.loaded.p2p.is_closed):
                    raise closed()
        finally:
            task.cancel()  # nothing happens to what is done
        return task.result()

    async def _load(self) -> PlotService:
        async with self._lock:
            if self.loaded is None:
                if self._failure and time.monotonic() < self._failure[1]:
                    raise CheckpointError(self._failure[0])
                try:
                    self.loaded = await run_in_threadpool(self._service)
                except CheckpointError as error:
                    self._failure = (str(error), time.monotonic() + http_errors.RETRY_AFTER)
                    raise
            return self.loaded

    def begin(self) -> None:
        """Load in the background."""

        def forget(task: asyncio.Task[PlotService]) -> None:
            self._loading = None
            if not task.cancelled():
                task.exception()  # who asks for the service is told

        if self._loading is None:
            self._loading = asyncio.create_task(self.get())
            self._loading.add_done_callback(forget)


@dataclass
class _Writing:
    """A poster whose plots are being written."""

    service: PlotService
    asked: AskedPoster
    settings: GenerationSettings
    loaded: LoadedPoster
    plots: PlotRequest
    started: float

    def record(self) -> dict[str, Any]:
        """Its record, once the plots are done. Raises what they ended by."""
        try:
            candidates = self.plots.result(0)
        except (CancelledError, BusyError):
            raise
        except Exception:  # the decoding may have been right, and its text cannot be told
            self.service.health.failed()
            raise
        return plot_record(
            self.asked.name,
            candidates,
            model=self.service.p2p.name,
            device=str(self.service.p2p.device),
            settings=self.settings,
            seconds=time.perf_counter() - self.started,
            poster=self.loaded.poster,
            title=self.loaded.title,
        )


def _answering(call: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """An error is an answer, too."""

    @wraps(call)
    async def answer(*arguments: Any, **named: Any) -> Response:
        try:
            return await call(*arguments, **named)
        except Exception as error:
            return http_errors.answer(error)

    return answer


class _Api:
    """The answers."""

    def __init__(self, loader: _Loader, finder: Callable[[], PosterFinder], access: Access) -> None:
        self._loader, self._finder, self._access = loader, finder, access
        self._probing = asyncio.Lock()

    @_answering
    async def plot(self, request: Request) -> Response:
        """Invent a plot for one poster.

        Who accepts `text/event-stream` gets `queue` events with the number of posters `ahead`,
        `text` events with the plot so far, and in the end one `record` or `error`. Hanging up
        cancels.
        """
        visitor, service = await self._admit(request)
        latest = ""

        def on_step(text: str) -> None:
            nonlocal latest
            latest = text

        async with AsyncExitStack() as stack:
            stack.enter_context(service.visit(visitor))
            asked = await self._loader.unless_closing(read_body(request, 1))
            streams = wants_events(request)
            writing = await self._begin(
                service, asked.posters[0], asked, visitor, on_step if streams else None
            )
            if not streams:
                await until_done(request, writing.plots)
                return JSONResponse(writing.record())

            def last() -> tuple[str, dict[str, Any]]:
                try:
                    return "record", writing.record()
                except Exception as error:
                    return "error", http_errors.as_result(error)

            return EventStream(
                request,
                writing.plots,
                text_so_far=lambda: latest,
                last=last,
                stack=stack.pop_all(),
            )

    @_answering
    async def plots(self, request: Request) -> Response:
        """Invent a plot for each of several posters: in their order, its record or its error."""
        visitor, service = await self._admit(request)
        with service.visit(visitor):
            asked = await self._loader.unless_closing(read_body(request, MAX_POSTERS))

            async def result(poster: AskedPoster, *, first: bool) -> dict[str, Any]:
                async with AsyncExitStack() as stack:
                    try:
                        if not first:  # the request itself is there already
                            stack.enter_context(service.visit(visitor))
                        writing = await self._begin(service, poster, asked, visitor)
                        await until_done(request, writing.plots)
                        return writing.record()
                    except Exception as error:
                        return http_errors.as_result(error)

            service.p2p.resolve(asked.settings)  # what is wrong for all is said once
            results = await asyncio.gather(
                *(result(each, first=not i) for i, each in enumerate(asked.posters))
            )
        return JSONResponse({"results": results})

    @_answering
    async def titles(self, request: Request) -> Response:
        """Search the poster services for the titles that a name may mean, the likeliest first.

        A year at the end narrows: "amelie 2001". There may be none.
        """
        visitor, service = await self._admit(request)
        name = request.query_params.get("q", "")
        if request.query_params.multi_items() != [("q", name)] or len(name) > LONGEST_NAME:
            raise InputError(
                f"Send one parameter q, the name of a title, of at most {LONGEST_NAME} characters."
            )
        if looks_like_id(name):
            raise InputError("That is an IMDb id or URL, which /api/v1/plot takes as it is.")
        with service.visit(visitor):
            found = await self._loader.unless_closing(
                run_in_threadpool(service.search, name, self._finder(), visitor=visitor)
            )
        return JSONResponse({"titles": [asdict(match) for match in found]})

    @_answering
    async def health(self) -> Response:
        """Whether the model writes: known from its plots of the last minute, or else tried."""
        service = await self._loader.get()
        if service.p2p.is_closed:
            raise closed()
        async with self._probing:  # those who wait for a trial take no thread
            writes = await run_in_threadpool(service.health.writes)
        if not writes:
            raise HTTPException(503, "The model does not write.")
        p2p = service.p2p
        return JSONResponse(
            {
                "model": p2p.name,
                "device": str(p2p.device),
                "notice": p2p.notice,
                "takes_titles": p2p.takes_titles,
                "waiting": p2p.waiting(),
            }
        )

    @_answering
    async def live(self) -> Response:
        """Whether the process answers; the model plays no part."""
        return JSONResponse({"status": "live"})

    @_answering
    async def ready(self) -> Response:
        """Whether the model is loaded, so that posters can come, and the server stays."""
        service = self._loader.loaded
        if service is None:
            self._loader.begin()
            raise HTTPException(503, "The model is not loaded yet.")
        if service.p2p.is_closed:
            raise closed()
        return JSONResponse({"status": "ready"})

    @_answering
    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        if request.method != "GET":  # here, so that the refusal passes the gate, too
            raise _wrong_method({"Allow": "GET"})
        service = await self._loader.get()
        return Response(service.metrics.text(), media_type=prometheus.CONTENT_TYPE)

    async def _admit(self, request: Request) -> tuple[Visitor, PlotService]:
        """Who asks for plots, and of what; the answer says how many are left to them."""
        visitor = self._access.visitor(request)
        service = await self._loader.get()

        def rates() -> dict[str, str]:  # draft-ietf-httpapi-ratelimit-headers-10
            left, seconds = service.plots_left(visitor)
            return {
                "RateLimit-Policy": f'"plots";q={service.limits.plots};w=60',
                "RateLimit": f'"plots";r={left};t={seconds}',
            }

        add_headers(request, rates)
        return visitor, service

    async def _begin(
        self,
        service: PlotService,
        poster: AskedPoster,
        asked: Asked,
        visitor: Visitor,
        on_step: Callable[[str], None] | None = None,
    ) -> _Writing:
        """Read or find a poster and queue it. Raises `Poster2PlotError`."""
        started = time.perf_counter()
        settings = service.p2p.resolve(asked.settings)

        def load() -> LoadedPoster:
            title, image = poster.title, poster.image
            if image is None:
                loaded = service.find_by_id_or_name(title, self._finder(), visitor=visitor)
            else:  # without a name, so that no error repeats it
                loaded = service.read(image, name="", visitor=visitor, given_title=title)
            return service.read_title(loaded, settings) if asked.read_title else loaded

        loaded = await self._loader.unless_closing(run_in_threadpool(load))
        title = loaded.title
        plots = service.submit(
            loaded.image,
            settings,
            title.text if title else None,
            visitor=visitor,
            read_seconds=time.perf_counter() - started,
            on_step=on_step,
        )
        return _Writing(service, poster, settings, loaded, plots, started)


def _wrong_method(headers: Mapping[str, str] | None) -> HTTPException:
    return HTTPException(405, "This path does not take this method.", headers)


def _app(api: _Api, access: Access) -> FastAPI:
    async def on_http_error(_: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 404:
            error = HTTPException(404, "There is nothing here; /api/docs has the paths there are.")
        elif isinstance(error, HTTPException) and error.status_code == 405:
            error = _wrong_method(error.headers)
        return http_errors.answer(error)

    app = FastAPI(
        title="Poster2Plot",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_exception_handler(HTTPException, on_http_error)
    problems: _Responses = {
        status: {"model": Problem, "description": description}
        for status, description in _PROBLEMS.items()
    }
    plot: _Responses = {
        status: each for status, each in problems.items() if access.keys or status != 401
    }
    several: _Responses = {status: plot[status] for status in plot if status not in (404, 422, 502)}
    probe: _Responses = {status: problems[status] for status in (429, 500, 503)}
    router = APIRouter()
    router.add_api_route(
        "/plot",
        api.plot,
        operation_id="plot",
        methods=["POST"],
        response_model=PlotRecord,
        responses={
            200: {"content": {MEDIA_TYPE: _EVENTS}, "links": RECORD_LINKS},
            409: {
                "model": AmbiguousName,
                "description": "The name may mean several titles, which are listed",
                "links": TITLE_LINKS,
            },
            **plot,
        },
        openapi_extra=body(PlotForm, PlotBody, {**_EXAMPLE, "num_candidates": 3}),
    )
    router.add_api_route(
        "/plots",
        api.plots,
        operation_id="plots",
        methods=["POST"],
        response_model=PlotRecords,
        responses=several,
        openapi_extra=body(PlotsForm, PlotsBody, {"posters": [_EXAMPLE]}),
    )
    router.add_api_route(
        "/titles",
        api.titles,
        operation_id="titles",
        response_model=FoundTitles,
        responses={
            200: {"links": TITLE_LINKS},
            **{status: plot[status] for status in plot if status in _OF_SEARCHES},
        },
        openapi_extra={"parameters": [NAME_PARAMETER]},
    )
    always: _Responses = {429: problems[429]}
    for name, call, model, responses in (
        ("health", api.health, Health, probe),
        ("ready", api.ready, Status, probe),
        ("live", api.live, Status, always),
    ):
        router.add_api_route(
            f"/{name}", call, operation_id=name, response_model=model, responses=responses
        )
    app.include_router(router, prefix="/v1")
    app.include_router(router, include_in_schema=False)
    add_docs(app, keys=bool(access.keys))
    return app
