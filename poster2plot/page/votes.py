"""What the visitor thinks of each plot; it stays in the visit and its downloads."""

import streamlit as st

from poster2plot.page.session_state import PlotKey

GOOD, NONSENSE = "Good", "Nonsense"
_ICONS = {GOOD: ":material/thumb_up:", NONSENSE: ":material/thumb_down:"}


def vote_of(plot: PlotKey) -> str | None:
    """The visitor's vote on a plot: `GOOD`, `NONSENSE` or none."""
    return _votes().get(plot)


def ask_for_vote(plot: PlotKey, *, key: str) -> None:
    """Two buttons, of which none or one is pressed."""
    # The field has this plot's vote, though another was shown in its place before.
    if st.session_state.get(key) != vote_of(plot):
        st.session_state[key] = vote_of(plot)
    st.pills(
        "What do you think of this plot?",
        [GOOD, NONSENSE],
        format_func=lambda vote: f"{_ICONS[vote]} {vote}",
        key=key,
        label_visibility="collapsed",
        width="content",
        on_change=_vote,
        args=(plot, key),
    )


def set_vote(plot: PlotKey, vote: str | None) -> None:
    """Take a vote down, or back."""
    if vote is None:
        _votes().pop(plot, None)
    else:
        _votes()[plot] = vote


def _vote(plot: PlotKey, key: str) -> None:
    set_vote(plot, st.session_state[key])


def _votes() -> dict[PlotKey, str]:
    votes: dict[PlotKey, str] = st.session_state.setdefault("votes", {})
    return votes
