"""What a catalogue holds: the posters of a folder, a tar, a table or a `datasets` folder, in order.

It may lie on a disk or in any object store that fsspec reads (https://filesystem-spec.readthedocs.io).
Nothing here reads a poster, so that a hundred thousand are listed in seconds and in little memory.
An `Item` says where its poster is and can be sent to another machine.
"""

from __future__ import annotations

import csv
import io
import re
import tarfile
import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import fsspec

from poster2plot.errors import InputError
from poster2plot.images.decoding import IMAGE_SUFFIXES, MAX_BYTES, read_image
from poster2plot.imdb.ids import looks_like_title
from poster2plot.inputs import LoadedPoster, from_title

if TYPE_CHECKING:
    import pyarrow as pa

    from poster2plot.imdb.finder import PosterFinder

COLUMNS = (
    "image", "path", "file", "file_name", "poster", "imdb_title_id", "imdb_id", "tconst", "id",
)  # fmt: skip  # of a table, the first that is there
STORES = ("s3", "gs", "abfs", "hdfs")  # a cell may name these; no web address, whoever wrote it


@dataclass(frozen=True)
class Item:
    """One poster of a catalogue: `source` names it, the rest says where it is.

    A "file" is whole, a "part" is `size` bytes at `offset` of a file, a "row" is number `offset` of
    a table with pictures in it, and a "title" is to be looked up. `file` is an absolute path or a
    URL of fsspec.
    """

    source: str
    kind: Literal["file", "part", "row", "title"] = "file"
    file: str = ""
    offset: int = 0
    size: int = MAX_BYTES + 1  # more would be refused anyway

    def load(self, finder: PosterFinder) -> LoadedPoster:
        """The poster. Raises `InputError`, `ImageError` or `PosterLookupError`."""
        if self.kind == "title":
            return from_title(self.source, finder)
        data = self._row() if self.kind == "row" else self._part()
        return LoadedPoster(read_image(data, name=PurePosixPath(self.source).name))

    def _part(self) -> bytes:
        try:
            fs, path = _store(self.file)
            data: bytes = fs.cat_file(path, start=self.offset, end=self.offset + self.size)
        except FileNotFoundError as error:
            hint = "; addresses of the web are not fetched" if "://" in self.source else ""
            raise InputError(f"There is no file at {self.source!r}{hint}.") from error
        except Exception as error:  # each store has its own
            raise InputError(f"{self.source!r} cannot be read ({type(error).__name__}).") from error
        return data

    def _row(self) -> bytes:
        try:
            value = _picture(self.file, self.offset)
        except Exception as error:  # each store has its own
            raise InputError(f"{self.source!r} cannot be read ({type(error).__name__}).") from error
        data = value["bytes"] if isinstance(value, dict) else value
        if data is None and value and value.get("path"):
            return _named(value["path"], self.file)._part()
        return data or b""


def items(name: str) -> Iterator[Item]:
    """The posters of a folder, a tar, a CSV or Parquet table, or one saved by `datasets`.

    `name` is a path or a URL of fsspec. The order is always the same. Raises `InputError` where
    there is none of these.
    """
    try:
        fs, root = fsspec.core.url_to_fs(name)
        is_folder, is_file = fs.isdir(root), fs.isfile(root)
    except Exception as error:  # each store has its own
        raise InputError(f"{name!r} cannot be read: {error}.") from error
    place = _Place(fs, name.rstrip("/"), root.rstrip("/"))
    suffix = PurePosixPath(root).suffix
    if is_folder:
        below = fs.find(root)
        arrow = sorted(path for path in below if path.endswith(".arrow"))
        if arrow and any(path.endswith("/dataset_info.json") for path in below):
            for file in arrow:
                yield from _arrow(place.at(file))
        else:
            yield from _folder(place)
    elif not is_file:
        raise InputError(f"There is no file or folder at {name!r}; check the path.")
    elif suffix == ".tar":
        yield from _tar(place)
    elif suffix == ".parquet":
        yield from _parquet(place)
    elif suffix in (".csv", ".tsv", ".txt"):
        yield from _csv(place)
    else:
        raise InputError(
            f"{name!r} is no catalogue: give a folder, a .tar, a .csv, a .parquet, or a folder "
            "saved by the library datasets."
        )


@dataclass(frozen=True)
class _Place:
    """A file or folder: `name` as the user would write it, `path` as its file system does."""

    fs: Any
    name: str
    path: str

    @property
    def url(self) -> str:
        local = "file" in self.fs.protocol
        return self.path if local else str(self.fs.unstrip_protocol(self.path))

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix.lower()

    def at(self, path: str) -> _Place:
        """What lies at `path`, somewhere below."""
        return _Place(self.fs, self.name + path[len(self.path) :], path)


def _folder(folder: _Place) -> Iterator[Item]:
    """The pictures and tars in a folder and below it, in natural order (2 before 10)."""
    entries = [
        (PurePosixPath(each["name"]).name, each) for each in folder.fs.ls(folder.path, detail=True)
    ]
    for name, entry in sorted(entries, key=lambda each: (_natural(each[0]), each[0])):
        place = folder.at(entry["name"].rstrip("/"))
        if name.startswith("."):
            continue
        if entry["type"] == "directory":
            yield from _folder(place)
        elif place.suffix == ".tar":
            yield from _tar(place)
        elif place.suffix in IMAGE_SUFFIXES:
            yield Item(place.name, file=place.url)


def _natural(name: str) -> list[str | int]:
    # re.split puts text at even and digits at odd places, so like is compared with like
    return [int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+)", name.casefold()))]


def _tar(place: _Place) -> Iterator[Item]:
    """The pictures of a tar, such as WebDataset's, without unpacking it."""
    try:
        with place.fs.open(place.path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                # What has been listed would otherwise be kept.
                tar.members = []  # type: ignore[attr-defined]
                if member.isfile() and PurePosixPath(member.name).suffix.lower() in IMAGE_SUFFIXES:
                    source = f"{place.name}/{member.name}"
                    yield Item(source, "part", place.url, member.offset_data, member.size)
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{place.name!r} is not a tar, or it is compressed or damaged.") from error


def _csv(place: _Place) -> Iterator[Item]:
    try:
        with (
            place.fs.open(place.path) as data,
            io.TextIOWrapper(data, encoding="utf-8-sig", newline="") as file,
        ):
            rows = csv.reader(file, delimiter="\t" if place.suffix == ".tsv" else ",")
            column = _column(next(rows, []), place.name)
            for row in rows:
                if len(row) > column and row[column].strip():
                    yield _named(row[column].strip(), place.url)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{place.name!r} cannot be read as a table.") from error


def _parquet(place: _Place) -> Iterator[Item]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with place.fs.open(place.path) as file, pq.ParquetFile(file) as table:
            schema = table.schema_arrow
            column = schema.field(_column(schema.names, place.name))
            if pa.types.is_struct(column.type) or pa.types.is_binary(column.type):
                yield from _rows(place, table.metadata.num_rows)
                return
            for batch in table.iter_batches(columns=[column.name]):
                yield from (
                    _named(str(value), place.url) for value in batch.column(0).to_pylist() if value
                )
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{place.name!r} cannot be read as a table.") from error


def _arrow(place: _Place) -> Iterator[Item]:
    yield from _rows(place, _arrow_table(place.url).num_rows)


def _rows(place: _Place, count: int) -> Iterator[Item]:
    return (Item(f"{place.name}/{row}", "row", place.url, row) for row in range(count))


def _column(names: list[str], table: str) -> int:
    for name in COLUMNS:
        if name in names:
            return names.index(name)
    raise InputError(f"{table!r} has none of the columns {', '.join(COLUMNS)}.")


def _named(value: str, table: str) -> Item:
    """What a cell of a table names: a title, or a file, whose path begins where the table lies."""
    if looks_like_title(value):
        return Item(value, "title")
    if value.split("://")[0] in STORES:
        return Item(value, file=value)
    folder = table.rpartition("/")[0]
    if "://" in folder:
        return Item(value, file=f"{folder}/{value.lstrip('/')}")
    return Item(value, file=str(PurePosixPath(folder, value)))


def _store(file: str) -> tuple[Any, str]:
    """The file system of an item's `file`, and the path in it."""
    if "::" in file and "://" in file:  # fsspec would ask whatever else a cell of a table chains
        raise FileNotFoundError(file)
    if "://" in file:
        store: tuple[Any, str] = fsspec.core.url_to_fs(file)
        return store
    return fsspec.filesystem("file"), file


_row_groups = threading.Lock()  # or every reader would fetch the same one


def _picture(file: str, row: int) -> Any:
    """A row of a table with pictures: bytes, or a dict of `bytes` and `path`."""
    if file.endswith(".arrow"):
        table = _arrow_table(file)
    else:
        with _row_groups:
            starts = _group_starts(file)
            group = bisect_right(starts, row) - 1
            table, row = _row_group(file, group), row - starts[group]
    return table.column(_column(table.column_names, file))[row].as_py()


def _opened(file: str) -> Any:
    fs, path = _store(file)
    return fs.open(path)


@lru_cache(4)
def _arrow_table(file: str) -> pa.Table:
    """Arrow on a disk is mapped into memory, so that rows come from the disk."""
    import pyarrow as pa

    if "://" not in file:
        with pa.memory_map(file) as source:
            return pa.ipc.open_stream(source).read_all()
    with _opened(file) as source:
        return pa.ipc.open_stream(source).read_all()


@lru_cache(16)
def _group_starts(file: str) -> list[int]:
    import pyarrow.parquet as pq

    with _opened(file) as source, pq.ParquetFile(source) as table:
        groups = range(table.metadata.num_row_groups)
        return [0, *accumulate(table.metadata.row_group(i).num_rows for i in groups)][:-1]


@lru_cache(2)
def _row_group(file: str, group: int) -> pa.Table:
    import pyarrow.parquet as pq

    with _opened(file) as source, pq.ParquetFile(source) as table:
        names = table.schema_arrow.names
        return table.read_row_group(group, columns=[names[_column(names, file)]])
