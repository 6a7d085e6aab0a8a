"""Parquet tables, whose cells name posters or hold them as pictures."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any

from poster2plot.batch.catalogues.columns import TITLES, poster_column, title_in
from poster2plot.batch.catalogues.stores import Place, open_file
from poster2plot.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_row_group_lock = threading.Lock()  # or every reader would fetch the same one


def parquet_cells(place: Place) -> Iterator[tuple[str | int, str]]:
    """The cells that name a poster or, of a table with pictures in it, the number of every row.

    With each comes the poster's title, or nothing.

    Raises `InputError` where it is no Parquet table, or none of its columns has posters.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with place.fs.open(place.path) as file, pq.ParquetFile(file) as table:
            schema = table.schema_arrow
            column = schema.field(poster_column(schema.names, place.name))
            titles = map(title_in, _values(table, TITLES))
            if pa.types.is_struct(column.type) or pa.types.is_binary(column.type):
                yield from enumerate(titles)
                return
            for cell, title in zip(_values(table, column.name), titles, strict=True):
                if cell:
                    yield str(cell), title
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{place.name!r} cannot be read as a table.") from error


def _values(table: pq.ParquetFile, name: str) -> Iterator[Any]:
    """Every row's value of a column; None where there is no such column."""
    exists = name in table.schema_arrow.names
    for batch in table.iter_batches(columns=[name] if exists else []):
        yield from batch.column(0).to_pylist() if exists else repeat(None, batch.num_rows)


def parquet_picture(url: str, row: int) -> Any:
    """What row number `row`, from 0, of the table at `url` holds: bytes, or `bytes` and `path`.

    Raises `InputError` where no column has posters, and what the store and pyarrow do.
    """
    with _row_group_lock:
        starts = _row_group_starts(url)
        group = bisect_right(starts, row) - 1
        table = _row_group(url, group)
    return table.column(0)[row - starts[group]].as_py()


@lru_cache(16)
def _row_group_starts(url: str) -> list[int]:
    """The number of the first row of each row group."""
    import pyarrow.parquet as pq

    with open_file(url) as source, pq.ParquetFile(source) as table:
        groups = range(table.metadata.num_row_groups)
        return [0, *accumulate(table.metadata.row_group(i).num_rows for i in groups)][:-1]


@lru_cache(2)
def _row_group(url: str, group: int) -> pa.Table:
    """The posters of a row group, in the only column."""
    import pyarrow.parquet as pq

    with open_file(url) as source, pq.ParquetFile(source) as table:
        names = table.schema_arrow.names
        return table.read_row_group(group, columns=[names[poster_column(names, url)]])
