"""What one visitor keeps while the page is open, in the memory of the process and nowhere else."""

import hashlib
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import streamlit as st

from poster2plot import Candidate, ImageError, InvalidTitleError, PosterNotFoundError
from poster2plot.inputs import LoadedPoster
from poster2plot.page.entries import Entry
from poster2plot.page.thumbnails import small_jpeg
from poster2plot.pipeline import PlotRequest
from poster2plot.server.visitor import Visitor

MOST_KEPT = 100  # plots
_THREADS = ThreadPoolExecutor(16, "page")  # of all visitors; most wait for others' servers
_BETWEEN_NEWS = 0.15  # seconds
_OF_EACH_PAGE = 0.015  # seconds between what any two of the pages do that wait for plots
_waiting_pages: set[threading.Event] = set()  # of all visitors, by their `news_of_plots`

T = TypeVar("T")

PlotKey = tuple[Any, ...]  # a picture, its title, settings and a model


@dataclass(frozen=True, eq=False)
class WrittenPlots:
    """What was written for a poster, equal to itself alone; `picture` is a small JPEG of it.

    `view` is what the browser shows, made once, as the page is sent anew at every click. `token` is
    in the addresses of their card and their attention.
    """

    label: str
    picture: bytes
    candidates: list[Candidate]
    record: dict[str, Any]
    view: dict[str, Any]
    token: str = field(default_factory=partial(secrets.token_urlsafe, 16))


@contextmanager
def waiting_page(news: threading.Event) -> Iterator[None]:
    """Count a page as one that waits for plots."""
    _waiting_pages.add(news)
    try:
        yield
    finally:
        _waiting_pages.discard(news)


def unhurried(seconds: float) -> float:
    """At least so many seconds between what a page does again and again, more where many wait.

    Threads that only look whether there is something to do take the time that plots need.
    """
    return max(seconds, len(_waiting_pages) * _OF_EACH_PAGE)


class LiveText:
    """A plot as it grows; the model tells of it in a thread of its own.

    Not each word is news: many pages that draw each word take the time that plots need.
    """

    def __init__(self, news: threading.Event) -> None:
        self.text = ""
        self._news = news
        self._due = 0.0

    def tell(self, text: str) -> None:
        """Take the plot so far, unless it was told just now."""
        now = time.perf_counter()
        if now >= self._due:
            self._due = now + unhurried(_BETWEEN_NEWS)
            self.text = text
            self._news.set()


@dataclass(frozen=True)
class Writing:
    """A plot that the model is writing; it goes on while the page runs anew."""

    request: PlotRequest
    live: LiveText
    started: float = field(default_factory=time.perf_counter)


def current_visitor() -> Visitor:
    """Who this is, for the limits of the service."""
    return Visitor("page", st.session_state.setdefault("visitor", uuid.uuid4().hex))


def written_plots() -> dict[PlotKey, WrittenPlots]:
    """This visitor's plots, oldest first."""
    plots: dict[PlotKey, WrittenPlots] = st.session_state.setdefault("written_plots", {})
    return plots


def keep_plots(key: PlotKey, plots: WrittenPlots) -> None:
    """Add to `written_plots`, whose oldest makes room where there are too many."""
    written_plots()[key] = plots
    if len(written_plots()) > MOST_KEPT:
        del written_plots()[next(iter(written_plots()))]


def being_written() -> dict[PlotKey, Writing]:
    """What the model is writing for this visitor."""
    writing: dict[PlotKey, Writing] = st.session_state.setdefault("being_written", {})
    return writing


def news_of_plots() -> threading.Event:
    """Set when a plot of `being_written` has grown or is done, or a thread has ended."""
    news: threading.Event = st.session_state.setdefault("news_of_plots", threading.Event())
    return news


def not_to_rewrite() -> set[PlotKey]:
    """What this visitor stopped or forgot, and what failed: it is not written again by itself."""
    keys: set[PlotKey] = st.session_state.setdefault("not_to_rewrite", set())
    return keys


def stopped_sources() -> set[str]:
    """The posters that were stopped before they were there."""
    sources: set[str] = st.session_state.setdefault("stopped_sources", set())
    return sources


def removed_sources() -> set[str]:
    """The posters that were taken off the page while their inputs still name them."""
    sources: set[str] = st.session_state.setdefault("removed_sources", set())
    return sources


def newest_first(entries: list[Entry]) -> list[Entry]:
    """The posters that came last first; those that came together stay in their order."""
    arrivals: dict[str, int] = st.session_state.setdefault("arrivals", {})
    now = max(arrivals.values(), default=0) + 1
    for entry in entries:
        arrivals.setdefault(entry.source, now)
    on_page = {entry.source for entry in entries}
    for gone in [source for source in arrivals if source not in on_page]:
        del arrivals[gone]
    return sorted(entries, key=lambda entry: -arrivals[entry.source])


def is_remembered(entry: Entry) -> bool:
    """Whether `load_poster` has answered before, and would do so again in the same way."""
    return entry.source in _loaded_posters()


def is_loaded(entry: Entry) -> bool:
    """Whether `load_poster` answers at once."""
    fetched = _fetches().get(entry.source)
    return is_remembered(entry) or (fetched is not None and fetched.done())


def start_fetching(entry: Entry) -> None:
    """Let a thread load a poster, for as long as the entry is on the page."""
    if entry.source not in _fetches():
        _fetches()[entry.source] = start_thread(entry.load)


def start_thread(call: Callable[[], T]) -> Future[T]:
    """Let a thread do something that takes a while; its end is news."""
    news, future = news_of_plots(), _THREADS.submit(call)
    future.add_done_callback(lambda _: news.set())
    return future


def keep_poster(entry: Entry, loaded: LoadedPoster) -> None:
    """Let `load_poster` answer this from now on."""
    _loaded_posters()[entry.source] = loaded


def load_poster(entry: Entry) -> LoadedPoster:
    """An entry's poster, read once for as long as it is on the page.

    Raises what `entry.load` raises, from memory where another try would end the same way.
    """
    loaded = _loaded_posters()
    if entry.source not in loaded:
        fetched = _fetches().pop(entry.source, None)
        try:
            loaded[entry.source] = fetched.result() if fetched else entry.load()
        except (ImageError, InvalidTitleError, PosterNotFoundError) as error:
            loaded[entry.source] = error
    outcome = loaded[entry.source]
    if isinstance(outcome, Exception):
        raise outcome.with_traceback(None)
    return outcome


def digest_of(entry: Entry, loaded: LoadedPoster) -> str:
    """Tell an entry's picture from others."""
    digests: dict[str, str] = st.session_state.setdefault("digests", {})
    if entry.source not in digests:
        digests[entry.source] = hashlib.sha256(loaded.image.tobytes()).hexdigest()
    return digests[entry.source]


def picture_of(entry: Entry, loaded: LoadedPoster) -> bytes:
    """An entry's picture as the page shows it, a JPEG that is made once."""
    pictures = _pictures()
    if entry.source not in pictures:
        pictures[entry.source] = small_jpeg(loaded.image)
    return pictures[entry.source]


def forget_removed_entries(entries: Iterable[Entry]) -> None:
    """Forget the posters that are not on the page any more."""
    on_page = {entry.source for entry in entries}
    for kept in (_loaded_posters(), _pictures()):
        for source in [source for source in kept if source not in on_page]:
            del kept[source]
    stopped_sources().intersection_update(on_page)
    for source in [source for source in _fetches() if source not in on_page]:
        _fetches().pop(source).cancel()


def _loaded_posters() -> dict[str, LoadedPoster | Exception]:
    loaded: dict[str, LoadedPoster | Exception] = st.session_state.setdefault("loaded_posters", {})
    return loaded


def _pictures() -> dict[str, bytes]:
    pictures: dict[str, bytes] = st.session_state.setdefault("pictures", {})
    return pictures


def _fetches() -> dict[str, Future[LoadedPoster]]:
    fetches: dict[str, Future[LoadedPoster]] = st.session_state.setdefault("fetches", {})
    return fetches
