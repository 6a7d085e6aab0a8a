"""The page, read from top to bottom as it looks."""

from pathlib import Path

import streamlit as st

from poster2plot import Poster2PlotError
from poster2plot.page import cached_resources
from poster2plot.page.components import paste_into_uploader
from poster2plot.page.escaping import escape_markdown
from poster2plot.page.gallery import show_gallery
from poster2plot.page.inputs import choose_posters
from poster2plot.page.results import show_results
from poster2plot.page.session_state import current_visitor
from poster2plot.page.sidebar import choose_settings

st.set_page_config(page_title="Poster2Plot", page_icon=":material/movie:", layout="wide")
st.title("Poster2Plot", anchor=False)
st.markdown("Give it a movie or TV poster, get a plot that a small neural network invents for it.")

try:
    with st.spinner("Loading the model …"):
        desk = cached_resources.desk()
except Poster2PlotError as error:
    st.error(escape_markdown(str(error)))
    st.stop()

with st.sidebar:
    settings = choose_settings(desk.p2p)
    if desk.p2p.notice:
        st.warning(escape_markdown(desk.p2p.notice))
    st.caption(f"Model: {escape_markdown(desk.p2p.name)}  \nDevice: {desk.p2p.device.type.upper()}")

posters, history, about = st.tabs(["Posters", "History", "About"])
with posters:
    entries = choose_posters(current_visitor())
    if entries:
        show_results(entries, desk, settings)
    else:
        st.caption(":material/arrow_upward: The plot appears here, beside its poster.")
    paste_into_uploader()
with history:
    show_gallery()
with about:
    st.markdown(Path(__file__).with_name("about.md").read_text(encoding="utf-8"))
