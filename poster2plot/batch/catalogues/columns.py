"""Which column of a table has the posters."""

from __future__ import annotations

from collections.abc import Sequence

from poster2plot.errors import InputError

COLUMNS = (
    "image", "path", "file", "file_name", "poster", "imdb_title_id", "imdb_id", "tconst", "id",
)  # fmt: skip  # of a table, the first that is there


def poster_column(names: Sequence[str], table: str) -> int:
    """The place, from 0, of the posters among the column `names`.

    Raises `InputError`, which calls the table `table`, where none of `COLUMNS` is there.
    """
    for name in COLUMNS:
        if name in names:
            return names.index(name)
    raise InputError(f"{table!r} has none of the columns {', '.join(COLUMNS)}.")
