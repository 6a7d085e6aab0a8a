"""Tables of JSON lines: an object in each, one of whose fields names a poster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from poster2plot.batch.catalogues.columns import (
    SAMPLE,
    TITLES,
    Cell,
    poster_cell,
    poster_column,
    title_column,
    title_in,
)
from poster2plot.batch.catalogues.csv_tables import TROUBLES
from poster2plot.batch.catalogues.passed_over import PassedOver
from poster2plot.batch.catalogues.stores import Place
from poster2plot.batch.catalogues.text_files import open_text
from poster2plot.batch.catalogues.trouble import raise_failure
from poster2plot.errors import InputError


def json_cells(place: Place, passed_over: PassedOver | None = None) -> Iterator[Cell]:
    """The fields that name a poster, with its title; lines without one are passed over.

    Raises `InputError` where it is no such table, or no field has posters.
    """
    try:
        with open_text(place) as file:
            rows = _rows(file)
            first = list(islice(rows, SAMPLE))
            names = list(dict.fromkeys(name for row in first for name in row))
            column = poster_column(
                names,
                place.shown,
                lambda column: [str(row.get(names[column]) or "") for row in first],
            )
            place_of_title = title_column(names)
            titles = TITLES if place_of_title is None else names[place_of_title]
            for row in chain(first, rows):
                value = row.get(names[column])
                cell = (
                    poster_cell(names[column], value)
                    if isinstance(value, str | int | float)
                    else ""
                )
                if cell:
                    yield Cell(cell, title_in(row.get(titles)))
                elif passed_over is not None:
                    passed_over.add("lines without a poster", place.shown)
    except (*TROUBLES, ValueError) as error:
        raise_failure(error, place.shown, place.url)
        raise InputError(f"{place.shown!r} cannot be read as JSON objects, one a line.") from error


def _rows(lines: Any) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not an object")
            yield row
