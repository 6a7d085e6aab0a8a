"""Visitors of one process share its model: every poster of a page or an API goes through here."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from poster2plot.errors import (
    BusyError,
    ImageError,
    PosterLookupError,
    PosterServiceError,
    QueueFullError,
)
from poster2plot.images.decoding import read_image
from poster2plot.images.limits import MAX_PIXELS, claimed_pixels
from poster2plot.images.releasable_picture import ReleasablePicture
from poster2plot.imdb.ids import looks_like_id
from poster2plot.inputs import LoadedPoster, from_name, from_title
from poster2plot.pipeline import closed
from poster2plot.server.health import ModelHealth
from poster2plot.server.metrics import Metrics
from poster2plot.server.rate_limits import Limits, RateLimiter
from poster2plot.server.request_log import log_request
from poster2plot.server.visitor import Visitor
from poster2plot.settings import GenerationSettings

if TYPE_CHECKING:
    from poster2plot.imdb.finder import PosterFinder
    from poster2plot.imdb.services import TitleMatch
    from poster2plot.pipeline import PlotRequest, Poster2Plot

# Pictures decoded at once, or titles read from them; a large one takes a second and some hundred
# megabytes.
_READERS = 2


class PlotService:
    """Reads posters, looks them up and submits them to a model, all within limits.

    Each poster, also one that is refused or cannot be had, is counted in `metrics` and is a line of
    the log of requests.
    Safe to share between threads.
    """

    def __init__(self, p2p: Poster2Plot, limits: Limits | None = None) -> None:
        self.p2p = p2p
        self.limits = limits or Limits()
        self.metrics = Metrics(p2p.waiting)
        self.health = ModelHealth(p2p)
        self._limiter = RateLimiter(self.limits)
        self._queueing = threading.Lock()
        self._reading = threading.BoundedSemaphore(_READERS)

    @contextmanager
    def visit(self, visitor: Visitor) -> Iterator[None]:
        """Count a request while it lasts.

        Raises `RateLimitError` for one too many at once, and `QueueFullError` after
        `Poster2Plot.close`.
        """
        with ExitStack() as stack:
            # Only the entry: what is refused during a visit is told of where that happens.
            with self._telling_of_failures(visitor):
                if self.p2p.is_closed:  # before anything is read or looked up in vain
                    raise closed()
                stack.enter_context(self._limiter.present(visitor))
            yield

    def read(
        self, data: bytes, *, name: str, visitor: Visitor, given_title: str = ""
    ) -> LoadedPoster:
        """The picture in `data`, whose title may be given.

        Raises `RateLimitError` or `ImageError`.
        """
        with self._telling_of_failures(visitor):
            self._limiter.count(visitor, "pictures")
            # At most what may be in a picture at all, so that a bomb is refused for what it is.
            pixels = min(claimed_pixels(data), MAX_PIXELS)
            self._limiter.count(visitor, "megapixels", math.ceil(pixels / 10**6))
            picture = ReleasablePicture(partial(self._decode, data, name))
            return LoadedPoster(picture, given_title=given_title)

    def _decode(self, data: bytes, name: str) -> Image.Image:
        with self._reading:
            return read_image(data, name=name)

    def find(self, title: str, finder: PosterFinder, *, visitor: Visitor) -> LoadedPoster:
        """An IMDb title's. Raises `RateLimitError`, `PosterLookupError` or `ImageError`."""
        with self._telling_of_failures(visitor):
            self._limiter.count(visitor, "pictures")
            return from_title(title, finder)

    def find_by_id_or_name(
        self, title: str, finder: PosterFinder, *, visitor: Visitor
    ) -> LoadedPoster:
        """As `find`, also by the name of a title, which then counts as a search, too."""
        if looks_like_id(title):
            return self.find(title, finder, visitor=visitor)
        with self._telling_of_failures(visitor):
            self._limiter.count(visitor, "pictures", 2)
            return from_name(title, finder)

    def search(self, name: str, finder: PosterFinder, *, visitor: Visitor) -> list[TitleMatch]:
        """The titles that a name may mean, the likeliest first; counts as a look-up.

        Raises `RateLimitError` or `PosterLookupError`.
        """
        with self._telling_of_failures(visitor):
            self._limiter.count(visitor, "pictures")
        return finder.search(name)

    def read_title(self, loaded: LoadedPoster, settings: GenerationSettings) -> LoadedPoster:
        """The poster with its printed title, where none is known and plots are written from it."""
        if loaded.title or not self.p2p.uses_titles(settings):
            return loaded
        with self._reading:
            return loaded.with_printed_title()

    def submit(
        self,
        image: Image.Image | None,
        settings: GenerationSettings,
        title: str | None = None,
        *,
        visitor: Visitor,
        read_seconds: float = 0.0,
        on_step: Callable[[str], None] | None = None,
    ) -> PlotRequest:
        """Queue a poster, whose title may be known; it took `read_seconds` to read or find.

        None is no poster, as in `Poster2Plot.submit`.
        `on_step` gets the plot so far, in another thread. Raises `SettingsError`, `RateLimitError`,
        or `QueueFullError`.
        """
        settings = self.p2p.resolve(settings)
        with self._telling_of_failures(visitor):
            self._limiter.count(visitor, "plots")
            with self._queueing:  # else two could take the last place
                if self.p2p.waiting() >= self.limits.waiting:
                    message = "Too many posters are waiting here; try again in a moment."
                    raise QueueFullError(message, retry_after=5)
                [request] = self.p2p.submit(
                    [image],
                    settings,
                    [title],
                    on_step=on_step and (lambda _, text: on_step(text)),
                    visitor=f"{visitor.channel} {visitor.name}",
                )
        context = copy_context()  # the id of the request is for the log
        request.on_done(
            lambda: context.run(self._tell_of_outcome, request, settings, visitor, read_seconds)
        )
        return request

    def plots_left(self, visitor: Visitor) -> tuple[int, int]:
        """How many plots a visitor may still ask for, and seconds until there are more."""
        return self._limiter.remaining(visitor, "plots")

    @contextmanager
    def _telling_of_failures(self, visitor: Visitor) -> Iterator[None]:
        try:
            yield
        except (BusyError, ImageError, PosterLookupError) as error:
            outcome = "refused" if isinstance(error, BusyError) else "unusable"
            if isinstance(error, PosterServiceError):
                outcome = "unreachable"
            self.metrics.count(visitor.channel, outcome)
            log_request(face=visitor.channel, outcome=outcome, error=type(error).__name__)
            raise

    def _tell_of_outcome(
        self,
        request: PlotRequest,
        settings: GenerationSettings,
        visitor: Visitor,
        read_seconds: float,
    ) -> None:
        error = None if request.cancelled() else request.error()
        outcome = "cancelled" if request.cancelled() else "failed" if error else "written"
        stages = {"read": read_seconds, **request.seconds}
        if outcome == "written":
            self.health.wrote()
        elif outcome == "failed":
            self.health.failed()
        self.metrics.observe(stages)
        self.metrics.count(visitor.channel, outcome)
        log_request(
            face=visitor.channel,
            model=self.p2p.name,
            settings=asdict(settings),
            ms={stage: round(seconds * 1000) for stage, seconds in stages.items()},
            outcome=outcome,
            # Only its kind: a message may quote what the visitor sent.
            **({"error": type(error).__name__} if error else {}),
        )
