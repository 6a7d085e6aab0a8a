"""What a catalogue holds: the posters of a folder, a tar, a table or a `datasets` folder, in order.

Nothing here reads a poster, so that a hundred thousand are listed in seconds and in little memory.
An `Item` says where its poster is and can be sent to another machine.
"""

from __future__ import annotations

import csv
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from poster2plot.errors import InputError
from poster2plot.images import IMAGE_SUFFIXES, read_image
from poster2plot.inputs import LoadedPoster, from_title
from poster2plot.titles import looks_like_title

if TYPE_CHECKING:
    import pyarrow as pa

    from poster2plot.lookup import PosterFinder

COLUMNS = (
    "image", "path", "file", "file_name", "poster", "imdb_title_id", "imdb_id", "tconst", "id",
)  # fmt: skip  # of a table, the first that is there


@dataclass(frozen=True)
class Item:
    """One poster of a catalogue: `source` names it, the rest says where it is.

    A "file" is whole, a "part" is `size` bytes at `offset` of a file, a "row" is number `offset` of
    a table with pictures in it, and a "title" is to be looked up.
    """

    source: str
    kind: Literal["file", "part", "row", "title"] = "file"
    file: str = ""
    offset: int = 0
    size: int = -1

    def load(self, finder: PosterFinder) -> LoadedPoster:
        """The poster. Raises `InputError`, `ImageError` or `PosterLookupError`."""
        if self.kind == "title":
            return from_title(self.source, finder)
        name = Path(self.source).name
        if self.kind == "file":
            return LoadedPoster(read_image(Path(self.file), name=name))
        data = self._row() if self.kind == "row" else self._part()
        return LoadedPoster(read_image(data, name=name))

    def _part(self) -> bytes:
        try:
            with Path(self.file).open("rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise InputError(f"{self.file!r} cannot be read.") from error

    def _row(self) -> bytes:
        value = _table(self.file).column(_picture_column(self.file))[self.offset].as_py()
        data = value["bytes"] if isinstance(value, dict) else value
        if data is None and value.get("path"):
            return Item(value["path"], file=str(Path(self.file).parent / value["path"]))._part()
        return data or b""


def items(name: str) -> Iterator[Item]:
    """The posters of a folder, a tar, a CSV or Parquet table, or one saved by `datasets`.

    The order is always the same. Raises `InputError` where there is none of these.
    """
    path = Path(name)
    if path.is_dir():
        arrow = sorted(path.rglob("*.arrow"))
        if arrow and any(path.rglob("dataset_info.json")):
            for file in arrow:
                yield from _rows(str(file))
        else:
            yield from _folder(path)
    elif not path.is_file():
        raise InputError(f"There is no file or folder at {name!r}; check the path.")
    elif path.suffix == ".tar":
        yield from _tar(path)
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    elif path.suffix in (".csv", ".tsv", ".txt"):
        yield from _csv(path)
    else:
        raise InputError(
            f"{name!r} is no catalogue: give a folder, a .tar, a .csv, a .parquet, or a folder "
            "saved by the library datasets."
        )


def _folder(folder: Path) -> Iterator[Item]:
    """The pictures and tars in a folder and below it, in natural order (2 before 10)."""
    with os.scandir(folder) as entries:
        visible = [(each.name, each.is_dir()) for each in entries if each.name[0] != "."]
    for name, is_folder in sorted(visible, key=lambda entry: (_natural(entry[0]), entry)):
        path = folder / name
        if is_folder:
            yield from _folder(path)
        elif path.suffix == ".tar":
            yield from _tar(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield Item(str(path), file=str(path))


def _natural(name: str) -> list[str | int]:
    # re.split puts text at even and digits at odd places, so like is compared with like
    return [int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+)", name.casefold()))]


def _tar(path: Path) -> Iterator[Item]:
    """The pictures of a tar, such as WebDataset's, without unpacking it."""
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                # What has been listed would otherwise be kept.
                tar.members = []  # type: ignore[attr-defined]
                if member.isfile() and Path(member.name).suffix.lower() in IMAGE_SUFFIXES:
                    source = f"{path}/{member.name}"
                    yield Item(source, "part", str(path), member.offset_data, member.size)
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{str(path)!r} is not a tar, or it is compressed or damaged.") from error


def _csv(path: Path) -> Iterator[Item]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            header = next(rows, [])
            column = _column(header, path)
            for row in rows:
                if len(row) > column and row[column].strip():
                    yield _named(row[column].strip(), path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{str(path)!r} cannot be read as a table.") from error


def _parquet(path: Path) -> Iterator[Item]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            column = schema.field(_column(schema.names, path))
            if pa.types.is_struct(column.type) or pa.types.is_binary(column.type):
                yield from (
                    Item(f"{path}/{row}", "row", str(path), row)
                    for row in range(file.metadata.num_rows)
                )
                return
            for batch in file.iter_batches(columns=[column.name]):
                yield from (
                    _named(str(value), path) for value in batch.column(0).to_pylist() if value
                )
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{str(path)!r} cannot be read as a table.") from error


def _column(names: list[str], path: Path) -> int:
    for name in COLUMNS:
        if name in names:
            return names.index(name)
    raise InputError(f"{str(path)!r} has none of the columns {', '.join(COLUMNS)}.")


def _named(value: str, table: Path) -> Item:
    """What a cell names: a title, or a file, whose path begins where the table lies."""
    if looks_like_title(value):
        return Item(value, "title")
    return Item(value, file=str(table.parent / value))


def _rows(file: str) -> Iterator[Item]:
    for row in range(_table(file).num_rows):
        yield Item(f"{file}/{row}", "row", file, row)


@lru_cache(4)
def _table(file: str) -> pa.Table:
    """A table with pictures. Arrow's is mapped into memory, so that rows come from the disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.endswith(".parquet"):
        return pq.read_table(file, memory_map=True)
    with pa.memory_map(file) as source:
        return pa.ipc.open_stream(source).read_all()


@lru_cache(4)
def _picture_column(file: str) -> str:
    names: list[str] = _table(file).column_names
    return names[_column(names, Path(file))]
