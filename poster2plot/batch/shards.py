"""What is written, in shards that are complete or absent, so that a killed run loses none.

Shard k holds the rows of chunk k of a catalogue. Its name has a digest of what the chunk lists and
of what was asked for: a shard that is there need not be written again, whoever wrote it, and one
of another catalogue or of other settings is never taken for it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec

from poster2plot.batch.catalogues.item import Item
from poster2plot.errors import InputError
from poster2plot.records import harmless

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 128  # items; what a kill costs at most
FORMATS = (".parquet", ".csv", ".jsonl")
_SHARDS_PER_ROW_GROUP = 256  # of an output in Parquet, whose writer keeps a record of each group
COLUMNS = (
    "source", "plot", "score", "candidates", "model", "title", "title_source", "title_used", "year",
    "synopsis", "attribution", "error",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """`CHUNK` items or, at the end, fewer; `name` is that of their shard."""

    name: str
    items: tuple[Item, ...]


def chunks(items: Iterable[Item], depends_on: str) -> Iterator[Chunk]:
    """Cut a catalogue up. `depends_on` is whatever else the rows depend on, as text."""
    number, rest = 0, iter(items)
    while chunk := tuple(islice(rest, CHUNK)):
        listed = (text for each in chunk for text in (each.source, each.title))
        digest = hashlib.sha256("\0".join([depends_on, *listed]).encode())
        yield Chunk(f"{number:08d}-{digest.hexdigest()[:16]}", chunk)
        number += 1


class Shards:
    """The shards of `output`, in the folder `OUTPUT.parts` of any file system of fsspec.

    `output` is an absolute path or a URL.
    """

    def __init__(self, output: str) -> None:
        """Raises `InputError` for an output that cannot be written."""
        self.output = output if "://" in output else str(Path(output).absolute())
        self.suffix = PurePosixPath(output).suffix
        if self.suffix not in FORMATS:
            raise InputError(f"The output {output!r} must end in {', '.join(FORMATS)}.")
        try:
            self._fs, self._output = fsspec.core.url_to_fs(output)
            self._folder = f"{self._output}.parts"
            if self._fs.exists(self._output):
                raise InputError(f"{output!r} is there already; remove it or name another output.")
            self._fs.makedirs(self._folder, exist_ok=True)
        except (ValueError, ImportError, OSError) as error:
            raise InputError(f"The output {output!r} cannot be written: {error}.") from error
        self._is_local = "file" in self._fs.protocol

    def complete(self) -> set[str]:
        """The names of the complete shards."""
        self._fs.invalidate_cache()
        names = (PurePosixPath(path).name for path in self._fs.find(self._folder))
        return {name.removesuffix(self.suffix) for name in names if name.endswith(self.suffix)}

    def write(self, name: str, rows: Sequence[Row]) -> None:
        """Write a shard: whole or not at all, also when two try at once."""
        data = _encode(rows, self.suffix)
        path = f"{self._folder}/{name}{self.suffix}"
        if not self._is_local:
            self._fs.pipe_file(path, data)  # an object appears when it is complete
            return
        temporary = f"{self._folder}/{uuid.uuid4().hex}.tmp"
        self._fs.pipe_file(temporary, data)
        self._fs.mv(temporary, path)

    def merge(self, names: Iterable[str]) -> None:
        """Make the one output of these shards, in this order, and remove the shards."""
        temporary = f"{self._folder}/{uuid.uuid4().hex}.tmp"
        with self._fs.open(temporary, "wb") as file:
            merge = _merge_parquet if self.suffix == ".parquet" else _merge_lines
            merge(
                file,
                (self._fs.cat_file(f"{self._folder}/{name}{self.suffix}") for name in names),
            )
        self._fs.mv(temporary, self._output)
        self._fs.rm(self._folder, recursive=True)


def _encode(rows: Sequence[Row], suffix: str) -> bytes:
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(list(rows), _schema()), buffer)
        return buffer.getvalue()
    if suffix == ".jsonl":
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        return "".join(f"{line}\n" for line in lines).encode()
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    for row in rows:
        row = row | {"candidates": json.dumps(row["candidates"], ensure_ascii=False)}
        writer.writerow({column: harmless(cell) for column, cell in row.items()})
    return table.getvalue().encode()


def _schema() -> pa.Schema:
    import pyarrow as pa

    text = pa.string()
    kinds = dict.fromkeys(COLUMNS, text) | {
        "score": pa.float64(),
        "candidates": pa.list_(pa.struct({"text": text, "score": pa.float64()})),
        "title_used": pa.bool_(),
        "year": pa.int32(),
    }
    return pa.schema(list(kinds.items()))


def _merge_parquet(file: Any, shards: Iterator[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = (pq.read_table(io.BytesIO(shard), schema=_schema()) for shard in shards)
    with pq.ParquetWriter(file, _schema()) as writer:
        while group := list(islice(tables, _SHARDS_PER_ROW_GROUP)):
            writer.write_table(pa.concat_tables(group))


def _merge_lines(file: Any, shards: Iterator[bytes]) -> None:
    header = ",".join(COLUMNS).encode() + b"\r\n"
    for number, shard in enumerate(shards):
        file.write(shard.removeprefix(header) if number else shard)
