"""What screen readers are told; components/page_manners.js passes it on."""

import html

import streamlit as st


class Announcer:
    """A place on the page for one sentence after another, each of them told once."""

    def __init__(self) -> None:
        with st.container(key="status"):
            self._place = st.empty()

    def say(self, sentence: str) -> None:
        """Tell a sentence, also the one that was told last."""
        number = st.session_state.get("sentences", 0) + 1
        st.session_state.sentences = number
        self._place.html(f'<span data-say="{number}">{html.escape(sentence)}</span>')
