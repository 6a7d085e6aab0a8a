"""What screen readers are told; components/page_manners.js passes it on."""

import html

import streamlit as st

_KEPT = 8  # sentences, of which the browser says those that it has not said


class Announcer:
    """A place on the page for one sentence after another, each of them told once.

    A fragment, which runs without the rest of the page, has one of its own `key`.
    """

    def __init__(self, key: str = "status") -> None:
        with st.container(key=key):
            self._place = st.empty()
        self._show()

    def say(self, sentence: str) -> None:
        """Tell a sentence, also the one that was told last."""
        say_next(sentence)
        self._show()

    def _show(self) -> None:
        # Streamlit sends only what a place has last, so those before it stay there.
        told = _told()
        if told:
            self._place.html(
                "".join(f'<span data-say="{which}">{text}</span>' for which, text in told)
            )


def say_next(sentence: str) -> None:
    """Tell a sentence as soon as the page runs again: what a tap, whose callback this is, did."""
    told = _told()
    number = told[-1][0] + 1 if told else 1
    st.session_state.sentences = [*told, (number, html.escape(sentence))][-_KEPT:]


def _told() -> list[tuple[int, str]]:
    told: list[tuple[int, str]] = st.session_state.get("sentences", [])
    return told
