"""The catalogue as it was listed, once, for all processes of a run and for the runs after it."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poster2plot.batch.catalogues.folders import SNAPSHOT
from poster2plot.batch.catalogues.item import Item

FILE = SNAPSHOT  # beside the shards
_DIGEST = 8  # bytes of a digest of a name or a line, for comparing two catalogues


@dataclass(frozen=True)
class Summary:
    """What a snapshot says of itself: what was asked for, how many items, a digest of them all."""

    job: dict[str, Any]
    items: int
    digest: str


def take(
    path: Path, items: Iterable[Item], job: dict[str, Any], of_titles: dict[str, Any]
) -> Summary:
    """List a catalogue into a file. Raises what listing raises, and `OSError`.

    What was asked for is `job`, and `of_titles` too where there is a title to look up.
    """
    digest, count, has_titles = hashlib.sha256(), 0, False
    with gzip.open(path, "wb", compresslevel=1) as file:
        for item in items:
            line = item.as_json().encode() + b"\n"
            digest.update(line)
            file.write(line)
            count += 1
            has_titles = has_titles or item.kind == "title"
        found = Summary(job | of_titles if has_titles else job, count, digest.hexdigest())
        file.write(json.dumps(asdict(found)).encode() + b"\n")
    return found


def read_items(path: Path) -> Iterator[Item]:
    """The items of a snapshot, in order. Raises `OSError`, `EOFError` or `ValueError`."""
    for line in _lines(path):
        if line.startswith(b"["):
            yield Item(*json.loads(line))


def summary(path: Path) -> Summary | None:
    """What a snapshot says of itself, None where it is not whole."""
    try:
        for line in _lines(path):
            if line.startswith(b"{"):
                return Summary(**json.loads(line))
    except (OSError, EOFError, ValueError, TypeError, zlib.error):
        pass
    return None


@dataclass(frozen=True)
class Changes:
    """How many items came, went, or are of another file or place than they were."""

    new: int
    gone: int
    altered: int

    def __str__(self) -> str:
        return f"{self.new:,} new, {self.gone:,} gone, {self.altered:,} altered"


def compare(old: Path, new: Path) -> Changes:
    """What changed between two snapshots, in some 16 bytes for each item."""
    names, lines = zip(*map(_digests, (old, new)), strict=True)
    old_names, new_names = np.unique(names[0]), np.unique(names[1])
    came = np.setdiff1d(new_names, old_names, assume_unique=True).size
    went = np.setdiff1d(old_names, new_names, assume_unique=True).size
    other = names[1][~np.isin(lines[1], lines[0])]
    return Changes(came, went, np.unique(other).size - came)


def _digests(path: Path) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    names, lines = bytearray(), bytearray()
    for line in _lines(path):
        if line.startswith(b"["):
            name = json.loads(line)[0].encode("utf-8", "replace")
            names += hashlib.blake2b(name, digest_size=_DIGEST).digest()
            lines += hashlib.blake2b(line, digest_size=_DIGEST).digest()
    return np.frombuffer(names, np.uint64), np.frombuffer(lines, np.uint64)


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as file:
        yield from file
