"""Posters become plots: they wait in the model's queue; each card fills when its plot is done."""

from __future__ import annotations

import hashlib
import html
import time
from collections import deque
from dataclasses import dataclass
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import RerunException

from poster2plot import BusyError, GenerationSettings, Poster2PlotError
from poster2plot.inputs import LoadedPoster
from poster2plot.page import links
from poster2plot.page.cards import Card
from poster2plot.page.downloads import download_all
from poster2plot.page.entries import Entry
from poster2plot.page.inputs import clear_all
from poster2plot.page.session_state import (
    LiveText,
    PlotKey,
    Writing,
    WrittenPlots,
    being_written,
    current_visitor,
    forget_removed_entries,
    is_loaded,
    is_remembered,
    keep_plots,
    load_poster,
    news_of_plots,
    not_to_rewrite,
    start_fetching,
    written_plots,
)
from poster2plot.page.thumbnails import small_jpeg
from poster2plot.page.variants import Variants, variants_of, varied
from poster2plot.records import plot_record, title_and_year
from poster2plot.server.service import PlotService

MOST_QUEUED = 8  # posters of one visitor; the others wait on the page
_PATIENCE = 0.1  # seconds between looks at what the model has written


@dataclass(frozen=True)
class _Job:
    """A card whose plot is still to come."""

    card: Card
    key: PlotKey
    settings: GenerationSettings
    loaded: LoadedPoster
    variants: Variants
    read_seconds: float


class Results:
    """The cards of one run of the page, from the first look at a poster to its plot.

    Streamlit ends a script at its next call when the visitor does something. What the model is
    writing then goes on, and the next run takes it over or, where it is not wanted any more,
    cancels it.
    """

    def __init__(
        self, entries: list[Entry], desk: PlotService, settings: GenerationSettings
    ) -> None:
        """Show what is known already. `write` shows the rest."""
        self._entries, self._desk = entries, desk
        self._settings = desk.p2p.resolve(settings)
        self._waiting: deque[_Job] = deque()
        self._writing: dict[PlotKey, _Job] = {}
        self._shown: list[PlotKey] = []
        self._written = 0
        self._stopped = st.session_state.pop("stopped", False)
        self._linked = links.linked_variant() if len(entries) == 1 else 0
        forget_removed_entries(entries)
        with st.container(key="status"):
            self._status = st.empty()
        self._toolbar = st.empty()
        with st.container(key="results"):
            cards = [Card(entry) for entry in entries]
        self._downloads = st.empty()
        for card in cards:
            if is_loaded(card.entry):
                self._open(card)
            else:
                card.show_fetching()
        self._to_load = [card for card in cards if not is_loaded(card.entry)]

    @property
    def is_complete(self) -> bool:
        """Whether every card shows all that it ever will."""
        return not self._unfinished()

    def write(self) -> None:
        """Load what is not here yet, and show each plot as it grows, until all are done."""
        busy = not self.is_complete
        try:
            self._show_toolbar(busy=busy)
            self._load()
            self._write()
        except RerunException:
            raise
        except BaseException:
            self._cancel(being_written())
            raise
        if busy:
            self._show_toolbar(busy=False)
        plots = written_plots()
        with self._downloads.container():
            download_all([plots[key].record for key in self._shown if key in plots], key="results")

    def _load(self) -> None:
        """Read the posters that are here, and send for the others."""
        self._queue_some()
        for card in self._to_load:
            if card.entry.from_afar:
                start_fetching(card.entry)
        for card in [card for card in self._to_load if not card.entry.from_afar]:
            self._to_load.remove(card)
            self._open(card)
            self._queue_some()

    def _open(self, card: Card) -> None:
        """Show what there is already, else take the card down for writing."""
        started, is_new = time.perf_counter(), not is_remembered(card.entry)
        try:
            loaded = load_poster(card.entry)
        except Poster2PlotError as error:
            card.show_error(error)
            if is_new:
                self._say(f"{card.entry.label}: {error}")
            return
        digest = hashlib.sha256(loaded.image.tobytes()).hexdigest()
        poster = (digest, loaded.image.size, loaded.title)
        linked = self._linked if card.entry.link else 0
        variants = variants_of((*poster, self._settings, self._desk.p2p.name), linked)
        settings = varied(self._settings, variants.shown)
        key = (*poster, settings, self._desk.p2p.name)
        if key in self._shown:
            card.show_double()
            return
        self._shown.append(key)
        if len(self._entries) == 1 and card.entry.link:
            links.put_variant_in_address(variants.shown)
        if self._stopped and key not in written_plots():
            not_to_rewrite().add(key)
        if key in written_plots():
            self._show(card, key, variants)
        elif key in not_to_rewrite():
            card.show_without_plot(key, loaded.image)
        else:
            card.show_writing(loaded.image)
            seconds = time.perf_counter() - started
            self._waiting.append(_Job(card, key, settings, loaded, variants, seconds))

    def _write(self) -> None:
        self._cancel_unwanted()
        count = self._unfinished()
        if not count:
            return
        self._say(f"Writing {count} plots." if count > 1 else "Writing the plot.")
        news, started = news_of_plots(), time.perf_counter()
        grown: dict[PlotKey, str] = {}
        while self._unfinished():
            for card in [card for card in self._to_load if is_loaded(card.entry)]:
                self._to_load.remove(card)
                self._open(card)
            self._queue_some()
            self._show_progress(count, time.perf_counter() - started)
            news.wait(_PATIENCE)
            news.clear()
            for key, job in [*self._writing.items()]:
                writing = being_written()[key]
                if writing.request.done():
                    del self._writing[key], being_written()[key]
                    self._finish(job, writing)
                elif writing.live.text != grown.get(key, ""):
                    grown[key] = writing.live.text
                    job.card.grow(grown[key])
        if self._written:
            several = f"{self._written} plots are" if self._written > 1 else "The plot is"
            self._say(f"{several} written.")

    def _unfinished(self) -> int:
        return len(self._to_load) + len(self._waiting) + len(self._writing)

    def _queue_some(self) -> None:
        """Hand posters to the model, but for those that it has from an earlier run."""
        while self._waiting and len(self._writing) < MOST_QUEUED:
            job = self._waiting.popleft()
            if job.key not in being_written():
                live = LiveText(news_of_plots())
                title = job.loaded.title
                try:
                    request = self._desk.submit(
                        job.loaded.image,
                        job.settings,
                        title.text if title else None,
                        visitor=current_visitor(),
                        read_seconds=job.read_seconds,
                        on_step=live.tell,
                    )
                except BusyError as error:
                    self._give_up(job, error)
                    continue
                request.on_done(news_of_plots().set)
                being_written()[job.key] = Writing(request, live)
            self._writing[job.key] = job

    def _cancel_unwanted(self) -> None:
        wanted = {*self._writing, *(job.key for job in self._waiting)}
        self._cancel({key: each for key, each in being_written().items() if key not in wanted})

    def _cancel(self, unwanted: dict[PlotKey, Writing]) -> None:
        for key, writing in [*unwanted.items()]:
            writing.request.cancel()
            being_written().pop(key, None)

    def _finish(self, job: _Job, writing: Writing) -> None:
        """Keep a card's plots for the rest of the visit and show them."""
        p2p = self._desk.p2p
        try:
            candidates = writing.request.result()
            attention = [p2p.attention(job.loaded.image, each) for each in candidates]
        except Exception:  # the service has logged it
            why = Poster2PlotError("The plot could not be written; try again later.")
            self._give_up(job, why)
            return
        label = job.card.entry.label
        record = plot_record(
            label,
            candidates,
            model=p2p.name,
            device=str(p2p.device),
            settings=job.settings,
            seconds=time.perf_counter() - writing.started + job.read_seconds,
            poster=job.loaded.poster,
            title=job.loaded.title,
        )
        label = title_and_year(record["title"]) if job.loaded.title else label
        picture = small_jpeg(job.loaded.image)
        keep_plots(job.key, WrittenPlots(label, picture, candidates, attention, record))
        self._written += 1
        self._show(job.card, job.key, job.variants)

    def _show(self, card: Card, key: PlotKey, variants: Variants) -> None:
        link = card.entry.link and links.link_to(card.entry.link, variants.shown, self._desk.p2p)
        card.show_plots(written_plots()[key], variants, link)

    def _give_up(self, job: _Job, why: Poster2PlotError) -> None:
        not_to_rewrite().add(job.key)
        job.card.show_without_plot(job.key, job.loaded.image, why)
        self._say(f"{job.card.entry.label}: {why}")

    def _show_toolbar(self, *, busy: bool) -> None:
        if not busy and len(self._entries) < 2:
            self._toolbar.empty()
            return
        with self._toolbar.container(horizontal=True, vertical_alignment="center"):
            self._progress: DeltaGenerator = st.empty()
            if busy:
                stop = partial(st.session_state.update, stopped=True)
                st.button("Stop", icon=":material/stop_circle:", key="stop", on_click=stop)
            else:
                st.caption(f"{len(self._entries)} posters", width="stretch")
            if len(self._entries) > 1:
                st.button(
                    "Clear all",
                    icon=":material/close:",
                    type="tertiary",
                    key=f"clear {busy}",
                    on_click=clear_all,
                )

    def _show_progress(self, count: int, seconds: float) -> None:
        done = count - self._unfinished()
        if not (self._writing or self._waiting):
            self._progress.progress(done / count, f"Fetching {count - done} of {count} …")
            return
        requests = [being_written()[key].request for key in self._writing]
        ahead = min((request.ahead() for request in requests), default=0)
        others = f" after {ahead} of other visitors" if ahead else ""
        left = f", about {seconds / done * (count - done):.0f} s left" if done else ""
        self._progress.progress(
            done / count, f"Writing {min(done + 1, count)} of {count}{others}{left} …"
        )

    def _say(self, sentence: str) -> None:
        """Tell it to screen readers, by components/page_manners.js."""
        number = st.session_state.get("sentences", 0) + 1
        st.session_state.sentences = number
        self._status.html(f'<span data-say="{number}">{html.escape(sentence)}</span>')
