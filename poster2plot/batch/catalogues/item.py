"""One poster of a catalogue: where it is, and how it is loaded.

An `Item` is small and can be sent to another machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from poster2plot.batch.catalogues.arrow import arrow_picture
from poster2plot.batch.catalogues.parquet import parquet_picture
from poster2plot.batch.catalogues.stores import STORES, file_system_of
from poster2plot.errors import InputError
from poster2plot.images.decoding import read_image
from poster2plot.images.limits import MAX_BYTES
from poster2plot.imdb.ids import looks_like_title
from poster2plot.inputs import LoadedPoster, from_title

if TYPE_CHECKING:
    from poster2plot.imdb.finder import PosterFinder


@dataclass(frozen=True)
class Item:
    """One poster of a catalogue: `source` names it, `title` is its title where that is known.

    The rest says where it is.

    A "file" is whole, a "part" is `size` bytes at byte `offset` of a file, a "row" is number
    `offset`, from 0, of a table with pictures in it, and a "title" is to be looked up. `file` is an
    absolute path or a URL of fsspec.
    """

    source: str
    kind: Literal["file", "part", "row", "title"] = "file"
    file: str = ""
    offset: int = 0
    size: int = MAX_BYTES + 1  # more would be refused anyway
    title: str = ""

    def load(self, finder: PosterFinder) -> LoadedPoster:
        """The poster; `finder` looks titles up.

        Raises `InputError`, `ImageError` or `PosterLookupError`.
        """
        if self.kind == "title":
            return from_title(self.source, finder, self.title)
        data = self._read_row() if self.kind == "row" else self._read_part()
        image = read_image(data, name=PurePosixPath(self.source).name)
        return LoadedPoster(image, given_title=self.title)

    def _read_part(self) -> bytes:
        try:
            fs, path = file_system_of(self.file)
            data: bytes = fs.cat_file(path, start=self.offset, end=self.offset + self.size)
        except FileNotFoundError as error:
            hint = "; addresses of the web are not fetched" if "://" in self.source else ""
            raise InputError(f"There is no file at {self.source!r}{hint}.") from error
        except Exception as error:  # each store has its own
            raise InputError(f"{self.source!r} cannot be read ({type(error).__name__}).") from error
        return data

    def _read_row(self) -> bytes:
        picture_of = arrow_picture if self.file.endswith(".arrow") else parquet_picture
        try:
            picture = picture_of(self.file, self.offset)
        except Exception as error:  # each store has its own
            raise InputError(f"{self.source!r} cannot be read ({type(error).__name__}).") from error
        data = picture["bytes"] if isinstance(picture, dict) else picture
        if data is None and picture and picture.get("path"):
            return named_item(picture["path"], self.file)._read_part()
        return data or b""


def named_item(cell: str, table: str) -> Item:
    """What a cell of a table names: a title, or a file, whose path begins where the table lies.

    `table` is an absolute path or a URL of fsspec.
    """
    if looks_like_title(cell):
        return Item(cell, "title")
    if cell.split("://")[0] in STORES:
        return Item(cell, file=cell)
    folder = table.rpartition("/")[0]
    if "://" in folder:
        return Item(cell, file=f"{folder}/{cell.lstrip('/')}")
    return Item(cell, file=str(PurePosixPath(folder, cell)))
