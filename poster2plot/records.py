"""The one JSON shape of a result, for every face of the program, and tables made of it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from poster2plot.imdb.poster import Poster
from poster2plot.pipeline import Candidate
from poster2plot.settings import GenerationSettings


def plot_record(
    source: str,
    candidates: Sequence[Candidate],
    *,
    model: str,
    device: str,
    settings: GenerationSettings,
    seconds: float,
    poster: Poster | None = None,
) -> dict[str, Any]:
    """A plot with its candidates, best first, and how it came about.

    `seconds` is the time from reading the poster to the finished plot. A poster found by IMDb
    title adds `title`: what the service tells of it, synopsis and attribution included.
    """
    record: dict[str, Any] = {
        "source": source,
        "plot": candidates[0].text,
        "candidates": [
            {"text": candidate.text, "score": round(candidate.score, 4)} for candidate in candidates
        ],
        "model": model,
        "device": device,
        "settings": asdict(settings),
        "seconds": round(seconds, 3),
    }
    if poster is not None:
        title = asdict(poster)
        del title["image_bytes"]
        record["title"] = title
    return record


def error_record(source: str, error: Exception) -> dict[str, Any]:
    """What stands in a plot's place when its input could not be used."""
    return {"source": source, "error": str(error)}


def to_csv(records: Sequence[dict[str, Any]]) -> str:
    """A table of `plot_record`s with a row for each candidate, best first.

    A cell that a spreadsheet would run as a formula gets an apostrophe before it (OWASP, CSV
    injection).
    """
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["source", "title", "rank", "plot", "score", "model", "seconds"])
    for record in records:
        title = (record.get("title") or {}).get("title") or ""
        for rank, candidate in enumerate(record["candidates"], 1):
            row = [record["source"], title, rank, candidate["text"], candidate["score"]]
            writer.writerow([harmless(cell) for cell in [*row, record["model"], record["seconds"]]])
    return table.getvalue()


def harmless(cell: object) -> object:
    """A cell that no spreadsheet runs as a formula."""
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if is_formula else cell
