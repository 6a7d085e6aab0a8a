"""Take plots along: buttons for a table, for JSON, and for a ZIP with posters and cards."""

import csv
import io
from collections.abc import Sequence
from functools import partial

import streamlit as st

from poster2plot.page.saved_visits import KeptPlot, as_archive, as_json, kept
from poster2plot.page.session_state import PlotKey
from poster2plot.records import to_csv


def download_all(keys: Sequence[PlotKey], *, key: str) -> None:
    """Download buttons for these plots, if there are any."""
    plots = kept(keys)
    if not plots:
        return
    count = f"{len(plots)} plots" if len(plots) > 1 else "the plot"
    formats = (
        ("CSV", "plots.csv", "text/csv", as_csv),
        ("JSON", "plots.json", "application/json", as_json),
        ("ZIP", "plots.zip", "application/zip", as_archive),
    )
    with st.container(horizontal=True, vertical_alignment="center", key=f"downloads {key}"):
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


def as_csv(plots: Sequence[KeptPlot]) -> str:
    """The table of the records, with a column for the votes."""
    table = io.StringIO()
    writer = csv.writer(table)
    for i, record in enumerate(plot.record for plot in plots):
        head, *rows = csv.reader(io.StringIO(to_csv([record])))
        if i == 0:
            writer.writerow([*head, "vote"])
        writer.writerows([*row, record["vote"]] for row in rows)
    return table.getvalue()
