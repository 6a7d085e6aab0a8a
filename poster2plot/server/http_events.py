"""A plot as it grows, as server-sent events (WHATWG HTML, Server-sent events)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from poster2plot.pipeline import PlotRequest

INTERVAL = 0.2  # seconds between events at least
_SILENCE = 10.0  # seconds; proxies take a connection that is silent for long for a dead one
MEDIA_TYPE = "text/event-stream"
_UNWANTED = re.compile(r"q\s*=\s*0(?:\.0*)?", re.ASCII)


def wants_events(request: Request) -> bool:
    """Whether a request accepts server-sent events; of quality 0 is what it does not accept."""
    accepted = ",".join(request.headers.getlist("Accept")).lower().split(",")
    for each in accepted:
        kind, *parameters = (part.strip() for part in each.split(";"))
        if kind == MEDIA_TYPE and not any(map(_UNWANTED.fullmatch, parameters)):
            return True
    return False


async def until_done(request: Request, plots: PlotRequest) -> None:
    """Wait for the end of `plots`; who hangs up cancels them."""
    async with _Watch(request, plots) as watch:
        await asyncio.wait(watch.ends, return_when=asyncio.FIRST_COMPLETED)


class _Watch:
    """While it lasts, `ends` are tasks of which one is done when a request needs no waiting for."""

    def __init__(self, request: Request, plots: PlotRequest) -> None:
        self._request, self._plots = request, plots
        self.ends: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> _Watch:
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has ended with its server
                loop.call_soon_threadsafe(done.set)

        self._plots.on_done(tell)
        self.ends = [asyncio.create_task(done.wait()), asyncio.create_task(self._hung_up())]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._plots.cancel()  # nothing happens to what is done
        for each in self.ends:
            each.cancel()

    async def _hung_up(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass


class EventStream(Response):
    """An answer of `queue` and `text` events while a plot is written, then what `last` makes.

    `text_so_far` is asked for the plot's latest text. `stack` is closed in the end.
    """

    def __init__(
        self,
        request: Request,
        plots: PlotRequest,
        *,
        text_so_far: Callable[[], str],
        last: Callable[[], tuple[str, dict[str, Any]]],
        stack: AsyncExitStack,
    ) -> None:
        super().__init__(
            media_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        del self.headers["Content-Length"]
        self._request, self._plots, self._stack = request, plots, stack
        self._text_so_far, self._last = text_so_far, last

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the events as they come."""
        async with self._stack:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            async with aclosing(self._events()) as events:
                async for event in events:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _events(self) -> AsyncGenerator[bytes, None]:
        ahead, text, silence = -1, "", 0.0
        async with _Watch(self._request, self._plots) as watch:
            while not any(each.done() for each in watch.ends):
                silence += INTERVAL
                if not text and (now := self._plots.ahead()) != ahead:
                    ahead, silence = now, 0.0
                    yield _event("queue", {"ahead": ahead})
                if (latest := self._text_so_far()) != text:
                    text, silence = latest, 0.0
                    yield _event("text", {"text": text})
                if silence > _SILENCE:
                    silence = 0.0
                    yield b": still here\n\n"
                await asyncio.wait(
                    watch.ends, timeout=INTERVAL, return_when=asyncio.FIRST_COMPLETED
                )
        yield _event(*self._last())


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
