"""Tars of pictures, such as WebDataset's."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.stores import Place
from poster2plot.errors import InputError
from poster2plot.images.limits import IMAGE_SUFFIXES


def tar_items(place: Place) -> Iterator[Item]:
    """The pictures of a tar in its order, without unpacking it.

    Raises `InputError` where it is not a tar, or is compressed or damaged.
    """
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
