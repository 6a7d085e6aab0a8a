"""Tables as text, whose cells name posters: .csv, .tsv and .txt, whatever program wrote them."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, dropwhile, islice
from lzma import LZMAError
from pathlib import PurePosixPath
from typing import Any

from poster2plot.batch.catalogues.columns import (
    COLUMNS,
    SAMPLE,
    Cell,
    normal,
    poster_cell,
    poster_column,
    title_column,
    title_in,
)
from poster2plot.batch.catalogues.item import named_item
from poster2plot.batch.catalogues.passed_over import PassedOver
from poster2plot.batch.catalogues.stores import MISSING, UNREADABLE, Place, version
from poster2plot.batch.catalogues.text_files import open_text
from poster2plot.batch.catalogues.trouble import raise_failure
from poster2plot.delimited_text import DELIMITERS, SEPARATOR, delimiter_in, long_cells
from poster2plot.errors import InputError
from poster2plot.images.limits import IMAGE_SUFFIXES
from poster2plot.imdb.ids import looks_like_title

TROUBLES = (OSError, UnicodeError, EOFError, zlib.error, LZMAError, zipfile.BadZipFile)


@dataclass(frozen=True)
class _Dialect:
    """How a table is written; a list without delimiter has a name in each line, as it is."""

    delimiter: str
    quoting: int = csv.QUOTE_MINIMAL
    escape: str | None = None

    def rows(self, lines: Iterable[str]) -> Any:  # of lists of texts
        if not self.delimiter:
            return ([_unquoted(line)] for line in lines if line.strip())
        return csv.reader(
            _from_first(lines),
            delimiter=self.delimiter,
            quoting=self.quoting,  # type: ignore[arg-type]
            escapechar=self.escape,
            doublequote=self.escape is None,
            strict=True,
        )


def csv_cells(place: Place, passed_over: PassedOver | None = None) -> Iterator[Cell]:
    """The cells that name a poster, with its title; rows whose cell is empty are passed over.

    The delimiter is the first line's, quotes are quotes unless the file is one of IMDb's own, a
    tabbed one in which they come out uneven, or a list of files, and a table without a header is
    one whose first row names a poster. Raises `InputError` where it is no such table, or none of
    its columns has posters.
    """
    try:
        dialect = _dialect(place)
        with long_cells(), open_text(place) as file:
            rows = dialect.rows(file)
            header: list[str] = next(rows, [])
            first = list(islice(rows, SAMPLE))

            def sample(column: int) -> list[str]:
                return [row[column].strip() for row in first if len(row) > column]

            titles = title_column(header)
            if not set(map(normal, header)) & set(COLUMNS) and _names_poster(header) >= 0:
                column, name, first = _names_poster(header), "", [header, *first]
            else:
                column = poster_column(header, place.shown, sample)
                name = header[column]
            for row in chain(first, rows):
                cell = poster_cell(name, row[column]) if len(row) > column else ""
                if cell:
                    title = row[titles] if titles is not None and len(row) > titles else ""
                    yield Cell(cell, title_in(title))
                elif passed_over is not None and row:
                    passed_over.add("rows without a poster", place.shown)
    except (*TROUBLES, csv.Error) as error:
        raise_failure(error, place.shown, place.url)
        raise InputError(f"{place.shown!r} cannot be read as a table; is it complete?") from error


def _names_poster(row: list[str]) -> int:
    """The first cell of a row that can only be a poster's name, -1 where there is none."""
    for place, cell in enumerate(row):
        if _suffix(cell.strip()) in IMAGE_SUFFIXES or looks_like_title(cell):
            return place
    return -1


def _dialect(place: Place) -> _Dialect:
    """The dialect in which all of a table makes sense. Raises `InputError` where none does."""
    with open_text(place) as file:
        start = file.read(2**16)
    lines = list(islice(filter(str.strip, io.StringIO(start, newline=None)), 2))
    separator = SEPARATOR.fullmatch(lines[0]) if lines else None
    said, line = (separator[1], lines[-1]) if separator else ("", "".join(lines[:1]))
    delimiter = said or delimiter_in(line)
    if not said and _is_list(place, line, is_one_column=not delimiter):
        return _Dialect("")
    delimiter = delimiter or ("\t" if place.suffix in (".tsv", ".tab") else ",")
    plain = _Dialect(delimiter, csv.QUOTE_NONE)
    if delimiter == "\t" and line.startswith(("tconst\t", "nconst\t", "titleId\t")):
        return plain  # https://developer.imdb.com/non-commercial-datasets/
    trouble = _trouble(place, _Dialect(delimiter))
    if not trouble:
        return _Dialect(delimiter)
    escaped = _Dialect(delimiter, csv.QUOTE_MINIMAL, "\\")
    if '\\"' in start and not _trouble(place, escaped):
        return escaped
    if delimiter == "\t":
        return plain
    raise InputError(f"{place.shown!r} cannot be read as a table: {trouble}; write it anew.")


def _from_first(lines: Iterable[str]) -> Iterator[str]:
    """The lines from the first that says something of posters: Excel may name the delimiter."""
    return dropwhile(lambda line: not line.strip() or SEPARATOR.fullmatch(line), lines)


def _is_list(place: Place, first: str, *, is_one_column: bool) -> bool:
    """Whether each line is a name as it is, as `find` and `ls` write them, delimiters and all.

    That is so where a line that has delimiters or quotes ends as a picture does, in a table of one
    column, or one that begins with the name of a file that is there.
    """
    name = _unquoted(first)
    if not is_one_column and (
        _suffix(name) not in IMAGE_SUFFIXES
        or version(named_item(name, place.url).file) in (MISSING, UNREADABLE)
    ):
        return False
    is_odd = False
    with open_text(place) as file:
        for line in islice(_from_first(file), int(normal(name) in COLUMNS), None):
            name = _unquoted(line)
            if any(char in name for char in f'"{DELIMITERS}'):
                is_odd = True
                if _suffix(name) not in IMAGE_SUFFIXES:
                    return False
    return is_odd


def _unquoted(line: str) -> str:
    name = line.strip()
    if len(name) > 1 and name.startswith('"') and name.endswith('"'):
        name = name[1:-1].replace('""', '"')
    return name


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _trouble(place: Place, dialect: _Dialect) -> str:
    """What is wrong with a table if it is in this dialect."""
    with long_cells(), open_text(place) as file:
        rows = dialect.rows(file)
        before = columns = 0
        try:
            for row in rows:
                before = rows.line_num
                columns = columns or len(row)
                # With escapes, Python takes a quote within a cell for the end of it.
                if dialect.escape and row and len(row) != columns:
                    return f"line {before:,} has more or fewer cells than the first"
        except csv.Error as error:
            if "end of data" in str(error):
                return f"after line {before:,} a quote is opened and never closed"
            return f"after line {before:,} {error}"
    return ""
