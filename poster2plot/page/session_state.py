"""What one visitor keeps while the page is open, in the memory of the process and nowhere else."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from poster2plot import Candidate, ImageError, InvalidTitleError, PosterNotFoundError, WordAttention
from poster2plot.inputs import LoadedPoster
from poster2plot.page.inputs import Entry
from poster2plot.server.visitor import Visitor

MOST_KEPT = 100  # plots

PlotKey = tuple[Any, ...]  # a picture, its title, settings and a model


@dataclass(frozen=True)
class WrittenPlots:
    """What was written for a poster; `picture` is a small JPEG of it."""

    label: str
    picture: bytes
    candidates: list[Candidate]
    attention: list[list[WordAttention]]
    record: dict[str, Any]


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


def not_to_rewrite() -> set[PlotKey]:
    """What this visitor stopped or forgot, and what failed: it is not written again by itself."""
    keys: set[PlotKey] = st.session_state.setdefault("not_to_rewrite", set())
    return keys


def load_poster(entry: Entry) -> LoadedPoster:
    """An entry's poster, read once for as long as it is on the page.

    Raises what `entry.load` raises, from memory where another try would end the same way.
    """
    loaded = _loaded_posters()
    if entry.source not in loaded:
        try:
            loaded[entry.source] = entry.load()
        except (ImageError, InvalidTitleError, PosterNotFoundError) as error:
            loaded[entry.source] = error
    outcome = loaded[entry.source]
    if isinstance(outcome, Exception):
        raise outcome.with_traceback(None)
    return outcome


def forget_removed_entries(entries: Iterable[Entry]) -> None:
    """Forget the posters that are not on the page any more."""
    on_page = {entry.source for entry in entries}
    for source in [source for source in _loaded_posters() if source not in on_page]:
        del _loaded_posters()[source]


def _loaded_posters() -> dict[str, LoadedPoster | Exception]:
    loaded: dict[str, LoadedPoster | Exception] = st.session_state.setdefault("loaded_posters", {})
    return loaded
