"""Folders of pictures and tars."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.stores import Place
from poster2plot.batch.catalogues.tars import tar_items
from poster2plot.images.limits import IMAGE_SUFFIXES


def folder_items(folder: Place) -> Iterator[Item]:
    """The pictures and tars in a folder and below it, in natural order (2 before 10).

    What is hidden, with a dot first, is left out. Raises `InputError` for a tar that cannot be
    read, and what the store does.
    """
    entries = [
        (PurePosixPath(entry["name"]).name, entry)
        for entry in folder.fs.ls(folder.path, detail=True)
    ]
    for name, entry in sorted(entries, key=lambda named: (_natural_key(named[0]), named[0])):
        place = folder.below(entry["name"].rstrip("/"))
        if name.startswith("."):
            continue
        if entry["type"] == "directory":
            yield from folder_items(place)
        elif place.suffix == ".tar":
            yield from tar_items(place)
        elif place.suffix in IMAGE_SUFFIXES:
            yield Item(place.name, file=place.url)


def _natural_key(name: str) -> list[str | int]:
    # re.split puts text at even and digits at odd places, so like is compared with like
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]
