"""A result in the page's address, so that a friend who opens it sees the same plot.

Titles and settings are there by themselves: their widgets are bound to it. Uploads are private and
have no link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from poster2plot import Poster2Plot


@dataclass(frozen=True)
class Linked:
    """Which plot of a poster the address asks for: the place of its variant, and its title.

    `title` is what a visitor wrote in the place of the one that is known, or None.
    """

    place: int = 0
    title: str | None = None


def follow(examples: Mapping[str, str]) -> None:
    """Choose what the address says, when the page is opened; `examples` are names by address."""
    if "example" in st.session_state:
        return
    follow_again(examples)
    if st.session_state.linked == Linked():
        del st.session_state.linked


def follow_again(examples: Mapping[str, str]) -> None:
    """Choose what the address says, after the visitor went back or forward."""
    st.session_state.pop("linked_source", None)
    st.session_state.example = examples.get(st.query_params.get("example", ""))
    asked = st.query_params.get("another", "")
    is_place = asked.isascii() and asked.isdigit() and len(asked) < 4
    st.session_state.linked = Linked(int(asked) if is_place else 0, st.query_params.get("title"))


def choose_example(name: str | None, address: str = "") -> None:
    """Show an example, or none, on the page and in its address."""
    st.session_state.example = name
    st.session_state.pop("linked", None)
    put_in_address(Linked())
    if name:
        st.query_params["example"] = address
    else:
        st.query_params.pop("example", None)


def linked() -> Linked | None:
    """What the address asked for when the page was opened, or went to; only once."""
    asked: Linked | None = st.session_state.pop("linked", None)
    return asked


def put_in_address(shown: Linked) -> None:
    """Let the address lead to a plot."""
    for name, value in _parts(shown).items():
        if value is None:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != value:  # or one could not go forward any more
            st.query_params[name] = value


def link_to(poster: Mapping[str, str], shown: Linked, p2p: Poster2Plot) -> dict[str, str]:
    """What the address of a plot of a poster says, beside the settings."""
    parts = {name: value for name, value in _parts(shown).items() if value is not None}
    return {**poster, **parts, "model": p2p.name}


def is_of_other_model(p2p: Poster2Plot, source: str) -> bool:
    """Whether the address was made with another model, which wrote another plot.

    It says so of the poster `source` that was the first then, and of no later one.
    """
    if "model" not in st.query_params:
        return False
    if st.session_state.setdefault("linked_source", source) != source:
        del st.query_params["model"]
        return False
    return st.query_params["model"] != p2p.name


def _parts(shown: Linked) -> dict[str, str | None]:
    return {"another": str(shown.place) if shown.place else None, "title": shown.title}
