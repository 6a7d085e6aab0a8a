"""The page, read from top to bottom as it looks."""

from contextlib import nullcontext
from pathlib import Path

import streamlit as st

from poster2plot import Poster2PlotError
from poster2plot.page import cached_resources, links
from poster2plot.page.components import page_manners
from poster2plot.page.escaping import escape_markdown
from poster2plot.page.first_load import DESCRIPTION
from poster2plot.page.gallery import show_gallery
from poster2plot.page.guess import play
from poster2plot.page.inputs import choose_posters, follow_again
from poster2plot.page.results import Results
from poster2plot.page.session_state import current_visitor
from poster2plot.page.sidebar import choose_settings

FOLDER = Path(__file__).parent

st.set_page_config(page_title="Poster2Plot", layout="wide")
st.html(FOLDER / "page.css")
st.title("Poster2Plot", anchor=False)
with st.container(key="tagline"):
    st.markdown(DESCRIPTION)

# Every run sends the whole page anew, so what nobody looks at is left out.
posters, history, game, about = st.tabs(
    ["Posters", "History", "Guess", "About"], key="tab", on_change="rerun"
)
with posters:
    trouble = st.container()  # above what would be of no use then
    page_manners(on_return=follow_again)
    # Posters can be chosen before the model is there.
    entries, search = choose_posters(current_visitor())
    try:
        with nullcontext() if cached_resources.is_loaded() else st.spinner("Loading the model …"):
            desk = cached_resources.desk()
    except Poster2PlotError as error:
        trouble.error(escape_markdown(str(error)))
        st.stop()

with st.sidebar:
    settings = choose_settings(desk.p2p)
    if desk.p2p.notice:
        st.warning(escape_markdown(desk.p2p.notice))
    st.caption(f"Model: {escape_markdown(desk.p2p.name)}  \nDevice: {desk.p2p.device.type.upper()}")

with posters:
    hint = st.empty()
    if not entries:
        hint.caption(":material/arrow_upward: The plot appears here, beside its poster.")
    elif links.is_of_other_model(desk.p2p, entries[0].source):
        hint.info("This link was made with another model, whose plot was another one.")
    results = Results(entries, search, desk, settings)
# What does not wait for the model comes first, so that it can be used while the model writes.
with about, st.container(key="about"):
    st.markdown((FOLDER / "about.md").read_text(encoding="utf-8"))
if game.open:
    with game:
        play(desk, settings)
gallery = history.empty()
if history.open:
    with gallery.container():
        show_gallery(key="before")
is_complete = results.is_complete
with posters:
    results.write()
if history.open and not is_complete:
    with gallery.container():
        show_gallery(key="after")
