"""Tables of results."""

import csv
import io
from typing import Any

from poster2plot import Candidate, GenerationSettings
from poster2plot.inputs import Title
from poster2plot.records import plot_record, to_csv


def record(source: str, *texts: str, title: Title | None = None) -> dict[str, Any]:
    candidates = [Candidate(text, -1.23456, (1,), (0, 5) if title else (0,)) for text in texts]
    return plot_record(
        source,
        candidates,
        model="m",
        device="cpu",
        settings=GenerationSettings(),
        seconds=1.0,
        title=title,
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
    evil = record("=cmd|' /C calc'!A0", "@SUM(1)", title=Title("-1+1", "given"))
    [row] = csv.DictReader(io.StringIO(to_csv([evil])))
    assert row["source"] == "'=cmd|' /C calc'!A0"
    assert row["plot"] == "'@SUM(1)"
    assert row["title"] == "'-1+1"


def test_a_row_says_whether_the_title_was_used():
    records = [record("a", "x", title=Title("The Sea", "IMDb")), record("b", "y")]
    table = csv.DictReader(io.StringIO(to_csv(records)))
    assert [(row["title"], row["title_used"]) for row in table] == [
        ("The Sea", "True"),
        ("", "False"),
    ]
