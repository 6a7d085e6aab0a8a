"""What screen readers are told; components/page_manners.js passes it on."""

import html

import streamlit as st

_KEPT = 8  # sentences, of which the browser says those that it has not said


class Announcer:
    """A place on the page for one sentence after another, each of them told once."""

    def __init__(self) -> None:
        with st.container(key="status"):
            self._place = st.empty()

    def say(self, sentence: str) -> None:
        """Tell a sentence, also the one that was told last."""
        told: list[tuple[int, str]] = st.session_state.get("sentences", [])
        number = told[-1][0] + 1 if told else 1
        # Streamlit sends only what a place has last, so those before it stay there.
        told = [*told, (number, html.escape(sentence))][-_KEPT:]
        st.session_state.sentences = told
        self._place.html("".join(f'<span data-say="{which}">{text}</span>' for which, text in told))
