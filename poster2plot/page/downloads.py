"""Take plots along: buttons for a table, for JSON, and for a ZIP with posters and cards."""

import csv
import io
from collections.abc import Sequence
from functools import partial

import streamlit as st

from poster2plot.page.saved_visits import as_archive, as_json, record_with_vote
from poster2plot.page.session_state import PlotKey, written_plots
from poster2plot.records import to_csv


def download_all(plots: Sequence[PlotKey], *, key: str) -> None:
    """Download buttons for these plots, if there are any."""
    plots = [plot for plot in plots if plot in written_plots()]
    if not plots:
        return
    count = f"{len(plots)} plots" if len(plots) > 1 else "the plot"
    formats = (
        ("CSV", "plots.csv", "text/csv", _as_csv),
        ("JSON", "plots.json", "application/json", as_json),
        ("ZIP", "plots.zip", "application/zip", as_archive),
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


def _as_csv(plots: Sequence[PlotKey]) -> str:
    """The table of the records, with a column for the votes."""
    table = io.StringIO()
    writer = csv.writer(table)
    for i, record in enumerate(map(record_with_vote, plots)):
        head, *rows = csv.reader(io.StringIO(to_csv([record])))
        if i == 0:
            writer.writerow([*head, "vote"])
        writer.writerows([*row, record["vote"]] for row in rows)
    return table.getvalue()
