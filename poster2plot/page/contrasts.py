"""A plot beside the one that is written without the poster, or without its title."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from poster2plot import Poster2PlotError
from poster2plot.page.escaping import escape_markdown, escape_paragraph, growing_html
from poster2plot.page.session_state import PlotKey, not_to_rewrite

POSTER, TITLE = "poster", "title"
_ICONS = {POSTER: ":material/hide_image:", TITLE: ":material/format_clear:"}


class Contrast:
    """The places of two plots of one poster; the one on the right is still to come."""

    def __init__(self, without: str, record: Mapping[str, Any], *, key: str) -> None:
        """Show the plot of `record`, which is written from what the other is `without`."""
        with st.container(key=key):
            left, right = st.columns(2, gap="medium")
            left.header(f"With the {without}", anchor=False)
            left.markdown(escape_paragraph(record["plot"]))
            right.header(f"Without the {without}", anchor=False)
            self._plot = right.empty()
            self._plot.skeleton(height=48)
            if without == TITLE:
                seen = "What the model writes of the picture alone."
            elif used_title(record):
                seen = "What the model writes of the title alone."
            else:
                seen = "What the model writes when it sees nothing: the same for every poster."
            right.caption(seen)

    def grow(self, text: str) -> None:
        """Show the plot so far."""
        if text:
            self._plot.html(growing_html(text))

    def show(self, text: str) -> None:
        """Show the whole plot."""
        self._plot.markdown(escape_paragraph(text))

    def show_without_plot(self, why: Poster2PlotError | None = None) -> None:
        """Say that it was stopped, or why it could not be written."""
        self._plot.warning(escape_markdown(str(why)) if why else "There is no plot.")


def used_title(record: Mapping[str, Any]) -> bool:
    """Whether the plot of a record was written from a title."""
    return bool((record["title"] or {}).get("used"))


def choose_contrast(plot: PlotKey, record: Mapping[str, Any], *, key: str) -> str | None:
    """What the visitor wants to see the plot without: `POSTER`, `TITLE`, or nothing."""
    parts = [POSTER, TITLE] if used_title(record) else [POSTER]
    return st.pills(
        "What would it write without it?",
        parts,
        format_func=lambda part: f"{_ICONS[part]} Without the {part}",
        key=f"{key} {hash(plot)}",  # another plot begins without one
        label_visibility="collapsed",
        width="content",
        on_change=_ask_again,
        args=([contrast_key(plot, part) for part in parts],),
    )


def contrast_key(plot: PlotKey, without: str) -> PlotKey:
    """The key of what is written like a plot, but without the poster or its title."""
    return (f"without the {without}", *plot)


def contrasts() -> dict[PlotKey, str]:
    """This visitor's plots by `contrast_key`."""
    texts: dict[PlotKey, str] = st.session_state.setdefault("contrasts", {})
    return texts


def _ask_again(keys: list[PlotKey]) -> None:
    not_to_rewrite().difference_update(keys)
