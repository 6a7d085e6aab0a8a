"""What tables as text have in common: what separates their cells, and how long those may be."""

import csv
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DELIMITERS = ",;\t|"
SEPARATOR = re.compile(r'"?sep=(.)"?\s*')  # Excel's own first line; https://superuser.com/q/606272
LONGEST_CELL = 2**27  # characters; Python's own limit is below what one plot or picture takes

_lock = threading.Lock()
_limits: list[int] = []  # that were there before, one for each table that is being read


def delimiter_in(line: str) -> str:
    """The delimiter that a line has most often outside its quotes, or "" where it has none."""
    outside = "".join(line.split('"')[::2])
    found = max(DELIMITERS, key=outside.count)
    return found if found in outside else ""


@contextmanager
def long_cells() -> Iterator[None]:
    """Let `csv` read cells of `LONGEST_CELL`, for as long as anybody needs that.

    The limit is one of the whole process, and others may read tables in it.
    """
    with _lock:
        _limits.append(csv.field_size_limit(LONGEST_CELL))
    try:
        yield
    finally:
        with _lock:
            csv.field_size_limit(_limits.pop())
