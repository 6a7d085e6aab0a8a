"""Take plots along: buttons for a table, for JSON, and for a ZIP of the cards to share."""

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from poster2plot.page.escaping import file_stem
from poster2plot.page.session_state import PlotKey, written_plots
from poster2plot.page.share_card import plot_card
from poster2plot.page.votes import vote_of
from poster2plot.records import to_csv


def download_all(plots: Sequence[PlotKey], *, key: str) -> None:
    """Download buttons for these plots, if there are any."""
    plots = [plot for plot in plots if plot in written_plots()]
    if not plots:
        return
    count = f"{len(plots)} plots" if len(plots) > 1 else "the plot"
    formats = (
        ("CSV", "plots.csv", "text/csv", _as_csv),
        ("JSON", "plots.json", "application/json", _as_json),
        ("Cards", "plots.zip", "application/zip", _as_cards),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Download {count}:", width="content")
        for name, file, mime, make in formats:
            st.download_button(
                name,
                partial(make, plots),
                file_name=file,
                mime=mime,
                on_click="ignore",
                key=f"{name} {key}",
            )


def _record(plot: PlotKey) -> dict[str, Any]:
    """A plot's record with the visitor's vote, "" where there is none."""
    return {**written_plots()[plot].record, "vote": (vote_of(plot) or "").lower()}


def _as_json(plots: Sequence[PlotKey]) -> str:
    return json.dumps([_record(plot) for plot in plots], ensure_ascii=False, indent=2)


def _as_csv(plots: Sequence[PlotKey]) -> str:
    """The table of the records, with a column for the votes."""
    table = io.StringIO()
    writer = csv.writer(table)
    for i, record in enumerate(map(_record, plots)):
        head, *rows = csv.reader(io.StringIO(to_csv([record])))
        if i == 0:
            writer.writerow([*head, "vote"])
        writer.writerows([*row, record["vote"]] for row in rows)
    return table.getvalue()


def _as_cards(plots: Sequence[PlotKey]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # PNG is compressed already
        for number, plot in enumerate(plots, 1):
            written = written_plots()[plot]
            name = f"{number:03}-{file_stem(written.label)}.png"
            archive.writestr(name, plot_card(written.picture, written.record))
    return buffer.getvalue()
