"""What is written, in shards that are complete or absent, so that a killed run loses none.

A shard holds the rows of a chunk of a catalogue. Its name begins with a digest of all that these
rows depend on: what was listed, each file's version included, and what was asked for. A shard that
is there need not be written again, whoever wrote it, and one of other pictures or settings is never
taken for it. The name also has how many of the rows are errors, and a digest of the content, by
which a shard that was cut off or damaged is known when it is read.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import os
import stat
import tempfile
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from poster2plot.batch.catalogues.folders import RECORD
from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.stores import file_system_named
from poster2plot.errors import InputError
from poster2plot.records import harmless

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 128  # items, about; what a kill costs
FORMATS = (".parquet", ".csv", ".jsonl")
_SHARDS_PER_ROW_GROUP = 256  # of an output in Parquet, whose writer keeps a record of each group
COLUMNS = (
    "source", "plot", "score", "candidates", "model", "title", "title_source", "title_used", "year",
    "synopsis", "attribution", "error",
)  # fmt: skip
# What rows of this program are; a number more for each change in what is in a column.
ROW_FORMAT = [2, *COLUMNS]

Row = dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """Some items, `CHUNK` on the average; `name` is that of their shard."""

    name: str
    items: tuple[Item, ...]


def chunks(
    items: Iterable[Item], depends_on: str, *, titles_depend_on: str = ""
) -> Iterator[Chunk]:
    """Cut a catalogue up. `depends_on` is whatever else the rows depend on, as text.

    `titles_depend_on` is what those of titles, which are looked up, depend on beside that.

    The names of the items say where a chunk ends, so that an item that comes or goes changes its
    own chunk and no other (content-defined chunking).
    """
    some: list[Item] = []
    for item in items:
        some.append(item)
        ends = zlib.crc32(item.source.encode("utf-8", "replace")) % CHUNK == 0
        if ends or len(some) == 2 * CHUNK:
            yield _chunk(some, depends_on, titles_depend_on)
            some = []
    if some:
        yield _chunk(some, depends_on, titles_depend_on)


def _chunk(items: Sequence[Item], depends_on: str, titles_depend_on: str) -> Chunk:
    lines = [depends_on, *(item.as_json() for item in items)]
    if any(item.kind == "title" for item in items):
        lines.append(titles_depend_on)
    text = "\n".join(lines)
    return Chunk(hashlib.sha256(text.encode()).hexdigest()[:32], tuple(items))


@dataclass(frozen=True)
class Shard:
    """A shard that is there: how many of its rows are errors, and how many to write `again`."""

    file: str
    errors: int
    again: int


class Shards:
    """The shards of `output`, in the folder `OUTPUT.parts` of any file system of fsspec.

    `output` is an absolute path or a URL. Beside it lie, while a run goes on, its lock and, when it
    is complete, a record of what it is; where it is a symbolic link, beside the file it leads to.
    """

    def __init__(self, output: str) -> None:
        """Raises `InputError` for an output that cannot be written. Nothing is written yet."""
        self.output = output if "://" in output else str(Path(output).absolute())
        self.suffix = PurePosixPath(output).suffix
        if self.suffix not in FORMATS:
            raise InputError(f"The output {output!r} must end in {', '.join(FORMATS)}.")
        try:
            self.fs, self.path = file_system_named(self.output)
            self.is_local = "file" in self.fs.protocol
            if self.is_local and os.path.islink(self.path):  # noqa: PTH114
                self.path = os.path.realpath(self.path)
            folder = self.path.rpartition("/")[0]
            if self.is_local and not os.path.isdir(folder or "/"):  # noqa: PTH112
                raise InputError(f"The output {output!r} cannot be written: no folder {folder!r}.")
            if self.is_local and _is_folder(self.path):
                raise InputError(f"The output {output!r} is a folder; name a file.")
            # At the end it would be too late, and no name beside it is longer.
            if self.is_local and _is_folder(f"{self.path}{RECORD}"):
                raise InputError(
                    f"The output {output!r} cannot be written: its record {RECORD!r} beside it is "
                    "a folder."
                )
        except (ValueError, ImportError, OSError) as error:
            raise InputError(f"The output {output!r} cannot be written: {error}.") from error
        self.folder = f"{self.path}.parts"
        self._record = f"{self.path}{RECORD}"

    def is_output(self, name: str) -> bool:
        """Whether a path or URL leads to the output, by a link, too."""
        fs, path = file_system_named(name)
        if not self.is_local or "file" not in fs.protocol:
            return type(fs) is type(self.fs) and path == self.path
        with suppress(OSError):  # one of them is not there
            return os.path.samefile(path, self.path)  # noqa: PTH121
        return False

    def complete(self) -> dict[str, Shard]:
        """The shards that are there, by name; of several, the one with the fewest rows `again`."""
        self.fs.invalidate_cache()
        found: dict[str, Shard] = {}
        try:
            paths = self.fs.find(self.folder)
        except FileNotFoundError:
            return found
        for path in paths:
            file = PurePosixPath(path).name
            parts = file.removesuffix(self.suffix).split("-")
            if not file.endswith(self.suffix) or len(parts) != 4:
                continue
            shard = Shard(file, int(parts[1]), int(parts[2]))
            if parts[0] not in found or shard.again < found[parts[0]].again:
                found[parts[0]] = shard
        return found

    def write(self, name: str, rows: Sequence[Row], again: int = 0) -> None:
        """Write a shard: whole or not at all, also when two try at once.

        `again` rows could not be had now, for reasons that pass.
        """
        data = _encode(rows, self.suffix)
        errors = sum(row["error"] is not None for row in rows)
        self.put(f"{name}-{errors}-{again}-{_digest(data)}{self.suffix}", data)

    def put(self, file: str, data: bytes) -> None:
        """Write a file of the folder: whole or not at all."""
        path = f"{self.folder}/{file}"
        if not self.is_local:
            self.fs.pipe_file(path, data)  # an object appears when it is complete
            return
        os.makedirs(self.folder, exist_ok=True)  # noqa: PTH103
        temporary = Path(self.folder, f"{uuid.uuid4().hex}.tmp")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def get(self, file: str) -> bytes | None:
        """A file of the folder, None where there is none."""
        try:
            data: bytes = self.fs.cat_file(f"{self.folder}/{file}")
        except FileNotFoundError:
            return None
        return data

    def errors_of(self, shard: Shard) -> list[str]:
        """The errors of a shard's rows."""
        data = self.get(shard.file) or b""
        if self.suffix == ".parquet":
            import pyarrow.parquet as pq

            found = pq.read_table(io.BytesIO(data), columns=["error"]).column(0).to_pylist()
        elif self.suffix == ".jsonl":
            found = [json.loads(line)["error"] for line in data.splitlines()]
        else:
            table = csv.DictReader(io.StringIO(data.decode(), newline=""))
            found = [row["error"] for row in table]
        return [error for error in found if error]

    def merge(self, names: Sequence[str], record: dict[str, Any]) -> list[str]:
        """Make the one output of these shards, in this order, with a record of what it is.

        The record comes first, so that an output that lacks its own was not finished. Gives the
        names of shards that were damaged, and are gone now: then no output was made.
        """
        there, damaged = self.complete(), []

        def content() -> Iterator[bytes]:
            for name in names:
                shard = there.get(name)
                data = self.get(shard.file) if shard else None
                if data is None or not shard or _digest(data) not in shard.file:
                    damaged.append(name)
                    continue
                yield data

        where = self.folder if self.is_local else tempfile.gettempdir()
        temporary = Path(where, f"{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as file:
                merge = _merge_parquet if self.suffix == ".parquet" else _merge_lines
                merge(file, content())
            if damaged:
                for name in damaged:
                    if shard := there.get(name):
                        self.fs.rm_file(f"{self.folder}/{shard.file}")
                return damaged
            with temporary.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            whole = record | {"size": temporary.stat().st_size, "sha256": digest}
            self._put_record(json.dumps(whole, indent=1).encode())
            if self.is_local:
                temporary.replace(self.path)
            else:
                self.fs.put_file(str(temporary), self.path)
        finally:
            temporary.unlink(missing_ok=True)
        return []

    def _put_record(self, data: bytes) -> None:
        if not self.is_local:
            self.fs.pipe_file(self._record, data)
            return
        temporary = Path(self.folder, f"{uuid.uuid4().hex}.tmp")
        temporary.write_bytes(data)
        temporary.replace(self._record)

    def record(self) -> dict[str, Any] | None:
        """What the output that was written last is, None where there is no record."""
        try:
            found = json.loads(self.fs.cat_file(self._record))
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def is_there(self) -> bool:
        """Whether there is an output."""
        self.fs.invalidate_cache()
        return bool(self.fs.exists(self.path))

    def is_recorded(self, record: dict[str, Any] | None) -> bool:
        """Whether the output is what its record says, whole and unchanged."""
        if not record or not self.is_there() or self.fs.size(self.path) != record.get("size"):
            return False
        with self.fs.open(self.path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(2**22):
                digest.update(block)
        return digest.hexdigest() == record.get("sha256")

    def has_parts(self) -> bool:
        """Whether an earlier run left shards."""
        self.fs.invalidate_cache()
        return bool(self.fs.isdir(self.folder))

    def clear(self) -> None:
        """Remove the shards."""
        with suppress(FileNotFoundError):
            if self.is_local or glob.escape(self.folder) == self.folder:
                self.fs.rm(self.folder, recursive=True)
            else:  # stores would take it for a pattern, and remove what is another's
                for file in self.fs.find(self.folder):
                    self.fs.rm_file(file)


def _is_folder(path: str) -> bool:
    """Raises `OSError` for a name that no file may have."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116
    except FileNotFoundError:
        return False


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


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
