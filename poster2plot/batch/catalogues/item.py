"""One poster of a catalogue: where it is, and how it is loaded.

An `Item` is small and can be sent to another machine.
"""

from __future__ import annotations

import json
import os
import tarfile
import zlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from poster2plot.batch.catalogues.arrow_tables import picture_in_row
from poster2plot.batch.catalogues.names import printable, shortened
from poster2plot.batch.catalogues.stores import (
    MISSING,
    STORES,
    UNREADABLE,
    file_system_of,
    open_file,
    version,
    version_of_stat,
)
from poster2plot.batch.catalogues.trouble import UnreachableError, raise_failure
from poster2plot.errors import DamagedImageError, InputError
from poster2plot.images.decoding import read_image
from poster2plot.images.limits import MAX_BYTES
from poster2plot.images.releasable_picture import ReleasablePicture
from poster2plot.imdb.ids import looks_like_title
from poster2plot.inputs import LoadedPoster, from_title

if TYPE_CHECKING:
    from poster2plot.imdb.finder import PosterFinder

_LONGEST = 4096  # characters of a path
_LOCAL_HEADER = 30  # bytes of a zip's, before the name


class ChangedError(InputError):
    """What is there now is not what was listed."""


@dataclass(frozen=True, slots=True)
class Item:
    """One poster of a catalogue: `source` names it, `title` is its title where that is known.

    The rest says where it is.

    A "file" is whole. A "part" is `size` bytes at byte `offset` of a file, a "sparse" one the
    member of a tar that begins there, a "stored" or "deflated" one that of a zip. A "row" is number
    `offset`, from 0, of a table with pictures in it, at the path `detail` (JSON) in that row. A
    "title" is to be looked up, and "nothing" stands for posters that cannot be listed, `detail`
    says why. `file` is an absolute path or a URL of fsspec, and `version` what told that file from
    others of its name when it was listed, "" where nobody looked.
    """

    source: str
    kind: Literal["file", "part", "sparse", "stored", "deflated", "row", "title", "nothing"] = (
        "file"
    )
    file: str = ""
    offset: int = 0
    size: int = MAX_BYTES + 1  # more would be refused anyway
    version: str = ""
    detail: str = ""
    title: str = ""

    def as_json(self) -> str:
        """All of it as one line; `Item(*json.loads(line))` is equal."""
        return json.dumps([getattr(self, field.name) for field in fields(self)])

    def load(self, finder: PosterFinder) -> LoadedPoster:
        """The poster; `finder` looks titles up.

        Raises `InputError`, `ImageError` or `PosterLookupError`, `ChangedError` where the file is
        not the one that was listed, and `UnreachableError`.
        """
        if self.kind == "title":
            return from_title(self.source, finder, self.title)
        if self.kind == "nothing":
            raise InputError(self.detail)
        name = shortened(self.source.rpartition("/")[2])
        picture = ReleasablePicture(lambda: read_image(self.read(), name=name))
        return LoadedPoster(picture, given_title=self.title)

    def read(self) -> bytes:
        """The picture as it is encoded. Raises as `load` does."""
        called = repr(shortened(self.source))
        try:
            if self.kind == "file" and "://" not in self.file:
                return self._whole_file()
            data = self._picture()
            if self.version and version(self.file) != self.version:
                raise self._changed()
        except (InputError, DamagedImageError):
            raise
        except (FileNotFoundError, NotADirectoryError) as error:
            if self.version not in ("", MISSING, UNREADABLE):
                raise self._changed() from error
            hint = "; addresses of the web are not fetched" if "://" in self.source else ""
            raise InputError(f"There is no file at {called}{hint}.") from error
        except ImportError as error:
            raise InputError(f"{called} cannot be read without a package: {error}.") from error
        except Exception as error:  # each store has its own
            raise_failure(error, shortened(self.source), self.file)
            is_of_store = "://" in self.file and isinstance(error, OSError)
            kind = UnreachableError if is_of_store else InputError
            raise kind(f"{called} cannot be read ({type(error).__name__}).") from error
        return data

    def _whole_file(self) -> bytes:
        """Of one file that stays the same meanwhile, also where another takes its name."""
        with open(self.file, "rb", opener=_without_waiting) as file:
            before = version_of_stat(os.fstat(file.fileno()))
            data = file.read(self.size)
            after = version_of_stat(os.fstat(file.fileno()))
        if before != after or self.version not in ("", after):
            raise self._changed()
        return data

    def _changed(self) -> ChangedError:
        return ChangedError(
            f"{shortened(self.source)!r} has changed since the catalogue was listed; start the "
            "same command again."
        )

    def _picture(self) -> bytes:
        if self.kind == "row":
            picture = picture_in_row(self.file, self.version, self.offset, json.loads(self.detail))
            return _bytes_of(picture, self.file)
        if self.kind == "sparse":
            return self._sparse_member()
        if self.kind in ("stored", "deflated"):
            return self._member_of_zip()
        data = self._bytes(self.offset, min(self.size, MAX_BYTES + 1))
        if self.kind == "part" and len(data) < min(self.size, MAX_BYTES + 1):
            raise DamagedImageError(
                f"The picture {shortened(self.source)!r} is cut off, as the archive ends within it."
            )
        return data

    def _bytes(self, start: int, size: int) -> bytes:
        fs, path = file_system_of(self.file)
        data: bytes = fs.cat_file(path, start=start, end=start + size)
        return data

    def _sparse_member(self) -> bytes:
        with open_file(self.file) as file:
            file.seek(self.offset)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                member = tar.next()
                data = member and tar.extractfile(member)
                return data.read(MAX_BYTES + 1) if data else b""

    def _member_of_zip(self) -> bytes:
        header = self._bytes(self.offset, _LOCAL_HEADER)
        after = sum(int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
        most = min(self.size, MAX_BYTES + 1)  # more is refused, packed or not
        packed = self._bytes(self.offset + _LOCAL_HEADER + after, most)
        if self.kind == "stored":
            return packed
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, MAX_BYTES + 1)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # or a pipe of that name would stop all


def _bytes_of(picture: Any, table: str) -> bytes:
    if isinstance(picture, dict):
        data = picture.get("bytes")
        if data is None and picture.get("path"):
            return named_item(picture["path"], table).read()
        return data or b""
    return picture or b""


def named_item(cell: str, table: str) -> Item:
    """What a cell of a table names: a title, or a file, whose path begins where the table lies.

    `table` is an absolute path or a URL of fsspec.
    """
    if len(cell) > _LONGEST:
        return Item(shortened(printable(cell)), "nothing", detail=(
            f"The name that begins with {printable(cell[:40])!r} is longer than a path can be."
        ))  # fmt: skip
    source = printable(cell)
    if looks_like_title(cell):
        return Item(source, "title")
    if cell.startswith("file:/"):
        cell = url2pathname(urlsplit(cell).path)
    if cell.split("://")[0] in STORES:
        return Item(source, file=cell)
    if "://" in cell:
        why = f"There is no file at {shortened(source)!r}; addresses of the web are not fetched."
        return Item(source, "nothing", detail=why)
    folder = table.rpartition("/")[0]
    if "://" in folder:
        return Item(source, file=f"{folder}/{cell.lstrip('/')}")
    return Item(source, file=os.path.join(folder, cell))  # noqa: PTH118  # a million times
