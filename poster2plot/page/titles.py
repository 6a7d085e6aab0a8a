"""Which title a plot is written from: the visitor's, a service's, or the printed one."""

from concurrent.futures import Future
from functools import partial

import streamlit as st

from poster2plot import GenerationSettings
from poster2plot.inputs import LoadedPoster, Title
from poster2plot.page.entries import Entry
from poster2plot.page.session_state import keep_poster, start_thread
from poster2plot.server.service import PlotService
from poster2plot.title_prompts import clean_title

_WHENCE = {
    "given": "Your title.",
    "IMDb": "Title from IMDb.",
    "read": "Title read from the poster.",
}


def title_of(entry: Entry, loaded: LoadedPoster) -> Title | None:
    """The title of a loaded poster; the visitor's word counts, also that it has none."""
    corrections = _corrections()
    if entry.source not in corrections:
        return loaded.title
    text = clean_title(corrections[entry.source])
    return Title(text, "given") if text else None


def with_printed_title(
    entry: Entry, loaded: LoadedPoster, desk: PlotService, settings: GenerationSettings
) -> LoadedPoster | None:
    """The poster with the title that is printed on it, or None while a thread reads that."""
    if loaded.title or entry.source in _corrections() or entry.source in _read_in_vain():
        return loaded
    readings = _readings()
    if entry.source not in readings:
        readings[entry.source] = start_thread(partial(desk.read_title, loaded, settings))
    if not readings[entry.source].done():
        return None
    read = readings.pop(entry.source).result()
    if read.title is None:
        _read_in_vain().add(entry.source)
    keep_poster(entry, read)
    return read


def is_being_read(entry: Entry) -> bool:
    """Whether a thread is still reading the printed title."""
    reading = _readings().get(entry.source)
    return reading is not None and not reading.done()


def edit_title(entry: Entry, title: Title | None, *, key: str) -> None:
    """A field for the title, and where it is from."""
    text = title.text if title else ""
    # The field has the title that the plot is written from, whoever set it last.
    if st.session_state.get(key) != text:
        st.session_state[key] = text
    st.text_input(
        "Title",
        key=key,
        placeholder="No title known; type one",
        max_chars=200,
        label_visibility="collapsed",
        icon=":material/edit:",
        on_change=_correct,
        args=(entry.source, key),
    )


def correction_of(entry: Entry) -> str | None:
    """What the visitor wrote in the place of the title; "" for none, None where nothing was."""
    return _corrections().get(entry.source)


def correct(entry: Entry, text: str | None) -> None:
    """Write in the place of the title, or take that back."""
    if text is None:
        _corrections().pop(entry.source, None)
    else:
        _corrections()[entry.source] = text


def whence(title: Title | None) -> str:
    """Where a title is from, as a sentence."""
    return _WHENCE[title.source] if title else "No title: the plot is of the picture alone."


def _correct(source: str, key: str) -> None:
    _corrections()[source] = st.session_state[key]


def _readings() -> dict[str, Future[LoadedPoster]]:
    readings: dict[str, Future[LoadedPoster]] = st.session_state.setdefault("readings", {})
    return readings


def _corrections() -> dict[str, str]:
    corrections: dict[str, str] = st.session_state.setdefault("corrected_titles", {})
    return corrections


def _read_in_vain() -> set[str]:
    sources: set[str] = st.session_state.setdefault("read_in_vain", set())
    return sources
