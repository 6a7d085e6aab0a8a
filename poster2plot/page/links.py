"""A result in the page's address, so that a friend who opens it sees the same plot.

Titles and settings are there by themselves: their widgets are bound to it. Uploads are private and
have no link.
"""

from collections.abc import Mapping

import streamlit as st

from poster2plot import Poster2Plot


def follow(examples: Mapping[str, str]) -> None:
    """Choose what the address says, when the page is opened; `examples` are names by address."""
    if "example" in st.session_state:
        return
    st.session_state.example = examples.get(st.query_params.get("example", ""))
    asked = st.query_params.get("another", "")
    is_place = asked.isascii() and asked.isdigit() and len(asked) < 4
    st.session_state.linked_variant = int(asked) if is_place else 0


def choose_example(name: str | None, address: str = "") -> None:
    """Show an example, or none, on the page and in its address."""
    st.session_state.example = name
    st.query_params.pop("another", None)
    if name:
        st.query_params["example"] = address
    else:
        st.query_params.pop("example", None)


def linked_variant() -> int:
    """Which variant the address asked for when the page was opened; only once."""
    place: int = st.session_state.pop("linked_variant", 0)
    return place


def put_variant_in_address(place: int) -> None:
    """Let the address lead to a variant."""
    if place:
        st.query_params["another"] = str(place)
    else:
        st.query_params.pop("another", None)


def link_to(poster: Mapping[str, str], place: int, p2p: Poster2Plot) -> dict[str, str]:
    """What the address of a variant of a poster says, beside the settings."""
    another = {"another": str(place)} if place else {}
    return {**poster, **another, "model": p2p.name}


def is_of_other_model(p2p: Poster2Plot) -> bool:
    """Whether the address was made with another model, which wrote another plot."""
    return st.query_params.get("model", p2p.name) != p2p.name
