"""Take plots along: buttons for a table and for JSON."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from poster2plot.records import to_csv


def download_all(records: Sequence[dict[str, Any]], *, key: str) -> None:
    """Download buttons for these records, if there are any."""
    if not records:
        return
    count = f"{len(records)} plots" if len(records) > 1 else "the plot"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Download {count}:", width="content")
        st.download_button(
            "CSV",
            partial(to_csv, records),
            file_name="plots.csv",
            mime="text/csv",
            on_click="ignore",
            key=f"csv {key}",
        )
        st.download_button(
            "JSON",
            partial(json.dumps, records, ensure_ascii=False, indent=2),
            file_name="plots.json",
            mime="application/json",
            on_click="ignore",
            key=f"json {key}",
        )
