"""The plots of this visit as a gallery."""

import streamlit as st

from poster2plot.page.downloads import download_all
from poster2plot.page.escaping import escape_markdown
from poster2plot.page.session_state import PlotKey, not_to_rewrite, written_plots

COLUMNS = 4


def show_gallery(*, key: str) -> None:
    """Newest first, each with a button to forget it. No two of a run have the same `key`."""
    plots = written_plots()
    if not plots:
        st.info("The plots of this visit are kept here until you close the page.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        download_all([each.record for each in plots.values()], key=f"history {key}")
        st.button(
            "Forget all",
            icon=":material/delete:",
            type="tertiary",
            key=f"forget all {key}",
            on_click=_forget,
            args=(list(plots),),
        )
    newest = list(reversed(plots.items()))
    for start in range(0, len(newest), COLUMNS):
        for column, (plot, each) in zip(
            st.columns(COLUMNS), newest[start : start + COLUMNS], strict=False
        ):
            with column, st.container(border=True):
                st.image(each.picture, alt=f"Poster: {each.label}", width="stretch")
                st.caption(escape_markdown(each.label))
                st.markdown(escape_markdown(each.record["plot"]))
                st.button(
                    "Forget",
                    key=f"forget {hash(plot)} {key}",
                    icon=":material/delete:",
                    type="tertiary",
                    help=f"Forget the plot of {each.label}",
                    on_click=_forget,
                    args=([plot],),
                )


def _forget(keys: list[PlotKey]) -> None:
    for key in keys:
        written_plots().pop(key, None)
    not_to_rewrite().update(keys)
