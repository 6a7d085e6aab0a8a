"""The posters of a catalogue, whatever kind it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

import fsspec

from poster2plot.batch.catalogues.arrow import arrow_rows
from poster2plot.batch.catalogues.csv_tables import csv_cells
from poster2plot.batch.catalogues.folders import folder_items
from poster2plot.batch.catalogues.item import Item, named_item
from poster2plot.batch.catalogues.parquet import parquet_cells
from poster2plot.batch.catalogues.stores import Place
from poster2plot.batch.catalogues.tars import tar_items
from poster2plot.errors import InputError


def items(name: str) -> Iterator[Item]:
    """The posters of a folder, a tar, a CSV or Parquet table, or one saved by `datasets`.

    `name` is a path or a URL of fsspec. The order is always the same. Raises `InputError` where
    there is none of these.
    """
    try:
        fs, root = fsspec.core.url_to_fs(name)
        is_folder, is_file = fs.isdir(root), fs.isfile(root)
    except Exception as error:  # each store has its own
        raise InputError(f"{name!r} cannot be read: {error}.") from error
    place = Place(fs, name.rstrip("/"), root.rstrip("/"))
    suffix = PurePosixPath(root).suffix
    if is_folder:
        paths = fs.find(root)
        arrow_files = sorted(path for path in paths if path.endswith(".arrow"))
        if arrow_files and any(path.endswith("/dataset_info.json") for path in paths):
            for path in arrow_files:
                file = place.below(path)
                yield from _table_items(file, arrow_rows(file))
        else:
            yield from folder_items(place)
    elif not is_file:
        raise InputError(f"There is no file or folder at {name!r}; check the path.")
    elif suffix == ".tar":
        yield from tar_items(place)
    elif suffix == ".parquet":
        yield from _table_items(place, parquet_cells(place))
    elif suffix in (".csv", ".tsv", ".txt"):
        yield from _table_items(place, csv_cells(place))
    else:
        raise InputError(
            f"{name!r} is no catalogue: give a folder, a .tar, a .csv, a .parquet, or a folder "
            "saved by the library datasets."
        )


def _table_items(table: Place, cells: Iterable[tuple[str | int, str]]) -> Iterator[Item]:
    """An item for each cell and title: what it names or, for a number, the picture in that row."""
    url = table.url
    for cell, title in cells:
        if isinstance(cell, int):
            yield Item(f"{table.name}/{cell}", "row", url, cell, title=title)
        else:
            yield replace(named_item(cell, url), title=title)
