"""Posters become plots: they wait in the model's queue; each card fills when its plot is done."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from functools import partial

import streamlit as st
from streamlit.runtime.scriptrunner import RerunException

from poster2plot import BusyError, GenerationSettings, Poster2PlotError
from poster2plot.inputs import LoadedPoster, Title
from poster2plot.page import links
from poster2plot.page.announcements import Announcer
from poster2plot.page.cards import Card
from poster2plot.page.components import plot_view_data
from poster2plot.page.contrasts import POSTER, Contrast, contrast_key, contrasts
from poster2plot.page.downloads import download_all
from poster2plot.page.entries import Entry
from poster2plot.page.session_state import (
    LiveText,
    PlotKey,
    Writing,
    WrittenPlots,
    being_written,
    current_visitor,
    digest_of,
    forget_removed_entries,
    is_loaded,
    is_remembered,
    keep_plots,
    load_poster,
    news_of_plots,
    not_to_rewrite,
    picture_of,
    start_fetching,
    stopped_sources,
    unhurried,
    waiting_page,
    written_plots,
)
from poster2plot.page.title_search import TitleSearch
from poster2plot.page.titles import (
    correct,
    correction_of,
    is_being_read,
    title_of,
    with_printed_title,
)
from poster2plot.page.toolbar import Toolbar
from poster2plot.page.variants import Variants, variants_of, varied
from poster2plot.records import plot_record, title_and_year
from poster2plot.server.service import PlotService

MOST_QUEUED = 8  # posters of one visitor; the others wait on the page
_PATIENCE = 0.1  # seconds between looks at what the visitor does
_BETWEEN_PROGRESS = 0.5  # seconds between looks at the queue, while no plot is done


@dataclass(frozen=True)
class _Job:
    """A card whose plot is still to come."""

    place: Card
    key: PlotKey
    settings: GenerationSettings
    loaded: LoadedPoster
    picture: bytes  # the poster as the page shows it, a JPEG
    title: Title | None
    variants: Variants
    read_seconds: float


@dataclass(frozen=True)
class _ContrastJob:
    """A plot that is to come beside a card's, without the poster or its title."""

    place: Contrast
    key: PlotKey
    settings: GenerationSettings
    loaded: LoadedPoster | None
    title: Title | None
    read_seconds: float = 0.0


class Results:
    """The cards of one run of the page, from the first look at a poster to its plot.

    Streamlit ends a script at its next call when the visitor does something. What the model is
    writing then goes on, and the next run takes it over or, where it is not wanted any more,
    cancels it.
    """

    def __init__(
        self,
        entries: list[Entry],
        search: TitleSearch,
        desk: PlotService,
        settings: GenerationSettings,
    ) -> None:
        """Show what is known already. `write` shows the rest, also what the search finds."""
        self._entries, self._search, self._desk = entries, search, desk
        self._settings = desk.p2p.resolve(settings)
        self._waiting: deque[_Job | _ContrastJob] = deque()
        self._writing: dict[PlotKey, _Job | _ContrastJob] = {}
        self._shown: list[PlotKey] = []
        self._written = 0
        self._stopped = st.session_state.pop("stopped", False)
        asked = links.linked() if entries else None
        self._linked = asked if len(entries) == 1 and entries[0].link else None
        if self._linked:
            correct(entries[0], self._linked.title)
        forget_removed_entries(entries)
        self._announcer = Announcer()
        self._toolbar = Toolbar(len(entries))
        self._search.show(self._announcer)
        self._to_load: list[Card] = []
        self._to_read: list[Card] = []  # whose printed titles are being read
        with st.container(key="results"):
            for entry in entries:
                card = Card(entry)
                if is_loaded(entry):
                    self._open(card)
                else:
                    card.show_fetching()
                    self._to_load.append(card)
        if self._stopped:
            not_yet_there = [*self._to_load, *self._to_read]
            stopped_sources().update(card.entry.source for card in not_yet_there)
        self._downloads = st.empty()

    @property
    def is_complete(self) -> bool:
        """Whether every card shows all that it ever will."""
        return not self._unfinished() and self._search.is_done

    def write(self) -> None:
        """Load what is not here yet, and show each plot as it grows, until all are done."""
        busy = bool(self._unfinished())
        try:
            self._show_toolbar(busy=busy)
            for card in self._to_load:
                if card.entry.from_afar:
                    start_fetching(card.entry)
            self._write()
        except RerunException:
            raise
        except BaseException:
            self._cancel(being_written())
            raise
        if busy:
            self._show_toolbar(busy=False)
        with self._downloads.container():
            download_all(self._shown, key="results")

    def _show_toolbar(self, *, busy: bool) -> None:
        stopped = not_to_rewrite().intersection(self._shown)
        again = partial(not_to_rewrite().difference_update, stopped)
        self._toolbar.show(busy=busy, write_all=again if len(stopped) > 1 else None)

    def _open(self, card: Card) -> None:
        """Show what there is already, else take the card down for writing."""
        started, is_new = time.perf_counter(), not is_remembered(card.entry)
        try:
            loaded = load_poster(card.entry)
        except Poster2PlotError as error:
            card.show_error(error)
            if is_new:
                self._announcer.say(f"{card.entry.label}: {error}")
            return
        uses_titles = self._desk.p2p.uses_titles(self._settings)
        if uses_titles:
            with_title = with_printed_title(card.entry, loaded, self._desk, self._settings)
            if with_title is None:
                card.show_poster(picture_of(card.entry, loaded), "Reading the title …")
                self._to_read.append(card)
                return
            loaded = with_title
        title = title_of(card.entry, loaded)
        if uses_titles:
            card.show_title(title)
        poster = (digest_of(card.entry, loaded), loaded.picture.size, title)
        variants = variants_of((*poster, self._settings, self._desk.p2p.name), self._linked)
        settings = varied(self._settings, variants.shown)
        key = (*poster, settings, self._desk.p2p.name)
        if key in self._shown:
            loaded.picture.release()
            card.show_double()
            return
        self._shown.append(key)
        if len(self._entries) == 1 and card.entry.link:
            links.put_in_address(_link_of(card.entry, variants))
        is_stopped = self._stopped or card.entry.source in stopped_sources()
        stopped_sources().discard(card.entry.source)
        if is_stopped and key not in written_plots():
            not_to_rewrite().add(key)
        if key in written_plots():
            loaded.picture.release()
            self._show(card, key, variants, loaded)
        elif key in not_to_rewrite():
            card.show_without_plot(key, picture_of(card.entry, loaded))
            loaded.picture.release()
        else:
            picture = picture_of(card.entry, loaded)
            card.show_poster(picture)
            seconds = time.perf_counter() - started
            self._waiting.append(
                _Job(card, key, settings, loaded, picture, title, variants, seconds)
            )

    def _write(self) -> None:
        self._queue_some()
        self._cancel_unwanted()
        count, is_told = self._unfinished(), False
        news, started, due = news_of_plots(), time.perf_counter(), 0.0
        grown: dict[PlotKey, str] = {}
        while self._unfinished() or not self._search.is_done:
            self._search.show(self._announcer)
            is_hurried = self._open_next_upload()
            self._open_what_has_come()
            self._queue_some()
            # What is still fetched may yet be refused.
            if not (is_told or is_hurried) and (self._writing or self._written):
                is_told, plots = True, self._unfinished() + self._written
                self._announcer.say(f"Writing {plots} plots." if plots > 1 else "Writing the plot.")
            if count and (now := time.perf_counter()) >= due:
                due = now + _BETWEEN_PROGRESS
                requests = [being_written()[key].request for key in self._writing]
                self._toolbar.show_progress(
                    self._unfinished(), count, now - started, requests, reading=bool(self._to_read)
                )
            with waiting_page(news):
                news.wait(0 if is_hurried else unhurried(_PATIENCE))
            news.clear()
            for key, job in [*self._writing.items()]:
                writing = being_written()[key]
                if writing.request.done():
                    del self._writing[key], being_written()[key]
                    self._finish(job, writing)
                    due = 0.0
                elif writing.live.text != grown.get(key, ""):
                    grown[key] = writing.live.text
                    job.place.grow(grown[key])
        if self._written:
            several = f"{self._written} plots are" if self._written > 1 else "The plot is"
            self._announcer.say(f"{several} written.")

    def _open_next_upload(self) -> bool:
        """Read one of the posters that are here already; whether there was one.

        One at a time, so that what is written meanwhile is shown, and the next can be queued.
        """
        for card in self._to_load:
            if not card.entry.from_afar:
                self._to_load.remove(card)
                self._open(card)
                return True
        return False

    def _open_what_has_come(self) -> None:
        for card in [card for card in self._to_read if not is_being_read(card.entry)]:
            self._to_read.remove(card)
            self._open(card)
        for card in [card for card in self._to_load if is_loaded(card.entry)]:
            self._to_load.remove(card)
            self._open(card)

    def _unfinished(self) -> int:
        cards = len(self._to_load) + len(self._to_read)
        return cards + len(self._waiting) + len(self._writing)

    def _queue_some(self) -> None:
        """Hand posters to the model, but for those that it has from an earlier run."""
        while self._waiting and len(self._writing) < MOST_QUEUED:
            job = self._waiting.popleft()
            if job.key not in being_written():
                live = LiveText(news_of_plots())
                try:
                    request = self._desk.submit(
                        job.loaded.image if job.loaded else None,
                        job.settings,
                        job.title.text if job.title else None,
                        visitor=current_visitor(),
                        read_seconds=job.read_seconds,
                        on_step=live.tell,
                    )
                except BusyError as error:
                    self._give_up(job, error)
                    continue
                finally:  # a visit may have many, and few are asked about again
                    if job.loaded:
                        job.loaded.picture.release()
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

    def _finish(self, job: _Job | _ContrastJob, writing: Writing) -> None:
        """Keep plots for the rest of the visit and show them."""
        p2p = self._desk.p2p
        try:
            candidates = writing.request.result()
        except Exception:  # the service has logged it
            why = Poster2PlotError("The plot could not be written; try again later.")
            self._give_up(job, why)
            return
        self._written += 1
        if isinstance(job, _ContrastJob):
            contrasts()[job.key] = candidates[0].text
            job.place.show(candidates[0].text)
            return
        label = job.place.entry.label
        record = plot_record(
            label,
            candidates,
            model=p2p.name,
            device=str(p2p.device),
            settings=job.settings,
            seconds=time.perf_counter() - writing.started + job.read_seconds,
            poster=job.loaded.poster,
            title=job.title,
        )
        label = title_and_year(record["title"]) if job.title else label
        view = plot_view_data(job.picture, f"Poster: {label}", candidates)
        keep_plots(job.key, WrittenPlots(label, job.picture, candidates, record, view))
        self._show(job.place, job.key, job.variants, job.loaded)

    def _show(self, card: Card, key: PlotKey, variants: Variants, loaded: LoadedPoster) -> None:
        plots = written_plots()[key]
        shown = _link_of(card.entry, variants)
        link = card.entry.link and links.link_to(card.entry.link, shown, self._desk.p2p)
        if without := card.show_plots(key, plots, variants, loaded.picture, link):
            self._show_contrast(card.show_contrast(without, plots), key, without, loaded)

    def _show_contrast(
        self, place: Contrast, key: PlotKey, without: str, loaded: LoadedPoster
    ) -> None:
        """Show the plot that is like that of the key, or take it down for writing."""
        *_, title, settings, _model = key
        key = contrast_key(key, without)
        if key in contrasts():
            place.show(contrasts()[key])
        elif self._stopped or key in not_to_rewrite():
            not_to_rewrite().add(key)
            place.show_without_plot()
        else:
            seen, said = (None, title) if without == POSTER else (loaded, None)
            self._waiting.append(_ContrastJob(place, key, settings, seen, said))

    def _give_up(self, job: _Job | _ContrastJob, why: Poster2PlotError) -> None:
        not_to_rewrite().add(job.key)
        if isinstance(job, _ContrastJob):
            job.place.show_without_plot(why)
            self._announcer.say(str(why))
            return
        job.place.show_without_plot(job.key, job.picture, why)
        self._announcer.say(f"{job.place.entry.label}: {why}")


def _link_of(entry: Entry, variants: Variants) -> links.Linked:
    return links.Linked(variants.shown, correction_of(entry))
