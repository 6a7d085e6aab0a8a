"""Names of films and series among the inputs: what they may mean, each a click away."""

import re
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from poster2plot import Poster2PlotError
from poster2plot.imdb.ids import looks_like_id
from poster2plot.imdb.services import TitleMatch
from poster2plot.page import cached_resources
from poster2plot.page.announcements import Announcer
from poster2plot.page.escaping import escape_markdown
from poster2plot.page.served_matches import address_of_match
from poster2plot.page.session_state import start_thread
from poster2plot.server.visitor import Visitor

MOST_SHOWN = 6  # matches of a name
_KINDS = {"movie": "film", "series": "series"}


def split_titles(text: str) -> tuple[list[str], list[str]]:
    """The ids and URLs in what was typed, and the names, each once.

    A line is one name, with its commas, unless there are ids in it.
    """
    ids: list[str] = []
    names: list[str] = []
    for line in text.splitlines():
        words = [word for word in re.split(r"[\s,;]+", line) if word]
        if words and all(map(looks_like_id, words)):
            ids += words
            continue
        is_mixed = any(map(looks_like_id, words))
        for piece in re.split("[,;]", line) if is_mixed else line.split(";"):
            beside = [word for word in piece.split() if looks_like_id(word)]
            if len(beside) > 1:  # of what is about them, they say all
                ids += beside
            elif piece := " ".join(piece.split()):
                (ids if looks_like_id(piece) else names).append(piece)
    return [*dict.fromkeys(ids)], [*dict.fromkeys(names)]


class TitleSearch:
    """The matches of each name, which come from services and are shown when they are there."""

    def __init__(self, names: Sequence[str], visitor: Visitor) -> None:
        known: dict[str, Future[list[TitleMatch]]] = st.session_state.setdefault("searches", {})
        for gone in [name for name in known if name not in names]:
            known.pop(gone).cancel()
        self._shown: set[str] = set()
        self._told = {name for name in names if name in known and known[name].done()}
        with st.container(key="matches"):
            self._places = {name: st.empty() for name in names}
        for name in names:
            if name not in known:
                known[name] = start_thread(partial(_search, name, visitor))
            if not known[name].done():
                self._places[name].caption(f"Searching “{escape_markdown(name)}” …")
        self._searches = known

    @property
    def is_done(self) -> bool:
        """Whether all are shown."""
        return len(self._shown) == len(self._places)

    def show(self, announcer: Announcer) -> None:
        """Show what has come."""
        for name, place in self._places.items():
            if name in self._shown or not self._searches[name].done():
                continue
            self._shown.add(name)
            try:
                matches = self._searches[name].result()
            except Poster2PlotError as error:
                del self._searches[name]  # the next run of the page tries again
                place.error(escape_markdown(str(error)))
                announcer.say(str(error))
                continue
            if name not in self._told:
                announcer.say(f"{_how_many(matches)} found for {name}.")
            if matches:
                _show_matches(place.container(gap="xsmall"), name, matches)
            else:
                place.warning(
                    f"No service knows a title “{escape_markdown(name)}”; "
                    "give its IMDb id or upload the poster."
                )


def _show_matches(place: DeltaGenerator, name: str, matches: Sequence[TitleMatch]) -> None:
    with place:
        which = f"Which “{escape_markdown(name)}”?"
        if len(matches) > MOST_SHOWN:
            which += f" These are the likeliest {MOST_SHOWN} of {len(matches)}; "
            which += "a year after the name narrows."
        st.caption(which)
        with st.container(horizontal=True, gap="small"):
            for match in matches[:MOST_SHOWN]:
                year = f"{match.year}, " if match.year else ""
                poster = f"![]({address_of_match(match.poster_url)}) " if match.poster_url else ""
                st.button(
                    f"{poster}**{escape_markdown(match.title)}**  \n{year}{_KINDS[match.kind]}",
                    key=f"match {name} {match.title_id}",
                    on_click=_choose,
                    args=(name, match.title_id),
                )


def _how_many(matches: Sequence[TitleMatch]) -> str:
    if len(matches) == 1:
        return "1 title"
    shown = f"{MOST_SHOWN} of " if len(matches) > MOST_SHOWN else ""
    return f"{shown}{len(matches)} titles"


def _choose(name: str, title_id: str) -> None:
    """Put the id of the chosen title where its name was."""
    ids, names = split_titles(st.session_state.titles)
    st.session_state.titles = "\n".join([*ids, title_id, *(each for each in names if each != name)])


def _search(name: str, visitor: Visitor) -> list[TitleMatch]:
    return cached_resources.desk().search(name, cached_resources.finder(), visitor=visitor)
