"""The one JSON shape of a result, for every face of the program, and tables made of it."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from poster2plot.errors import AmbiguousNameError
from poster2plot.imdb.poster import Poster
from poster2plot.inputs import Title
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
    title: Title | None = None,
) -> dict[str, Any]:
    """A plot with its candidates, best first, and how it came about.

    `seconds` is the time from reading the poster to the finished plot. `title` of the record is
    None where no title is known, else an object: the `title` as text, its `source` ("given",
    "IMDb" or "read"), and whether the plot was written from it (`used`). One that was read from
    the poster has a `confidence`, the probability that it is right. A poster found by IMDb id adds
    what the service tells of it, synopsis and attribution included; then `title` and `source` may
    be None, as some services know no more than the picture.
    """
    return {
        "source": source,
        "plot": candidates[0].text,
        "title": _about(poster, title, used=candidates[0].used_title),
        "candidates": [
            {"text": candidate.text, "score": round(candidate.score, 4)} for candidate in candidates
        ],
        "model": model,
        "device": device,
        "settings": asdict(settings),
        "seconds": round(seconds, 3),
    }


def _about(poster: Poster | None, title: Title | None, *, used: bool) -> dict[str, Any] | None:
    if poster is None and title is None:
        return None
    about = {} if poster is None else asdict(poster)
    about.pop("image_bytes", None)
    about |= {
        "title": title.text if title else None,
        "source": title.source if title else None,
        "used": used,
    }
    if title and title.confidence is not None:
        about["confidence"] = round(title.confidence, 3)
    return about


def title_and_year(about: Mapping[str, Any]) -> str:
    """What to call a poster by the `title` of its record."""
    year = f" ({about['year']})" if about.get("year") else ""
    return f"{about['title'] or about['title_id']}{year}"


def written_from(record: Mapping[str, Any]) -> str:
    """From what the plot of a record was written, as a phrase."""
    used = (record["title"] or {}).get("used")
    return "from the poster and its title" if used else "from the poster alone"


def error_record(source: str, error: Exception) -> dict[str, Any]:
    """What stands in a plot's place when its input could not be used."""
    return {"source": source, "error": str(error), **choice(error)}


def choice(error: Exception) -> dict[str, Any]:
    """What an error offers instead: the `titles` that an ambiguous name may mean."""
    if not isinstance(error, AmbiguousNameError):
        return {}
    return {"titles": [asdict(match) for match in error.matches]}


def to_csv(records: Sequence[dict[str, Any]]) -> str:
    """A table of `plot_record`s with a row for each candidate, best first.

    A cell that a spreadsheet would run as a formula gets an apostrophe before it (OWASP, CSV
    injection).
    """
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["source", "title", "title_used", "rank", "plot", "score", "model", "seconds"])
    for record in records:
        about = record["title"] or {}
        title = [about.get("title") or "", about.get("used", False)]
        for rank, candidate in enumerate(record["candidates"], 1):
            row = [record["source"], *title, rank, candidate["text"], candidate["score"]]
            writer.writerow([harmless(cell) for cell in [*row, record["model"], record["seconds"]]])
    return table.getvalue()


def harmless(cell: object) -> object:
    """A cell that no spreadsheet runs as a formula."""
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if is_formula else cell
