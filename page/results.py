"""Posters become plots: all wait in the model's queue; each card fills when its plot is done."""

from __future__ import annotations

import hashlib
import queue
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st
from PIL import Image
from streamlit.delta_generator import DeltaGenerator

from page.components import plot_view
from page.downloads import download_all
from page.inputs import Entry
from poster2plot import Candidate, GenerationSettings, Poster2Plot, Poster2PlotError, WordAttention
from poster2plot.inputs import LoadedPoster
from poster2plot.pipeline import PlotRequest
from poster2plot.records import plot_record
from poster2plot.share import share_card

KEPT = 100  # plots of one visit
SHOWN_SIDE = 720  # px of a poster's longer side on the page and on its card

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Plots:
    """What was written for a poster."""

    label: str
    picture: Image.Image
    candidates: list[Candidate]
    attention: list[list[WordAttention]]
    record: dict[str, Any]


@dataclass(frozen=True)
class Card:
    """A poster's place on the page while its plot is being written."""

    key: Key
    label: str
    loaded: LoadedPoster
    place: DeltaGenerator
    live: DeltaGenerator
    request: PlotRequest
    started: float


def written() -> dict[Key, Plots]:
    """This visitor's plots, oldest first."""
    plots: dict[Key, Plots] = st.session_state.setdefault("written", {})
    return plots


def show_results(entries: list[Entry], p2p: Poster2Plot, settings: GenerationSettings) -> None:
    """A card for each poster.

    Streamlit ends a script at its next call when the visitor presses Stop or moves a slider; the
    requests are then cancelled.
    """
    settings = p2p.resolve(settings)
    progress = st.empty()
    texts: queue.SimpleQueue[tuple[Key, str]] = queue.SimpleQueue()
    cards: dict[Key, Card] = {}
    shown: list[Key] = []
    try:
        for entry in entries:
            card = _open(entry, p2p, settings, texts, shown)
            if card is not None:
                cards[card.key] = card
        _write(cards, progress, texts, p2p, settings)
    finally:
        for card in cards.values():
            card.request.cancel()
    download_all([written()[key].record for key in shown if key in written()], key="results")


def _open(
    entry: Entry,
    p2p: Poster2Plot,
    settings: GenerationSettings,
    texts: queue.SimpleQueue[tuple[Key, str]],
    shown: list[Key],
) -> Card | None:
    """Show what there is already, else queue the poster and return its card."""
    started = time.perf_counter()
    place = st.container(border=True).empty()
    try:
        with place, st.spinner("Fetching the poster …"):
            loaded = entry.load()
    except Poster2PlotError as error:
        with place.container():
            st.caption(plain(entry.label))
            st.error(plain(str(error)))
        return None
    digest = hashlib.sha256(loaded.image.tobytes()).hexdigest()
    key = (digest, loaded.image.size, settings, p2p.name)
    if key in shown:
        place.caption(f"{plain(entry.label)} is the same picture as one above.")
        return None
    shown.append(key)
    if key in written():
        _show(place, key)
        return None
    if key in unwanted():
        _show_stopped(place, key, entry.label, loaded.image)
        return None
    with place.container():
        picture, words = st.columns([1, 2], gap="medium")
        picture.image(_small(loaded.image), alt=f"Poster: {entry.label}", width=240)
        with words:
            st.caption(plain(entry.label))
            live = st.empty()
            live.skeleton(height=96)
    [request] = p2p.submit([loaded.image], settings, on_step=lambda _, text: texts.put((key, text)))
    return Card(key, entry.label, loaded, place, live, request, started)


def _write(
    waiting: dict[Key, Card],
    progress: DeltaGenerator,
    texts: queue.SimpleQueue[tuple[Key, str]],
    p2p: Poster2Plot,
    settings: GenerationSettings,
) -> None:
    """Show each plot as it grows, until all are done."""
    waiting, count = dict(waiting), len(waiting)
    if not waiting:
        return
    st.session_state.waiting = set(waiting)
    with progress.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, "")
        st.button("Stop", icon=":material/stop_circle:", key="stop", on_click=_stop)
    while waiting:
        done = count - len(waiting)
        bar.progress(done / count, f"Writing {done + 1} of {count} …")
        with suppress(queue.Empty):
            key, text = texts.get(timeout=0.1)
            if key in waiting:
                waiting[key].live.markdown(f"#### {plain(text)} …")
        for card in [card for card in waiting.values() if card.request.done()]:
            del waiting[card.key]
            st.session_state.waiting.discard(card.key)
            _finish(card, p2p, settings)
            _show(card.place, card.key)
    progress.empty()


def _finish(card: Card, p2p: Poster2Plot, settings: GenerationSettings) -> None:
    """Keep a card's plots for the rest of the visit."""
    candidates = card.request.result()
    record = plot_record(
        card.label,
        candidates,
        model=p2p.name,
        device=str(p2p.device),
        settings=settings,
        seconds=time.perf_counter() - card.started,
        poster=card.loaded.poster,
    )
    attention = [p2p.attention(card.loaded.image, candidate) for candidate in candidates]
    picture = _small(card.loaded.image)
    plots = written()
    plots[card.key] = Plots(_title(card), picture, candidates, attention, record)
    if len(plots) > KEPT:
        del plots[next(iter(plots))]


def _show(place: DeltaGenerator, key: Key) -> None:
    """A finished card: the poster, its plots, and what a service says the title is about."""
    plots = written()[key]
    record = plots.record
    about = record.get("title") or {}
    with place.container():
        st.caption(plain(plots.label))
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
                st.markdown(f"**What {plain(about['service'])} says it is about**")
                st.markdown(plain(about["synopsis"]))
                st.caption(plain(about["attribution"]))
        else:
            view()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f":material/auto_awesome: Invented by {plain(record['model'])} on "
                f"{plain(record['device'].upper())} in {record['seconds']:.1f} s. It is not the "
                "title’s real plot.",
                width="stretch",
            )
            st.download_button(
                "Share card",
                partial(share_card, plots.picture, record["plot"], record["model"]),
                file_name=f"{file_stem(plots.label)}.png",
                mime="image/png",
                icon=":material/image:",
                on_click="ignore",
                key=f"share {hash(key)}",
                help="A picture of the poster beside its plot.",
            )


def _show_stopped(place: DeltaGenerator, key: Key, label: str, image: Image.Image) -> None:
    with place.container(horizontal=True, vertical_alignment="center"):
        st.image(_small(image), alt=f"Poster: {label}", width=96)
        st.caption(f"{plain(label)}: no plot.", width="content")
        st.button("Write it", key=f"write {hash(key)}", on_click=unwanted().discard, args=(key,))


def unwanted() -> set[Key]:
    """What this visitor stopped or forgot, which is not written again by itself."""
    keys: set[Key] = st.session_state.setdefault("unwanted", set())
    return keys


def _stop() -> None:
    unwanted().update(st.session_state.waiting)


def _title(card: Card) -> str:
    poster = card.loaded.poster
    if poster is None or not poster.title:
        return card.label
    return poster.title + (f" ({poster.year})" if poster.year else "")


def _small(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    return image


def plain(text: str) -> str:
    """Text from outside, escaped so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()<>#+.!|$~:-])", r"\\\1", text)


def file_stem(label: str) -> str:
    """A harmless file name from a label."""
    return re.sub(r"[^\w-]+", "-", label.rsplit(".", 1)[0]).strip("-")[:60] or "plot"
