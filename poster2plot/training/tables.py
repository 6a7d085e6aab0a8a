"""Tables of ids and texts as people have them: CSV of any delimiter, encoding and packing."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from poster2plot.delimited_text import SEPARATOR, delimiter_in, long_cells
from poster2plot.errors import InputError

ID_COLUMNS = ("imdb_title_id", "id", "tconst")
UNEVEN = "more or fewer cells than the header"  # a reason why a row is left out
_UNPACK: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_rows(
    path: Path, *, dropped: Counter[str] | None = None, hint: str = "", **wanted: Sequence[str]
) -> Iterator[dict[str, str]]:
    """The rows of a table, by the names of its columns in small letters.

    A `wanted` column, which may have any of these names, is in the rows under its keyword, too. The
    encoding is that of the byte order mark, else UTF-8, and Windows-1252 in lines that are none.
    Rows with more or fewer cells than the header are left out, and counted in `dropped`, or else
    told. Raises `InputError` where the file cannot be read as a table, or lacks a column that is
    wanted, about which `hint` says what to do.
    """
    uneven = line = 0
    shown = repr(str(path))
    try:
        with long_cells(), _opened(path) as file:
            lines = _lines(file)
            first = next(lines, "")
            if "\0" in first:
                raise InputError(f"{shown} is no table as text; save it as CSV.")
            said = SEPARATOR.fullmatch(first)
            if said:  # Excel may name the delimiter
                first = next(lines, "")
            delimiter = said[1] if said else delimiter_in(first) or ","
            rows = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
            header = [name.strip().lower() for name in next(rows, [])]
            line = rows.line_num
            columns = {key: _column(names, header, shown, hint) for key, names in wanted.items()}
            for cells in rows:
                line = rows.line_num
                if len(cells) == len(header):
                    row = dict(zip(header, cells, strict=True))
                    yield row | {key: row[name] for key, name in columns.items()}
                elif cells:
                    uneven += 1
    except csv.Error as error:
        why = str(error)
        if "end of data" in why or "limit" in why:
            why = "a quote is opened and never closed"
        raise InputError(
            f"{shown} cannot be read as a table: after line {line:,} {why}; write it anew."
        ) from error
    except UnicodeError as error:
        raise InputError(
            f"{shown} is neither UTF-8 nor Windows-1252 after line {line:,}; save it as UTF-8."
        ) from error
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if getattr(error, "errno", None) is None:  # of the unpackers
            raise InputError(f"{shown} is cut off or damaged; get it again.") from error
        raise InputError(f"The table {shown} cannot be read; check the path.") from error
    if uneven and dropped is not None:
        dropped[UNEVEN] = uneven
    elif uneven:
        print(f"{shown}: rows left out, with {UNEVEN}: {uneven}.", file=sys.stderr)


def is_packed(path: Path) -> bool:
    """Whether a file is compressed, by its first bytes."""
    return _unpacker(path) is not open


def _unpacker(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(6)
    return next((unpack for magic, unpack in _UNPACK.items() if start.startswith(magic)), open)


def _opened(path: Path) -> io.TextIOWrapper:
    """The characters of a file, line ends as they are; what is no UTF-8 is lone surrogates."""
    unpack = _unpacker(path)
    with unpack(path, "rb") as file:
        encoding = "utf-16" if file.read(2) in _UTF_16 else "utf-8-sig"
    return io.TextIOWrapper(unpack(path, "rb"), encoding, errors="surrogateescape", newline="")


def _lines(file: io.TextIOWrapper) -> Iterator[str]:
    """Raises `UnicodeError` for a line that is neither UTF-8 nor Windows-1252."""
    for line in file:
        try:
            line.encode()
        except UnicodeEncodeError:
            yield line.encode("utf-8", "surrogateescape").decode("cp1252")
        else:
            yield line


def _column(names: Sequence[str], header: Sequence[str], shown: str, hint: str) -> str:
    for name in names:
        if name.strip().lower() in header:
            return name.strip().lower()
    there = f"its columns are {', '.join(header) or 'none'}{hint and f'; {hint}'}"
    raise InputError(f"{shown} has no column {' or '.join(names)}; {there}.")
