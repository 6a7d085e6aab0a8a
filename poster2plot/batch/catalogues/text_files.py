"""Tables as text, packed and encoded in whatever way: how to read them as characters."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from poster2plot.batch.catalogues.stores import Place
from poster2plot.batch.catalogues.tars import COMPRESSIONS
from poster2plot.errors import InputError

PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip")  # suffixes after a table's own
_JSON_LINES = (".jsonl", ".ndjson")
_SAMPLE = 2**16  # bytes that tell the encoding
_MARKS = (  # byte order marks; UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextmanager
def open_text(place: Place) -> Iterator[io.TextIOWrapper]:
    """The characters of a text file, lines as they are; unpacked if it is packed.

    The encoding is that of its byte order mark, UTF-16 where every other byte is zero, else UTF-8,
    in which other bytes become lone surrogates, as in the names of files. Raises `InputError` for a
    zip that holds more than one table, and otherwise what the store and the unpackers do.
    """
    with ExitStack() as stack:
        data = stack.enter_context(place.fs.open(place.path))
        data = _unpacked(data, place, stack)
        sample = data.peek(_SAMPLE)[:_SAMPLE]
        yield stack.enter_context(
            io.TextIOWrapper(data, _encoding(sample), errors="surrogateescape", newline="")
        )


def _unpacked(data: Any, place: Place, stack: ExitStack) -> io.BufferedReader:
    start = data.read(8)
    data.seek(0)
    program = next((name for magic, name in COMPRESSIONS.items() if start.startswith(magic)), "")
    if program == "gzip":
        data = gzip.GzipFile(fileobj=data)
    elif program == "bzip2":
        data = bz2.BZ2File(data)
    elif program == "xz":
        data = lzma.LZMAFile(data)  # noqa: SIM115  # as long as `data` below it
    elif program == "zstd":
        import pyarrow as pa

        data = pa.CompressedInputStream(pa.PythonFile(data, mode="r"), "zstd")
    elif start.startswith(b"PK\x03\x04"):
        archive = stack.enter_context(zipfile.ZipFile(data))
        tables = [name for name in archive.namelist() if is_text_table(name)]
        tables = [name for name in tables if "__MACOSX" not in name]
        if len(tables) != 1:
            raise InputError(
                f"{place.shown!r} holds {len(tables)} tables; unpack it and name the one to read."
            )
        data = archive.open(tables[0])
    return io.BufferedReader(cast(Any, data), _SAMPLE)


def is_text_table(name: str) -> bool:
    """Whether a name is that of a table as text, packed or not."""
    return _unpacked_name(name).endswith((".csv", ".tsv", ".tab", ".txt", *_JSON_LINES))


def has_json_lines(name: str) -> bool:
    """Whether the name of a table as text, packed or not, is that of JSON lines."""
    return _unpacked_name(name).endswith(_JSON_LINES)


def _unpacked_name(name: str) -> str:
    name = name.lower()
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    return name


def _encoding(sample: bytes) -> str:
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    zeros = [sample[first::2].count(0) for first in (0, 1)]
    if max(zeros) > len(sample) // 4:
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    return "utf-8"
