"""What every request to the HTTP API goes through, whatever it asks for."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from poster2plot.errors import RateLimitError
from poster2plot.server.rate_limits import RateLimiter
from poster2plot.server.request_log import request_id
from poster2plot.server.visitor import Visitor

# Nothing that could be a title or a text, as ids are in the log, too.
_ID_TO_LOG = re.compile(r"[0-9a-f-]{8,64}", re.IGNORECASE | re.ASCII)
_ID = re.compile(r"[\w.=:+/-]{1,128}", re.ASCII)
_HEADERS = "poster2plot.headers"  # of the scope: what makes more headers for the answer

logger = logging.getLogger(__name__)


class Gate:
    """ASGI middleware: request ids, a rate for each address, HEAD as GET, and the last resort.

    An exception that arrives here is a fault of the server; it ends in a 500 of one sentence, and
    only its kind is logged, as its message may quote the visitor.
    """

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        given = request.headers.get("X-Request-ID", "")
        shown = given if _ID.fullmatch(given) else uuid.uuid4().hex
        request_id.set(shown if _ID_TO_LOG.fullmatch(shown) else uuid.uuid4().hex)
        more: list[Callable[[], dict[str, str]]] = []
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = shown
                headers["X-Content-Type-Options"] = "nosniff"
                for make in more:
                    headers.update(make())
            await send(message)

        # The server still knows that it was HEAD, and sends no body.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        inner = {**scope, "method": method, _HEADERS: more}
        try:
            self._limiter.count(visitor_of(request), "requests")
            await self._app(inner, receive, answer)
        except RateLimitError as error:
            headers = {"Retry-After": str(error.retry_after)}
            await JSONResponse({"error": str(error)}, 429, headers)(inner, receive, answer)
        except Exception as error:
            logger.error("a request failed: %s", type(error).__name__)
            if not started:
                sentence = "The server failed at this; try again later."
                await JSONResponse({"error": sentence}, 500)(inner, receive, answer)


def add_headers(request: Request, make: Callable[[], dict[str, str]]) -> None:
    """Let the answer to a request have headers that are made when it begins."""
    request.scope[_HEADERS].append(make)


def visitor_of(request: Request) -> Visitor:
    """Whose address a request comes from."""
    return Visitor("api", request.client.host if request.client else "")


class Cors(CORSMiddleware):
    """ASGI middleware: pages of these origins, or of all for `*`, may use an app.

    Preflights never reach the app, so each passes a gate of its own, and is refused in a sentence.
    """

    def __init__(self, app: ASGIApp, limiter: RateLimiter, origins: Iterable[str]) -> None:
        super().__init__(
            app,
            allow_origins=[*origins],
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"],
        )
        self._preflights = Gate(super().__call__, limiter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer a preflight."""
        asks = {"origin", "access-control-request-method"}
        if scope.get("method") == "OPTIONS" and asks.issubset(Headers(scope=scope).keys()):
            await self._preflights(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """As Starlette answers, which refuses in a text without naming what was asked for."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        sentence = "Pages of this origin may not use the API in this way."
        headers = {
            name: value
            for name, value in answer.headers.items()
            if name not in ("content-length", "content-type")  # those of the text
        }
        return JSONResponse({"error": sentence}, answer.status_code, headers)
