"""Where files lie: on a disk, or in an object store that fsspec reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec

STORES = ("s3", "gs", "abfs", "hdfs")  # a cell may name these; no web address, whoever wrote it


@dataclass(frozen=True)
class Place:
    """A file or folder: `name` as the user would write it, `path` as its file system `fs` does."""

    fs: Any
    name: str
    path: str

    @property
    def url(self) -> str:
        """What leads there from another machine: a path on a disk, a URL of fsspec elsewhere."""
        is_local = "file" in self.fs.protocol
        return self.path if is_local else str(self.fs.unstrip_protocol(self.path))

    @property
    def suffix(self) -> str:
        """The end of its name in lower case, with the dot, or nothing."""
        return PurePosixPath(self.path).suffix.lower()

    def below(self, path: str) -> Place:
        """What lies at `path`, which begins with that of this folder."""
        return Place(self.fs, self.name + path[len(self.path) :], path)


def file_system_of(url: str) -> tuple[Any, str]:
    """The file system of a `Place.url`, and the path in it.

    Raises `FileNotFoundError` for a URL that chains file systems, and whatever fsspec does for a
    store that it does not know or cannot use.
    """
    if "::" in url and "://" in url:  # fsspec would ask whatever else a cell of a table chains
        raise FileNotFoundError(url)
    if "://" in url:
        store: tuple[Any, str] = fsspec.core.url_to_fs(url)
        return store
    return fsspec.filesystem("file"), url


def open_file(url: str) -> Any:
    """The file at a `Place.url`, open for reading bytes. Raises what its store does."""
    fs, path = file_system_of(url)
    return fs.open(path)
