"""Tars of pictures, such as WebDataset's."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import IO

from poster2plot.batch.catalogues.columns import TITLES, title_in
from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.stores import Place
from poster2plot.errors import InputError
from poster2plot.images.limits import IMAGE_SUFFIXES

_JSON_BYTES = 2**20  # a longer one is not about a picture


def tar_items(place: Place) -> Iterator[Item]:
    """The pictures of a tar in its order, without unpacking it.

    What stands side by side under one name belongs together, as in WebDataset: the `title` that
    a .json says is that of the picture. Raises `InputError` where it is not a tar, or is compressed
    or damaged.
    """
    try:
        with place.fs.open(place.path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for _, members in groupby(_files(tar), _sample):
                pictures, title = [], ""
                for member in members:
                    suffix = PurePosixPath(member.name).suffix.lower()
                    if suffix in IMAGE_SUFFIXES:
                        pictures.append(member)
                    elif suffix == ".json" and member.size <= _JSON_BYTES:
                        title = _title(tar.extractfile(member))
                for member in pictures:
                    source = f"{place.name}/{member.name}"
                    at, size = member.offset_data, member.size
                    yield Item(source, "part", place.url, at, size, title)
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{place.name!r} is not a tar, or it is compressed or damaged.") from error


def _files(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        # What has been listed would otherwise be kept.
        tar.members = []  # type: ignore[attr-defined]
        if member.isfile():
            yield member


def _sample(member: tarfile.TarInfo) -> str:
    """The part of a name that all files of a sample share: up to the first dot after the folder."""
    folder, _, name = member.name.rpartition("/")
    return f"{folder}/{name.split('.')[0]}"


def _title(file: IO[bytes] | None) -> str:
    """The title in a file of JSON, or nothing, whatever else the file may be."""
    try:
        about = json.loads(file.read()) if file else None
    except (ValueError, RecursionError):
        return ""
    return title_in(about.get(TITLES)) if isinstance(about, dict) else ""
