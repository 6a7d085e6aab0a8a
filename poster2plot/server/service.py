"""Visitors of one process share its model: what is let in, and what is told about it.

Every poster that a page or an API takes on goes through one `FrontDesk`. It keeps visitors within
limits, and writes a line of JSON to the log `poster2plot.requests` for each poster: no picture, no
address, no name of a file.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import prometheus_client
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from PIL import Image

from poster2plot.errors import BusyError, QueueFullError, RateLimitError
from poster2plot.images.decoding import MAX_PIXELS, claimed_pixels, read_image
from poster2plot.inputs import LoadedPoster, from_title
from poster2plot.settings import GenerationSettings

if TYPE_CHECKING:
    from poster2plot.imdb.finder import PosterFinder
    from poster2plot.pipeline import PlotRequest, Poster2Plot

_READERS = 2  # pictures decoded at once; a large one takes a second and some hundred megabytes
_HEALTH_SECONDS = 20.0

logger = logging.getLogger("poster2plot.requests")


@dataclass(frozen=True)
class Limits:
    """What one process takes on. `waiting` is of all visitors together, the rest of each.

    `pictures`, `megapixels` and `plots` are per minute.
    """

    waiting: int = 64
    at_once: int = 8
    pictures: int = 120
    megapixels: int = 600
    plots: int = 120


@dataclass(frozen=True)
class Visitor:
    """Who asks. `face` is where: page or api; `name` tells visitors apart and is never logged."""

    face: str
    name: str


class FrontDesk:
    """Lets posters in to a model and keeps the books; safe to share between threads."""

    def __init__(self, p2p: Poster2Plot, limits: Limits | None = None) -> None:
        self.p2p = p2p
        self.limits = limits or Limits()
        self._rates = MovingWindowRateLimiter(MemoryStorage())
        self._present: Counter[Visitor] = Counter()
        self._lock = threading.Lock()
        self._reading = threading.BoundedSemaphore(_READERS)
        self.registry = prometheus_client.CollectorRegistry()
        self._outcomes = prometheus_client.Counter(
            "poster2plot_posters", "Posters by outcome", ["face", "outcome"], registry=self.registry
        )
        self._stages = prometheus_client.Histogram(
            "poster2plot_stage_seconds", "Time of each stage", ["stage"], registry=self.registry
        )
        prometheus_client.Gauge(
            "poster2plot_waiting", "Posters that wait", registry=self.registry
        ).set_function(p2p.waiting)
        prometheus_client.ProcessCollector(registry=self.registry)

    @contextmanager
    def visit(self, visitor: Visitor) -> Iterator[None]:
        """Count a request while it lasts. Raises `RateLimitError` for one too many at once."""
        with self._lock:
            full = self._present[visitor] >= self.limits.at_once
            self._present[visitor] += not full
        if full:
            message = f"No more than {self.limits.at_once} requests at once; wait for one to end."
            raise self._refused(visitor, RateLimitError(message, retry_after=1))
        try:
            yield
        finally:
            with self._lock:
                self._present[visitor] -= 1
                if not self._present[visitor]:
                    del self._present[visitor]

    def read(self, data: bytes, *, name: str, visitor: Visitor) -> LoadedPoster:
        """The picture in `data`. Raises `RateLimitError` or `ImageError`."""
        self._count(visitor, "pictures")
        # At most what may be in a picture at all, so that a bomb is refused for what it is.
        pixels = min(claimed_pixels(data), MAX_PIXELS)
        self._count(visitor, "megapixels", math.ceil(pixels / 10**6))
        with self._reading:
            return LoadedPoster(read_image(data, name=name))

    def find(self, title: str, finder: PosterFinder, *, visitor: Visitor) -> LoadedPoster:
        """An IMDb title's. Raises `RateLimitError`, `PosterLookupError` or `ImageError`."""
        self._count(visitor, "pictures")
        return from_title(title, finder)

    def submit(
        self,
        image: Image.Image,
        settings: GenerationSettings,
        *,
        visitor: Visitor,
        read_seconds: float = 0.0,
        on_step: Callable[[str], None] | None = None,
    ) -> PlotRequest:
        """Queue a poster. `on_step` gets the plot so far, in another thread.

        Raises `SettingsError`, `RateLimitError`, or `QueueFullError`.
        """
        settings = self.p2p.resolve(settings)
        self._count(visitor, "plots")
        with self._lock:
            if self.p2p.waiting() >= self.limits.waiting:
                message = "Too many posters are waiting here; try again in a moment."
                raise self._refused(visitor, QueueFullError(message, retry_after=5))
            [request] = self.p2p.submit(
                [image],
                settings,
                on_step=on_step and (lambda _, text: on_step(text)),
                visitor=f"{visitor.face} {visitor.name}",
            )
        request.on_done(lambda: self._note(request, settings, visitor, read_seconds))
        return request

    def is_well(self) -> bool:
        """Whether the model still writes; takes a turn in the queue and up to 20 seconds."""
        blank = Image.new("RGB", (32, 32))
        settings = GenerationSettings(num_beams=1, max_length=8, guidance=1.0)
        [request] = self.p2p.submit([blank], settings, visitor="health")
        try:
            return bool(request.result(_HEALTH_SECONDS))
        except Exception:
            logger.exception("the health check failed")
            return False
        finally:
            request.cancel()

    def _count(self, visitor: Visitor, what: str, cost: int = 1) -> None:
        most = getattr(self.limits, what)
        rate = RateLimitItemPerMinute(most)
        who = (what, visitor.face, visitor.name)
        if not self._rates.hit(rate, *who, cost=min(cost, most)):
            wait = self._rates.get_window_stats(rate, *who).reset_time - time.time()
            message = f"That is more than {most} {what} in a minute; wait a little and try again."
            error = RateLimitError(message, retry_after=max(1, math.ceil(wait)))
            raise self._refused(visitor, error)

    def _refused(self, visitor: Visitor, error: BusyError) -> BusyError:
        self._outcomes.labels(visitor.face, "refused").inc()
        self._log(face=visitor.face, outcome="refused", error=type(error).__name__)
        return error

    def _note(
        self,
        request: PlotRequest,
        settings: GenerationSettings,
        visitor: Visitor,
        read_seconds: float,
    ) -> None:
        error = None if request.cancelled() else request.error()
        outcome = "cancelled" if request.cancelled() else "failed" if error else "written"
        stages = {"read": read_seconds, **request.seconds}
        for stage, seconds in stages.items():
            self._stages.labels(stage).observe(seconds)
        self._outcomes.labels(visitor.face, outcome).inc()
        self._log(
            face=visitor.face,
            model=self.p2p.name,
            settings=asdict(settings),
            ms={stage: round(seconds * 1000) for stage, seconds in stages.items()},
            outcome=outcome,
            **({"error": type(error).__name__} if error else {}),
        )

    def _log(self, **line: Any) -> None:
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        logger.info(json.dumps({"time": when, "id": uuid.uuid4().hex[:12], **line}))


def log_to_stderr() -> None:
    """Let the lines of `poster2plot.requests` out, one each, whatever other logs there are."""
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False
