"""Posters become plots: they wait in the model's queue; each card fills when its plot is done."""

from __future__ import annotations

import hashlib
import io
import queue
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from poster2plot import BusyError, GenerationSettings, Poster2PlotError
from poster2plot.inputs import LoadedPoster
from poster2plot.page.components import plot_view
from poster2plot.page.downloads import download_all
from poster2plot.page.escaping import escape_markdown, file_stem
from poster2plot.page.inputs import Entry
from poster2plot.page.session_state import (
    PlotKey,
    WrittenPlots,
    current_visitor,
    forget_removed_entries,
    keep_plots,
    load_poster,
    not_to_rewrite,
    written_plots,
)
from poster2plot.page.share_card import share_card
from poster2plot.page.thumbnails import small_jpeg
from poster2plot.pipeline import PlotRequest
from poster2plot.records import plot_record, title_and_year, written_from
from poster2plot.server.service import PlotService

MOST_QUEUED = 8  # posters of one visitor; the others wait on the page


@dataclass(frozen=True)
class Card:
    """A poster's place on the page while its plot is being written."""

    key: PlotKey
    label: str
    loaded: LoadedPoster
    place: DeltaGenerator
    live: DeltaGenerator
    started: float
    read_seconds: float


def show_results(entries: list[Entry], desk: PlotService, settings: GenerationSettings) -> None:
    """A card for each poster.

    Streamlit ends a script at its next call when the visitor presses Stop or moves a slider; the
    requests are then cancelled.
    """
    forget_removed_entries(entries)
    writer = _Writer(desk, desk.p2p.resolve(settings))
    progress = st.empty()
    try:
        for entry in entries:
            writer.open(entry)
        writer.write(progress)
    finally:
        writer.cancel()
    plots = written_plots()
    download_all([plots[key].record for key in writer.shown if key in plots], key="results")


class _Writer:
    """The cards of one run of the page, from the first look at a poster to its plot."""

    def __init__(self, desk: PlotService, settings: GenerationSettings) -> None:
        self._desk, self._settings = desk, settings
        self._waiting: deque[Card] = deque()
        self._writing: dict[PlotKey, tuple[Card, PlotRequest]] = {}
        self._texts: queue.SimpleQueue[tuple[PlotKey, str]] = queue.SimpleQueue()
        self.shown: list[PlotKey] = []

    def open(self, entry: Entry) -> None:
        """Show what there is already, else open a card for what is to be written."""
        started = time.perf_counter()
        place = st.container(border=True).empty()
        try:
            with place, st.spinner("Fetching the poster …"):
                loaded = load_poster(entry)
        except Poster2PlotError as error:
            with place.container():
                st.caption(escape_markdown(entry.label))
                say = st.warning if isinstance(error, BusyError) else st.error
                say(escape_markdown(str(error)))
            return
        digest = hashlib.sha256(loaded.image.tobytes()).hexdigest()
        key = (digest, loaded.image.size, loaded.title, self._settings, self._desk.p2p.name)
        if key in self.shown:
            place.caption(f"{escape_markdown(entry.label)} is the same picture as one above.")
            return
        self.shown.append(key)
        if key in written_plots():
            _show(place, key)
            return
        if key in not_to_rewrite():
            _show_without_plot(place, key, entry.label, loaded.image)
            return
        with place.container():
            picture, words = st.columns([1, 2], gap="medium")
            picture.image(small_jpeg(loaded.image), alt=f"Poster: {entry.label}", width=240)
            with words:
                st.caption(escape_markdown(entry.label))
                live = st.empty()
                live.skeleton(height=96)
        read_seconds = time.perf_counter() - started
        self._waiting.append(Card(key, entry.label, loaded, place, live, started, read_seconds))
        self._queue_some()

    def write(self, progress: DeltaGenerator) -> None:
        """Show each plot as it grows, until all are done."""
        count = len(self._waiting) + len(self._writing)
        if not count:
            return
        st.session_state.waiting = {card.key for card in self._waiting} | set(self._writing)
        with progress.container(horizontal=True, vertical_alignment="center"):
            bar = st.progress(0.0, "")
            st.button("Stop", icon=":material/stop_circle:", key="stop", on_click=_stop)
        while self._writing or self._waiting:
            self._queue_some()
            done = count - len(self._writing) - len(self._waiting)
            ahead = min((request.ahead() for _, request in self._writing.values()), default=0)
            before = f" after {ahead} of other visitors" if ahead else ""
            bar.progress(done / count, f"Writing {min(done + 1, count)} of {count}{before} …")
            for key, text in self._latest().items():
                if key in self._writing:
                    self._writing[key][0].live.markdown(f"#### {escape_markdown(text)} …")
            for card, request in [*self._writing.values()]:
                if request.done():
                    del self._writing[card.key]
                    st.session_state.waiting.discard(card.key)
                    self._finish(card, request)
        progress.empty()

    def cancel(self) -> None:
        """End what is still being written."""
        for _, request in self._writing.values():
            request.cancel()

    def _queue_some(self) -> None:
        while self._waiting and len(self._writing) < MOST_QUEUED:
            card = self._waiting.popleft()
            title = card.loaded.title
            try:
                request = self._desk.submit(
                    card.loaded.image,
                    self._settings,
                    title.text if title else None,
                    visitor=current_visitor(),
                    read_seconds=card.read_seconds,
                    on_step=partial(self._tell, card.key),
                )
            except BusyError as error:
                self._give_up(card, st.warning, str(error))
            else:
                self._writing[card.key] = (card, request)

    def _latest(self) -> dict[PlotKey, str]:
        """The last text of each poster of which there is a new one; waits a moment for the first.

        The model may write faster than a page can be sent.
        """
        latest: dict[PlotKey, str] = {}
        patience = 0.1
        with suppress(queue.Empty):
            while True:
                key, text = self._texts.get(timeout=patience)
                latest[key], patience = text, 0.0
        return latest

    def _tell(self, key: PlotKey, text: str) -> None:
        self._texts.put((key, text))

    def _finish(self, card: Card, request: PlotRequest) -> None:
        """Keep a card's plots for the rest of the visit and show them."""
        p2p = self._desk.p2p
        try:
            candidates = request.result()
            attention = [p2p.attention(card.loaded.image, each) for each in candidates]
        except Exception:  # the service has logged it
            self._give_up(card, st.error, "The plot could not be written; try again later.")
            return
        record = plot_record(
            card.label,
            candidates,
            model=p2p.name,
            device=str(p2p.device),
            settings=self._settings,
            seconds=time.perf_counter() - card.started,
            poster=card.loaded.poster,
            title=card.loaded.title,
        )
        label = title_and_year(record["title"]) if card.loaded.title else card.label
        picture = small_jpeg(card.loaded.image)
        keep_plots(card.key, WrittenPlots(label, picture, candidates, attention, record))
        _show(card.place, card.key)

    def _give_up(self, card: Card, say: Callable[[str], object], why: str) -> None:
        not_to_rewrite().add(card.key)
        with card.place.container():
            say(escape_markdown(why))
            place = st.container()
        _show_without_plot(place, card.key, card.label, card.loaded.image)


def _show(place: DeltaGenerator, key: PlotKey) -> None:
    """A finished card: the poster, its plots, and what a service says the title is about."""
    plots = written_plots()[key]
    record = plots.record
    about = record["title"] or {}
    with place.container():
        st.caption(escape_markdown(plots.label))
        view = partial(
            plot_view,
            plots.picture,
            f"Poster: {plots.label}",
            plots.candidates,
            plots.attention,
            key=f"view {hash(key)}",
        )
        if about.get("synopsis"):
            invented, told = st.columns([5, 2], gap="large")
            with invented:
                view()
            with told:
                st.markdown(f"**What {escape_markdown(about['service'])} says it is about**")
                st.markdown(escape_markdown(about["synopsis"]))
                st.caption(escape_markdown(about["attribution"]))
        else:
            view()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f":material/auto_awesome: Invented by {escape_markdown(record['model'])} "
                f"{written_from(record)} on {escape_markdown(record['device'].upper())} "
                f"in {record['seconds']:.1f} s. "
                "It is not the title’s real plot.",
                width="stretch",
            )
            st.download_button(
                "Share card",
                partial(_share_card, plots),
                file_name=f"{file_stem(plots.label)}.png",
                mime="image/png",
                icon=":material/image:",
                on_click="ignore",
                key=f"share {hash(key)}",
                help="A picture of the poster beside its plot.",
            )


def _show_without_plot(place: DeltaGenerator, key: PlotKey, label: str, image: Image.Image) -> None:
    with place.container(horizontal=True, vertical_alignment="center"):
        st.image(small_jpeg(image), alt=f"Poster: {label}", width=96)
        st.caption(f"{escape_markdown(label)}: no plot.", width="content")
        st.button(
            "Write it", key=f"write {hash(key)}", on_click=not_to_rewrite().discard, args=(key,)
        )


def _share_card(plots: WrittenPlots) -> bytes:
    with Image.open(io.BytesIO(plots.picture)) as picture:
        return share_card(picture, plots.record)


def _stop() -> None:
    not_to_rewrite().update(st.session_state.waiting)
