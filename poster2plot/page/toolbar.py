"""The line above the results: how far the plots are, and what can be done with all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import streamlit as st

from poster2plot.page.announcements import say_next
from poster2plot.page.inputs import clear_all
from poster2plot.pipeline import PlotRequest


class Toolbar:
    """What is busy can be stopped, what was stopped be written, and several posters be cleared."""

    def __init__(self, posters: int) -> None:
        self._posters = posters
        self._place = st.empty()

    def show(self, *, busy: bool, write_all: Callable[[], None] | None = None) -> None:
        """Show what can be done now; `write_all` where several plots were stopped."""
        if not busy and self._posters < 2:
            self._place.empty()
            return
        with self._place.container(horizontal=True, vertical_alignment="center"):
            self._progress = st.empty()
            self._told: tuple[float, str] | None = None
            if busy:
                st.button("Stop", icon=":material/stop_circle:", key="stop", on_click=_stop)
            else:
                st.caption(f"{self._posters} posters", width="stretch")
            if write_all is not None:
                st.button("Write all", icon=":material/edit:", key="write", on_click=write_all)
            if self._posters > 1:
                st.button(
                    "Clear all",
                    icon=":material/close:",
                    type="tertiary",
                    key=f"clear {busy}",
                    on_click=clear_all,
                )

    def show_progress(
        self,
        unfinished: int,
        count: int,
        seconds: float,
        requests: Iterable[PlotRequest],
        *,
        reading: bool,
    ) -> None:
        """Show how many of `count` plots are done after so many seconds, and the time left.

        `reading` tells whether a poster's printed title is being read.
        """
        done = count - unfinished
        ahead = [request.ahead() for request in requests]
        others = f" after {min(ahead)} of other visitors" if any(ahead) and min(ahead) else ""
        half_done = done + len(ahead) / 2  # those that are written together are nearly done at once
        left = f", about {seconds / half_done * (count - half_done):.0f} s left" if done else ""
        doing = "Writing" if ahead else "Reading" if reading else "Fetching"
        text = f"{doing} {min(done + 1, count)} of {count}{others}{left} …"
        if self._told != (done / count, text):  # each time would be a message to the browser
            self._told = done / count, text
            self._progress.progress(*self._told)


def _stop() -> None:
    st.session_state.stopped = True
    say_next("Stopped.")
