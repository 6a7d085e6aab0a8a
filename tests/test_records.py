"""Tables of results."""

import csv
import io
from typing import Any

from poster2plot import Candidate, GenerationSettings
from poster2plot.records import plot_record, to_csv


def record(source: str, *texts: str) -> dict[str, Any]:
    candidates = [Candidate(text, -1.23456, (1,)) for text in texts]
    return plot_record(
        source, candidates, model="m", device="cpu", settings=GenerationSettings(), seconds=1.0
    )


def test_a_row_for_each_candidate():
    table = list(
        csv.DictReader(io.StringIO(to_csv([record("a", "One, two."), record("b", "x", "y")])))
    )
    assert [(row["source"], row["rank"], row["plot"]) for row in table] == [
        ("a", "1", "One, two."),
        ("b", "1", "x"),
        ("b", "2", "y"),
    ]
    assert table[0]["score"] == "-1.2346"


def test_no_cell_is_a_formula():
    [row] = csv.DictReader(io.StringIO(to_csv([record("=cmd|' /C calc'!A0", "@SUM(1)")])))
    assert row["source"] == "'=cmd|' /C calc'!A0"
    assert row["plot"] == "'@SUM(1)"
