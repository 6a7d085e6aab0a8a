"""Which column of a table has the posters, and what one with titles says."""

from __future__ import annotations

from collections.abc import Sequence

from poster2plot.errors import InputError
from poster2plot.imdb.ids import looks_like_title
from poster2plot.title_prompts import clean_title

COLUMNS = (
    "image", "path", "file", "file_name", "poster", "imdb_title_id", "imdb_id", "tconst", "id",
)  # fmt: skip  # of a table, the first that is there
TITLES = "title"  # the column of titles, if there is one


def poster_column(names: Sequence[str], table: str) -> int:
    """The place, from 0, of the posters among the column `names`.

    Raises `InputError`, which calls the table `table`, where none of `COLUMNS` is there.
    """
    for name in COLUMNS:
        if name in names:
            return names.index(name)
    raise InputError(f"{table!r} has none of the columns {', '.join(COLUMNS)}.")


def title_in(cell: object) -> str:
    """The title that a cell holds, cleaned; nothing where it is a number, or an IMDb id or URL."""
    is_title = isinstance(cell, str) and not looks_like_title(cell)
    return clean_title(str(cell)) if is_title else ""
