"""Arrow files with pictures in them, as `Dataset.save_to_disk` of the library datasets writes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

from poster2plot.batch.catalogues.columns import TITLES, poster_column, title_in
from poster2plot.batch.catalogues.stores import Place, open_file

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_rows(place: Place) -> Iterator[tuple[int, str]]:
    """The number of every row, and its poster's title or nothing.

    Raises what the store and pyarrow do.
    """
    table = _arrow_table(place.url)
    if TITLES in table.column_names:
        yield from enumerate(title_in(title.as_py()) for title in table.column(TITLES))
    else:
        yield from enumerate(repeat("", table.num_rows))


def arrow_picture(url: str, row: int) -> Any:
    """What row number `row`, from 0, of the file at `url` holds: bytes, or `bytes` and `path`.

    Raises `InputError` where no column has posters, and what the store and pyarrow do.
    """
    table = _arrow_table(url)
    return table.column(poster_column(table.column_names, url))[row].as_py()


@lru_cache(4)
def _arrow_table(url: str) -> pa.Table:
    """Arrow on a disk is mapped into memory, so that rows come from the disk."""
    import pyarrow as pa

    if "://" not in url:
        with pa.memory_map(url) as source:
            return pa.ipc.open_stream(source).read_all()
    with open_file(url) as source:
        return pa.ipc.open_stream(source).read_all()
