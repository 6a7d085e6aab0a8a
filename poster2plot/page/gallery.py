"""The plots of this visit as a wall of posters, any two of them side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from poster2plot import Poster2PlotError
from poster2plot.page import cached_resources
from poster2plot.page.announcements import say_next
from poster2plot.page.downloads import download_all
from poster2plot.page.escaping import escape_markdown, escape_paragraph
from poster2plot.page.saved_visits import open_visit
from poster2plot.page.session_state import (
    PlotKey,
    WrittenPlots,
    current_visitor,
    not_to_rewrite,
    written_plots,
)
from poster2plot.page.sidebar import BEAM_SEARCH, LABELS, SAMPLING
from poster2plot.page.votes import vote_of

TILE = 170  # px, the least width of a poster on the wall
SIDE_BY_SIDE = 2


def show_gallery(*, key: str) -> None:
    """In the order of time, each to be compared or forgotten. No two of a run have one `key`."""
    plots = written_plots()
    _open_saved_visit(key)
    if not plots:
        st.info("The plots of this visit are kept here until you close the page.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        download_all(list(plots), key=f"history {key}")
        is_newest_first = st.session_state.setdefault("gallery_newest_first", True)
        if len(plots) > 1:
            st.button(
                "Oldest first" if is_newest_first else "Newest first",
                icon=":material/swap_vert:",
                type="tertiary",
                key=f"order {key}",
                on_click=partial(
                    st.session_state.update, {"gallery_newest_first": not is_newest_first}
                ),
            )
        st.button(
            "Forget all",
            icon=":material/delete:",
            type="tertiary",
            key=f"forget all {key}",
            on_click=_forget,
            args=(list(plots),),
        )
    compared = _compared()
    if len(compared) == SIDE_BY_SIDE:
        _compare([plots[plot] for plot in compared])
    elif compared:
        st.caption("Choose another plot to compare it with.")
    wall = st.grid(min_column_width=TILE, border=True)
    for plot, each in [*plots.items()][:: -1 if is_newest_first else 1]:
        with wall.cell():
            _tile(plot, each, is_compared=plot in compared, key=key)


def _open_saved_visit(key: str) -> None:
    """A button, then an uploader; what came of it is said once."""
    if said := st.session_state.pop("said of saved visit", None):
        (st.error if said.is_error else st.success)(escape_markdown(said.sentence))
    if not st.session_state.get("opens saved visit"):
        st.button(
            "Open a saved visit",
            icon=":material/folder_open:",
            type="tertiary",
            key=f"open {key}",
            on_click=partial(st.session_state.update, {"opens saved visit": True}),
        )
        return
    field = f"visit {key}"
    st.file_uploader(
        "The ZIP or JSON of a download",
        type=["zip", "json"],
        key=field,
        on_change=_take_in,
        args=(field,),
    )


@dataclass(frozen=True)
class _Said:
    sentence: str
    is_error: bool = False


def _take_in(field: str) -> None:
    file = st.session_state[field]
    if file is None:
        return
    try:
        count = open_visit(file.getvalue(), cached_resources.desk(), current_visitor())
    except Poster2PlotError as error:
        said = _Said(str(error), is_error=True)
    else:
        st.session_state["opens saved visit"] = False
        added = "1 plot was added." if count == 1 else f"{count} plots were added."
        said = _Said(added if count else "These plots are here already.")
    st.session_state["said of saved visit"] = said


def _tile(plot: PlotKey, plots: WrittenPlots, *, is_compared: bool, key: str) -> None:
    st.image(plots.picture, alt=f"Poster: {plots.label}", width="stretch")
    st.caption(escape_paragraph(plots.label))
    st.markdown(escape_paragraph(plots.record["plot"]))
    if vote := vote_of(plot):
        st.caption(f"Your vote: {vote.lower()}")
    st.caption(escape_markdown(_in_short(plots.record)))
    with st.container(horizontal=True, gap="xsmall"):
        st.button(
            "Compared" if is_compared else "Compare",
            key=f"compare {hash(plot)} {key}",
            icon=":material/check:" if is_compared else ":material/compare:",
            type="tertiary",
            help=f"Put the plot of {escape_markdown(plots.label)} beside another one",
            on_click=_take_for_comparison,
            args=(plot,),
        )
        st.button(
            "Forget",
            key=f"forget {hash(plot)} {key}",
            icon=":material/delete:",
            type="tertiary",
            help=f"Forget the plot of {escape_markdown(plots.label)}",
            on_click=_forget,
            args=([plot],),
        )


def _compare(pair: list[WrittenPlots]) -> None:
    """Two plots, and in which settings they differ."""
    one, other = (_settings(plots.record) for plots in pair)
    differing = [name for name in one if one[name] != other.get(name)]
    with st.container(border=True):
        for column, plots, settings in zip(
            st.columns(SIDE_BY_SIDE), pair, (one, other), strict=True
        ):
            with column:
                st.image(plots.picture, alt=f"Compared poster: {plots.label}", width=160)
                st.caption(escape_paragraph(plots.label))
                st.markdown(f"**{escape_paragraph(plots.record['plot'])}**")
                st.caption(
                    "  \n".join(
                        f"{_label(name)}: {escape_markdown(_in_words(name, settings[name]))}"
                        for name in differing
                    )
                    or "Both by the same settings."
                )


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    title = (record["title"] or {}).get("title")
    used = (record["title"] or {}).get("used")
    return {**record["settings"], "title": title if used else "none", "model": record["model"]}


def _label(name: str) -> str:
    """What the sidebar calls a setting."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def _in_words(name: str, setting: object) -> str:
    if name == "sample":
        return SAMPLING if setting else BEAM_SEARCH
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    return f"{setting:g}" if isinstance(setting, float) else str(setting)


def _in_short(record: Mapping[str, Any]) -> str:
    settings = record["settings"]
    if settings["sample"]:
        how = f"sampling, temperature {settings['temperature']:g}, seed {settings['seed']}"
    else:
        how = f"{settings['num_beams']} beams"
    return f"{how}, guidance {settings['guidance']:g}"


def _compared() -> list[PlotKey]:
    """Those that are taken for comparison, at most two, without what was forgotten meanwhile."""
    compared: list[PlotKey] = st.session_state.setdefault("compared", [])
    compared[:] = [plot for plot in compared if plot in written_plots()]
    return compared


def _take_for_comparison(plot: PlotKey) -> None:
    compared = _compared()
    if plot in compared:
        compared.remove(plot)
    else:
        compared.append(plot)
        del compared[:-SIDE_BY_SIDE]


def _forget(keys: list[PlotKey]) -> None:
    labels = [written_plots().pop(key).label for key in keys if key in written_plots()]
    forgotten = f"The plot of {labels[0]} is" if len(labels) == 1 else f"{len(labels)} plots are"
    say_next(f"{forgotten} forgotten.")
    not_to_rewrite().update(keys)
