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

KEPT = 100  # plots

Key = tuple[Any, ...]  # a picture, settings and a model


@dataclass(frozen=True)
class Plots:
    """What was written for a poster; `picture` is a small JPEG of it."""

    label: str
    picture: bytes
    candidates: list[Candidate]
    attention: list[list[WordAttention]]
    record: dict[str, Any]


def visitor() -> Visitor:
    """Who this is, for the limits of the service."""
    return Visitor("page", st.session_state.setdefault("visitor", uuid.uuid4().hex))


def written() -> dict[Key, Plots]:
    """This visitor's plots, oldest first."""
    plots: dict[Key, Plots] = st.session_state.setdefault("written", {})
    return plots


def keep(key: Key, plots: Plots) -> None:
    """Add to `written`, whose oldest makes room where there are too many."""
    written()[key] = plots
    if len(written()) > KEPT:
        del written()[next(iter(written()))]


def unwanted() -> set[Key]:
    """What this visitor stopped or forgot, which is not written again by itself."""
    keys: set[Key] = st.session_state.setdefault("unwanted", set())
    return keys


def load(entry: Entry) -> LoadedPoster:
    """An entry's poster, read once for as long as it is on the page.

    Raises what `entry.load` raises, from memory where another try would end the same way.
    """
    seen = _seen()
    if entry.source not in seen:
        try:
            seen[entry.source] = entry.load()
        except (ImageError, InvalidTitleError, PosterNotFoundError) as error:
            seen[entry.source] = error
    outcome = seen[entry.source]
    if isinstance(outcome, Exception):
        raise outcome.with_traceback(None)
    return outcome


def let_go_of_others(entries: Iterable[Entry]) -> None:
    """Forget the posters that are not on the page any more."""
    here = {entry.source for entry in entries}
    for source in [source for source in _seen() if source not in here]:
        del _seen()[source]


def _seen() -> dict[str, LoadedPoster | Exception]:
    seen: dict[str, LoadedPoster | Exception] = st.session_state.setdefault("seen", {})
    return seen
