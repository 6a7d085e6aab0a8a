"""Folders that the library datasets (https://huggingface.co/docs/datasets) made.

`save_to_disk` leaves a state.json that names the files of the data; beside them lie those that
`map`, `shuffle` and `select` cached, which are none. Its cache of downloads has no such list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from poster2plot.batch.catalogues.arrow_tables import arrow_cells, arrow_length, arrow_rows
from poster2plot.batch.catalogues.columns import Cell
from poster2plot.batch.catalogues.names import natural_key
from poster2plot.batch.catalogues.stores import Place, entries
from poster2plot.batch.catalogues.trouble import raise_failure
from poster2plot.errors import InputError

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_CACHED = re.compile(r"(cache|tmp|indices)[-_.].*|indices\.arrow")


def is_dataset(folder: Place) -> bool:
    """Whether the library datasets made it."""

    def has(name: str) -> bool:
        return bool(folder.fs.exists(f"{folder.path}/{name}"))

    if has(SPLITS):
        return True
    return has(INFO) and (
        has(STATE) or any(entry.name.endswith(".arrow") for entry in entries(folder))
    )


def dataset_tables(folder: Place) -> Iterator[tuple[Place, Iterator[Cell]]]:
    """The files of a data set, those of each split in turn, and their cells.

    Raises `InputError` where one is missing, or cannot be read.
    """
    here = {entry.name: entry.place for entry in entries(folder)}
    if SPLITS in here and STATE not in here:
        for split in _read(here[SPLITS]).get("splits", []):
            if split not in here:
                raise InputError(f"{folder.shown!r} lacks its folder {split!r}; copy it again.")
            yield from dataset_tables(here[split])
        return
    if STATE not in here:
        files = [name for name in here if name.endswith(".arrow") and not _CACHED.fullmatch(name)]
        for name in sorted(files, key=natural_key):
            yield here[name], arrow_cells(here[name])
        return
    state = _read(here[STATE])
    names = [each["filename"] for each in state.get("_data_files") or []]
    order = [each["filename"] for each in state.get("_indices_data_files") or []]
    for name in (*names, *order):
        if name not in here:
            raise InputError(f"{folder.shown!r} lacks its file {name!r}; copy it again.")
    if order:
        yield from _in_order([here[name] for name in names], [here[name] for name in order])
        return
    for name in names:
        yield here[name], arrow_cells(here[name])


def _in_order(files: list[Place], indices: list[Place]) -> Iterator[tuple[Place, Iterator[Cell]]]:
    """The rows that indices name, as older versions save what was shuffled or selected."""
    cells = [(file, cell) for file in files for cell in arrow_cells(file)]
    if len(cells) != sum(arrow_length(file) for file in files):
        raise InputError(
            f"{files[0].shown!r} has rows without a poster or with several, and another file picks "
            "among them; save the data set again with a newer version of datasets."
        )
    for part in indices:
        for row in arrow_rows(part, "indices"):
            file, cell = cells[row]
            yield file, iter([cell])


def _read(place: Place) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(place.fs.cat_file(place.path))
    except (OSError, ValueError) as error:
        raise_failure(error, place.shown, place.url)
        raise InputError(f"{place.shown!r} cannot be read; copy the folder again.") from error
    return found
