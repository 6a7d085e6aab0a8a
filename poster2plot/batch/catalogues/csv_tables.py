"""Tables as text, whose cells name posters: .csv and .txt with commas, .tsv with tabs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from poster2plot.batch.catalogues.columns import TITLES, poster_column, title_in
from poster2plot.batch.catalogues.stores import Place
from poster2plot.errors import InputError


def csv_cells(place: Place) -> Iterator[tuple[str, str]]:
    """The cells that name a poster, without those that are empty, and its title or nothing.

    Raises `InputError` where it is no table in UTF-8, or none of its columns has posters.
    """
    try:
        with (
            place.fs.open(place.path) as data,
            io.TextIOWrapper(data, encoding="utf-8-sig", newline="") as file,
        ):
            rows = csv.reader(file, delimiter="\t" if place.suffix == ".tsv" else ",")
            names = next(rows, [])
            column = poster_column(names, place.name)
            titles = names.index(TITLES) if TITLES in names else len(names)
            for row in rows:
                if len(row) > column and (cell := row[column].strip()):
                    yield cell, title_in(row[titles]) if len(row) > titles else ""
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{place.name!r} cannot be read as a table.") from error
