"""What names mean: hidden or not, in which order, and the file that a table means by one."""

from __future__ import annotations

import os
import re
import unicodedata
from contextlib import suppress
from functools import lru_cache

_MAC = "__MACOSX"  # where a Mac puts its own notes on the files of an archive
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # surrogates that stand for no byte


def is_hidden(path: str) -> bool:
    """Whether a path, its folders included, is one that file managers do not show."""
    return any(
        (part.startswith(".") and part not in (".", "..")) or part == _MAC
        for part in path.split("/")
    )


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts 2 before 10; names that differ in nothing but case or zeros have an order, too."""
    # re.split puts text at even and digits at odd places, so like is compared with like
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def printable(name: str) -> str:
    r"""A name as text that any file can hold: what is not UTF-8 in it is written as \xff.

    Half of a character of UTF-16, as JSON may have it, is written as \ud83d.
    """
    if name.isascii():
        return name
    name = _HALVES.sub(lambda half: f"\\u{ord(half[0]):04x}", name)
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def of_windows(text: str) -> str:
    """Text that was read as UTF-8; where its bytes were none, as Windows-1252."""
    if not any("\udc80" <= char <= "\udcff" for char in text):
        return text
    text = _HALVES.sub("", text)
    return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def shortened(text: str, most: int = 200) -> str:
    """Text for a sentence, cut where it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def find_file(folder: str, cell: str) -> str | None:
    """The one file on the disk that a table in `folder` can mean by a relative path.

    Systems write the same name differently: é as one code point or two (Unicode normalisation),
    with backslashes, in capitals, in the code page of Windows. None where no file fits or several
    do.
    """
    names = [cell, cell.replace("\\", "/")]
    if not cell.isascii():
        with suppress(UnicodeError):  # what is not UTF-8 may be Windows-1252
            names.append(cell.encode("utf-8", "surrogateescape").decode("cp1252"))
    for name in dict.fromkeys(names):
        place = folder
        for part in name.split("/"):
            if part in ("", "."):
                continue
            place = os.path.join(place, part) if part == ".." else _child(place, part)  # noqa: PTH118
            if not place:
                break
        if place and os.path.isfile(place):  # noqa: PTH113  # a million times
            return place
    return None


def _child(folder: str, name: str) -> str:
    exact, alike = _children(folder)
    found = [name] if name in exact else alike.get(_plain(name), [])
    found = [each for each in found if _composed(each) == _composed(name)] or found
    return f"{folder}/{found[0]}" if len(found) == 1 else ""


@lru_cache(64)
def _children(folder: str) -> tuple[frozenset[str], dict[str, list[str]]]:
    """The names in a folder, and those that are alike."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  # a million names
    except OSError:
        names = []
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_plain(name), []).append(name)
    return frozenset(names), alike


def forget_folders() -> None:
    """Look at the disk anew."""
    _children.cache_clear()


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _plain(name: str) -> str:
    return _composed(_composed(name).casefold())
