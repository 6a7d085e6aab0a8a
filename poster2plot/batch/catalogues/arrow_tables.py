"""Parquet and Arrow tables, whose cells name posters or hold them as pictures."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from poster2plot.batch.catalogues.columns import (
    SAMPLE,
    Cell,
    Column,
    InRow,
    arrow_column,
    title_column,
)
from poster2plot.batch.catalogues.stores import Place, open_file, version
from poster2plot.batch.catalogues.trouble import raise_failure
from poster2plot.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PARQUET = (".parquet", ".pq", ".parq")
ARROW = (".arrow", ".feather", ".ipc")
_ROWS = 64  # of pictures that are read at once to see which of them are there
_BUFFER = 2**20  # bytes; without one, a whole column of a row group would be read

_row_group_lock = threading.Lock()  # or every reader would fetch the same one


def parquet_cells(place: Place) -> Iterator[Cell]:
    """The cells that name a poster or, of a table with pictures in it, the place of every one.

    With each comes the title of its row, or nothing.

    Raises `InputError` where it is no Parquet table, or none of its columns has posters.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with (
            place.fs.open(place.path) as file,
            pq.ParquetFile(file, buffer_size=_BUFFER) as table,
        ):
            column = arrow_column(
                table.schema_arrow, place.shown, partial(_first_of_parquet, table)
            )
            names = table.schema_arrow.names
            place_of_title = title_column(names)
            titles = [] if place_of_title is None else [names[place_of_title]]
            all_inside = column.holds_pictures and _all_inside(table.metadata, column.path)
            if all_inside and not titles:
                single = Column(column.path, True)
                yield from _every_row(table.metadata.num_rows, single)
                return
            row = 0
            size = _ROWS if column.holds_pictures else 8192
            for batch in table.iter_batches(size, columns=[column.path[0], *titles]):
                yield from column.cells(batch, row)
                row += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise_failure(error, place.shown, place.url)
        raise InputError(f"{place.shown!r} cannot be read as a table; is it complete?") from error


def _every_row(count: int, column: Column) -> Iterator[Cell]:
    detail = json.dumps(column.path)
    for row in range(count):
        yield Cell(InRow(row, detail))


def _first_of_parquet(table: pq.ParquetFile, name: str) -> pa.RecordBatch | None:
    return next(table.iter_batches(SAMPLE, columns=[name]), None)


def _all_inside(metadata: Any, path: tuple[str, ...]) -> bool:
    """Whether the statistics of a table say that no picture's bytes are missing."""
    wanted = {".".join(path), ".".join((*path, "bytes"))}
    for group in range(metadata.num_row_groups):
        columns = [metadata.row_group(group).column(i) for i in range(metadata.num_columns)]
        fitting = [each for each in columns if each.path_in_schema in wanted]
        if not fitting:
            return False  # a list
        for each in fitting:
            if each.path_in_schema == ".".join(path):
                continue  # bytes alone; what is null is an error of its row
            statistics = each.statistics
            if not statistics or not statistics.has_null_count or statistics.null_count:
                return False
    return True


def arrow_cells(place: Place) -> Iterator[Cell]:
    """As `parquet_cells`, of an Arrow file or stream."""
    import pyarrow as pa

    try:
        table = _arrow_table(place.url, version(place.url))
        column = arrow_column(table.schema, place.shown, lambda _: _first_of_arrow(table))
        row = 0
        for batch in table.to_batches(max_chunksize=8192):
            yield from column.cells(batch, row)
            row += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise_failure(error, place.shown, place.url)
        raise InputError(f"{place.shown!r} cannot be read as a table; is it complete?") from error


def _first_of_arrow(table: pa.Table) -> pa.RecordBatch | None:
    return next(iter(table.slice(0, SAMPLE).to_batches()), None)


def arrow_rows(place: Place, column: str) -> list[int]:
    """The whole numbers of a column, such as the indices that datasets keeps of a shuffle."""
    table = _arrow_table(place.url, version(place.url))
    numbers: list[int] = table.column(column).to_pylist()
    return numbers


def arrow_length(place: Place) -> int:
    """How many rows an Arrow file has."""
    return int(_arrow_table(place.url, version(place.url)).num_rows)


def picture_in_row(url: str, of_file: str, row: int, path: list[str | int]) -> Any:
    """What is at `path` in row number `row`, from 0, of the table at `url`.

    That is bytes, a dictionary with `bytes` or `path`, or nothing. `of_file` is the version of
    the file, so that nothing of an older one is kept. Raises what the store and pyarrow do.
    """
    if url.lower().endswith(PARQUET):
        with _row_group_lock:
            starts = _row_group_starts(url, of_file)
            group = bisect_right(starts, row) - 1
            table = _row_group(url, of_file, group, str(path[0]))
        row -= starts[group]
    else:
        table = _arrow_table(url, of_file)
    value = table.column(str(path[0]))[row].as_py()
    for step in path[1:]:
        if value is None:
            break
        value = value[step]
    return None if isinstance(value, list) else value


@lru_cache(16)
def _row_group_starts(url: str, of_file: str) -> list[int]:  # noqa: ARG001  # for the cache
    """The number of the first row of each row group."""
    import pyarrow.parquet as pq

    with open_file(url) as source, pq.ParquetFile(source) as table:
        groups = range(table.metadata.num_row_groups)
        return [0, *accumulate(table.metadata.row_group(i).num_rows for i in groups)][:-1]


@lru_cache(2)
def _row_group(url: str, of_file: str, group: int, column: str) -> pa.Table:  # noqa: ARG001
    """The posters of a row group, in the only column."""
    import pyarrow.parquet as pq

    with open_file(url) as source, pq.ParquetFile(source) as table:
        return table.read_row_group(group, columns=[column])


@lru_cache(4)
def _arrow_table(url: str, of_file: str) -> pa.Table:  # noqa: ARG001  # for the cache
    """Arrow on a disk is mapped into memory, so that rows come from the disk."""
    import pyarrow as pa

    with pa.memory_map(url) if "://" not in url else open_file(url) as source:
        start = source.read(6)
        source.seek(0)
        if start == b"ARROW1":
            return pa.ipc.open_file(source).read_all()
        return pa.ipc.open_stream(source).read_all()
