"""Where files lie: on a disk, or in an object store that fsspec reads."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import fsspec

from poster2plot.batch.catalogues.names import printable
from poster2plot.batch.catalogues.trouble import is_failure

STORES = (
    "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "hdfs",
)  # fmt: skip  # a cell may name these; no web address, whoever wrote it
MISSING = "missing"  # the version of a file that is not there …
UNREADABLE = "unreadable"  # … and of one that may not be looked at
_AT_ONCE = 32  # requests to a store
_CHANGES_WITH_CONTENT = ("ETag", "etag", "md5Hash", "content_md5", "generation", "checksum")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "modificationTime")


@dataclass(frozen=True)
class Place:
    """A file or folder: `name` as the user would write it, `path` as its file system `fs` does."""

    fs: Any
    name: str
    path: str

    @property
    def is_local(self) -> bool:
        """Whether it is on a disk of this machine."""
        return "file" in self.fs.protocol

    @property
    def url(self) -> str:
        """What leads there from another machine: a path on a disk, a URL of fsspec elsewhere."""
        return self.path if self.is_local else str(self.fs.unstrip_protocol(self.path))

    @property
    def suffix(self) -> str:
        """The end of its name in lower case, with the dot, or nothing."""
        return PurePosixPath(self.path).suffix.lower()

    @property
    def shown(self) -> str:
        """Its name as text that any file can hold."""
        return printable(self.name)

    def below(self, path: str) -> Place:
        """What lies at `path`, which begins with that of this folder."""
        return Place(self.fs, self.name + path[len(self.path) :], path)


@dataclass(frozen=True)
class Entry:
    """What a folder has in it; `version` is "" for a folder."""

    place: Place
    name: str
    is_folder: bool
    version: str


def entries(folder: Place) -> list[Entry]:
    """What is in a folder, links followed, unsorted. Raises `OSError`, or what the store does."""
    found = []
    if not folder.is_local:
        for info in folder.fs.ls(folder.path, detail=True):
            place = folder.below(info["name"].rstrip("/"))
            is_folder = info["type"] == "directory"
            name = PurePosixPath(place.path).name
            if place.path != folder.path:  # some stores keep a folder as an empty object
                version = "" if is_folder else _version_of_info(folder.fs, place.path, info)
                found.append(Entry(place, name, is_folder, version))
        return found
    with os.scandir(folder.path) as files:
        for file in files:
            try:
                is_folder = file.is_dir()
                version = "" if is_folder else version_of_stat(file.stat())
            except FileNotFoundError:  # it went away, or is a link that leads nowhere
                is_folder, version = False, MISSING
            except OSError:
                is_folder, version = False, UNREADABLE
            place = Place(folder.fs, f"{folder.name}/{file.name}", file.path)
            found.append(Entry(place, file.name, is_folder, version))
    return found


def version_of_stat(found: os.stat_result) -> str:
    """What tells a file on a disk from another of its name: size, and the times of its changes.

    The time of the last change of the inode is what a copied or moved file cannot bring along.
    """
    if not stat.S_ISREG(found.st_mode):
        return UNREADABLE  # a pipe would keep a reader waiting for ever
    return f"{found.st_size}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"


def version(url: str) -> str:
    """What tells the file at a `Place.url` from any other that was or will be there.

    On a disk by size and times; in a store by its ETag or checksum, else by time, else by a digest
    of all of it. `MISSING` or `UNREADABLE` where there is none. Raises what the store does.
    """
    try:
        if "://" not in url:
            return version_of_stat(os.stat(url))  # noqa: PTH116  # a million times
        fs, path = file_system_of(url)
        return _version_of_info(fs, path, fs.info(path))
    except ImportError:  # the package for this kind of store
        return UNREADABLE
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError as error:  # not permitted, or a name that is longer than any
        if is_failure(error, url) and not isinstance(error, PermissionError):
            raise
        return UNREADABLE
    except ValueError:  # a character that no path has
        return MISSING


def versions(urls: Iterable[str]) -> Iterator[str]:
    """The `version` of each, in order; of those in stores, many are asked for at once."""
    rest = iter(urls)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while some := list(islice(rest, 32 * _AT_ONCE)):
            if any("://" in url for url in some):
                yield from pool.map(version, some)
            else:
                yield from map(version, some)


def _version_of_info(fs: Any, path: str, info: dict[str, Any]) -> str:
    for keys in (_CHANGES_WITH_CONTENT, _TIMES):
        for key in keys:
            if value := info.get(key):
                return f"{info.get('size')}-{value}".replace('"', "")
    return hashlib.sha256(fs.cat_file(path)).hexdigest()


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


def file_system_named(name: str) -> tuple[Any, str]:
    """The file system of what a user names, a path or a URL of fsspec, and the path in it.

    Raises whatever fsspec does for a store that it does not know or cannot use.
    """
    if "://" in name:
        store: tuple[Any, str] = fsspec.core.url_to_fs(name)
        return store
    # `url_to_fs` would take two colons in a path for a chain of file systems.
    fs = fsspec.filesystem("file")
    return fs, fs._strip_protocol(name)


def open_file(url: str) -> Any:
    """The file at a `Place.url`, open for reading bytes. Raises what its store does."""
    fs, path = file_system_of(url)
    return fs.open(path)
