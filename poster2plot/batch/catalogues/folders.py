"""Folders of pictures and archives or, where there are none, of tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.names import is_hidden, natural_key
from poster2plot.batch.catalogues.passed_over import PassedOver
from poster2plot.batch.catalogues.stores import MISSING, UNREADABLE, Entry, Place, entries
from poster2plot.images.limits import IMAGE_SUFFIXES

SNAPSHOT = "catalogue.jsonl.gz"  # lies among the shards of a run
RECORD = ".run.json"  # after the name of a complete output


def folder_items(
    folder: Place,
    archive_items: Callable[[Place], Iterator[Item] | None],
    passed_over: PassedOver,
    leave_out: str = "",
) -> Iterator[Item]:
    """The pictures in a folder and below it, and those in its archives, in natural order.

    `archive_items` reads an archive and gives None for what is none. What is hidden is left out,
    and what a run writes into the folder: the output at `leave_out`, and what lies beside it.
    Raises `OSError`, or what the store does, where the folder itself may not be read.
    """
    for file in _below(entries(folder), passed_over, {_identity(folder)}):
        if leave_out and (
            file.place.path == leave_out or file.place.path.startswith(f"{leave_out}.")
        ):
            continue
        if file.place.suffix in IMAGE_SUFFIXES:
            yield Item(file.place.shown, file=file.place.url, version=file.version)
        elif (items := archive_items(file.place)) is not None:
            yield from items
        else:
            passed_over.add("of another kind", file.place.shown)


def _below(
    found: list[Entry], passed_over: PassedOver, above: set[tuple[int, int]]
) -> Iterator[Entry]:
    """The files of a folder that has these entries, and those below it, in natural order."""
    for entry in sorted(found, key=lambda entry: natural_key(entry.name)):
        if is_hidden(entry.name):
            passed_over.add("hidden", entry.place.shown)
        elif entry.is_folder:
            try:
                identity = _identity(entry.place)
                inside = [] if identity in above else entries(entry.place)
            except PermissionError:
                if not entry.place.is_local:  # which is of the credentials, not of the folder
                    raise
                passed_over.add("folders that may not be read", entry.place.shown)
                continue
            if identity in above:
                passed_over.add("that lead back to their own folder", entry.place.shown)
                continue
            if any(each.name == SNAPSHOT for each in inside):
                passed_over.add("folders of a run's shards", entry.place.shown)
                continue
            yield from _below(inside, passed_over, above | {identity})
        elif entry.version == MISSING:
            passed_over.add("links that lead nowhere", entry.place.shown)
        elif entry.version == UNREADABLE:
            passed_over.add("that are no files or may not be looked at", entry.place.shown)
        else:
            yield entry


def _identity(folder: Place) -> tuple[int, int]:
    """What two links to the same folder have in common."""
    if not folder.is_local:
        return (0, hash(folder.path))
    found = os.stat(folder.path)  # noqa: PTH116
    return found.st_dev, found.st_ino
