"""The posters of a catalogue, whatever kind it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from poster2plot.batch.catalogues.arrow_tables import ARROW, PARQUET, arrow_cells, parquet_cells
from poster2plot.batch.catalogues.columns import Cell, InRow
from poster2plot.batch.catalogues.csv_tables import csv_cells
from poster2plot.batch.catalogues.dataset_folders import dataset_tables, is_dataset
from poster2plot.batch.catalogues.folders import RECORD, folder_items
from poster2plot.batch.catalogues.item import Item, named_item
from poster2plot.batch.catalogues.json_lines import json_cells
from poster2plot.batch.catalogues.names import find_file, forget_folders, printable
from poster2plot.batch.catalogues.passed_over import PassedOver
from poster2plot.batch.catalogues.stores import (
    MISSING,
    Place,
    file_system_named,
    version,
    versions,
)
from poster2plot.batch.catalogues.tars import tar_items
from poster2plot.batch.catalogues.text_files import PACKED, has_json_lines, is_text_table
from poster2plot.batch.catalogues.trouble import UnreachableError, raise_failure
from poster2plot.batch.catalogues.zips import member_name, zip_items, zip_members
from poster2plot.errors import InputError, Poster2PlotError
from poster2plot.images.limits import IMAGE_SUFFIXES

_TARS = (".tar", ".tgz", ".tbz2", ".txz", ".tzst")
_AT_ONCE = 1024  # names of a table
_KINDS = (
    "a folder of pictures, of archives or of tables, a .tar or .zip, a table of paths, IMDb ids or "
    "pictures (.csv, .tsv, .txt, .jsonl, .parquet, .arrow), or a folder of the library datasets"
)


def items(name: str, passed_over: PassedOver | None = None, leave_out: str = "") -> Iterator[Item]:
    """The posters of a folder, an archive, a table, or a folder saved by `datasets`.

    `name` is a path or a URL of fsspec. The order is always the same. What is no poster goes to
    `passed_over`; the output at the path `leave_out`, and what lies beside it, are no part of the
    catalogue. Raises `InputError` where there is none of these.
    """
    if not name:
        raise InputError("The name of the catalogue is empty; give a folder or a file.")
    passed_over = PassedOver() if passed_over is None else passed_over
    forget_folders()
    try:
        fs, root = file_system_named(name)
        fs.invalidate_cache()
        is_folder, is_file = fs.isdir(root), fs.isfile(root)
    except Exception as error:  # each store has its own
        raise_failure(error, name, name)
        raise InputError(f"{name!r} cannot be read: {error}.") from error
    place = Place(fs, name.rstrip("/") or name, root.rstrip("/") or root)
    try:
        if is_folder:
            yield from _folder(place, passed_over, leave_out)
        elif is_file:
            yield from _file(place, passed_over)
        else:
            raise InputError(f"There is no file or folder at {printable(name)!r}; check the path.")
    except FileNotFoundError as error:
        raise InputError(f"{place.shown!r} changed while it was listed; start again.") from error
    except Poster2PlotError:
        raise
    except Exception as error:  # each store has its own
        raise_failure(error, place.shown, place.url)
        raise InputError(f"{place.shown!r} cannot be read: {error}.") from error
    finally:
        fs.invalidate_cache()  # what is read later is looked at anew


def _folder(folder: Place, passed_over: PassedOver, leave_out: str) -> Iterator[Item]:
    if is_dataset(folder):
        for table, cells in dataset_tables(folder):
            yield from _table_items(table, cells)
        return
    tables: list[Place] = []
    outputs: set[str] = set()
    found = False

    def archive_items(place: Place) -> Iterator[Item] | None:
        if _is_table(place):
            tables.append(place)
            return iter(())
        if place.path.endswith(RECORD):
            outputs.add(place.path.removesuffix(RECORD))
        items = _archive_items(place, passed_over)
        return items and _said(place, items)

    for item in folder_items(folder, archive_items, passed_over, leave_out):
        found = True
        yield item
    inputs = [table for table in tables if table.path not in outputs]
    chosen = [] if found else _shards(folder, inputs)
    for place in tables:
        if place not in chosen:
            passed_over.add("tables beside the posters", place.shown)
    for place in chosen:
        yield from _said(place, _file(place, passed_over))


def _is_table(place: Place) -> bool:
    return place.suffix in (*PARQUET, *ARROW) or (
        is_text_table(place.path) and not place.path.lower().endswith(".txt")
    )


def _shards(folder: Place, tables: list[Place]) -> list[Place]:
    """The tables that together are a catalogue: those of one kind.

    Names that begin with _ are notes of the program that wrote the others, as Spark's are.
    """
    tables = [
        place
        for place in tables
        if not any(part.startswith("_") for part in place.path[len(folder.path) :].split("/"))
    ]
    for suffixes in (PARQUET, ARROW):
        if chosen := [place for place in tables if place.suffix in suffixes]:
            return chosen
    return tables


def _said(place: Place, items: Iterator[Item]) -> Iterator[Item]:
    """Items of one file of many: where it cannot be read, an item says so."""
    try:
        yield from items
    except UnreachableError:  # which says nothing of the file
        raise
    except InputError as error:
        yield Item(place.shown, "nothing", place.url, version=version(place.url), detail=str(error))


def _archive_items(place: Place, passed_over: PassedOver) -> Iterator[Item] | None:
    name = place.path.lower()
    for suffix in PACKED:
        name = name if suffix == ".zip" else name.removesuffix(suffix)
    if name.endswith(_TARS):
        return tar_items(place, passed_over)
    return zip_items(place, passed_over) if place.suffix == ".zip" else None


def _file(place: Place, passed_over: PassedOver) -> Iterator[Item]:
    table = _packed_table(place) if place.suffix == ".zip" else place.path
    if not table:
        return zip_items(place, passed_over)
    if place.suffix in PARQUET:
        return _table_items(place, parquet_cells(place))
    if place.suffix in ARROW:
        return _table_items(place, arrow_cells(place))
    if is_text_table(table):
        cells = json_cells if has_json_lines(table) else csv_cells
        return _table_items(place, cells(place, passed_over))
    if (archive := _archive_items(place, passed_over)) is not None:
        return archive
    there = "It is a picture; `poster2plot` takes those" if place.suffix in IMAGE_SUFFIXES else ""
    raise InputError(
        f"{place.shown!r} is no catalogue: give {_KINDS}." + (f" {there}." if there else "")
    )


def _packed_table(place: Place) -> str:
    """The name of the table in a zip; nothing where it holds pictures, or no table."""
    names = [member_name(member) for member in zip_members(place)]
    suffixes = {PurePosixPath(name).suffix.lower() for name in names}
    return "" if suffixes & set(IMAGE_SUFFIXES) else next(filter(is_text_table, names), "")


def _table_items(table: Place, cells: Iterable[Cell]) -> Iterator[Item]:
    """An item for each cell: what it names, or the picture in that row."""
    url, of_table = table.url, version(table.url)
    rest = iter(cells)
    while some := list(islice(rest, _AT_ONCE)):
        found = [
            _in_row(table, poster, of_table, title)
            if isinstance(poster, InRow)
            else replace(named_item(poster, url), title=title)
            for poster, title in some
        ]
        looked_at = [item.kind == "file" for item in found]
        files = versions(item.file for item in found if item.kind == "file")
        for item, cell, is_file in zip(found, some, looked_at, strict=True):
            yield _located(item, cell.poster, url, next(files)) if is_file else item
    if version(url) != of_table:
        raise InputError(f"{table.shown!r} changed while it was listed; start again.")


def _in_row(table: Place, cell: InRow, of_table: str, title: str) -> Item:
    source = f"{table.shown}/{cell.row}"
    element = cell.detail.rstrip("]").rpartition(", ")[2]
    if element.isdigit():  # of several pictures in a row
        source += f"/{element}"
    return Item(
        source, "row", table.url, cell.row, version=of_table, detail=cell.detail, title=title
    )


def _located(item: Item, cell: Any, table: str, found: str) -> Item:
    """The item with the version of its file, which may bear the name in another spelling."""
    if found == MISSING and "://" not in item.file and not os.path.isabs(cell):  # noqa: PTH117
        file = find_file(table.rpartition("/")[0], cell)
        if file is not None:
            return replace(item, file=file, version=version(file))
    return replace(item, version=found)
