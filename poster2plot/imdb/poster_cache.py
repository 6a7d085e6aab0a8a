"""Posters kept on disk, so that no service is asked twice for a title."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from poster2plot.errors import ImageError
from poster2plot.images.decoding import read_image
from poster2plot.imdb.poster import Poster

CACHE_SECONDS = 30 * 24 * 3600  # after which a poster is found anew
EXPIRED_SECONDS = 180 * 24 * 3600  # for which it is there if none can be found; TMDB allows no more
CACHE_BYTES = 256 << 20  # of all posters together

logger = logging.getLogger(__name__)


class PosterCache:
    """A file for each title: a line of JSON, then the picture. Trouble with it is a miss.

    Safe to share between threads, and `folder` between processes: a file is replaced as a whole.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is looked at or made yet: `folder` is made when the first poster is kept."""
        self.folder = folder

    def read(self, title_id: str) -> Poster | None:
        """Return the poster kept for a title id, in the form that `parse_title_id` gives.

        None if there is none, or it was kept more than `CACHE_SECONDS` ago, cannot be read, is
        damaged or is another title's; none of these is an error.
        """
        found = self._read(title_id, CACHE_SECONDS)
        return found[0] if found else None

    def read_expired(self, title_id: str) -> tuple[Poster, float] | None:
        """As `read`, but up to `EXPIRED_SECONDS`, with the time (Unix) when it was kept."""
        return self._read(title_id, EXPIRED_SECONDS)

    def _read(self, title_id: str, seconds: float) -> tuple[Poster, float] | None:
        path = self._path(title_id)
        try:
            kept = path.stat().st_mtime
            # A time far ahead is of a clock that was wrong, and would otherwise never expire.
            if abs(time.time() - kept) > seconds:
                return None
            head, _, picture = path.read_bytes().partition(b"\n")
            poster = Poster(image_bytes=picture, **json.loads(head))
            read_image(picture)  # it was one when it was kept, but a disk may damage it
        except (OSError, ValueError, TypeError, RecursionError, ImageError):
            return None
        return (poster, kept) if poster.title_id == title_id else None

    def write(self, poster: Poster) -> None:
        """Keep a poster, in place of its title's last one, as `keep` does."""
        about = asdict(poster)
        picture = about.pop("image_bytes")
        keep(self._path(poster.title_id), json.dumps(about).encode() + b"\n" + picture)

    def forget(self, title_id: str) -> None:
        """Drop a title's poster, if there is one."""
        forget(self._path(title_id))

    def _path(self, title_id: str) -> Path:
        return self.folder / f"{title_id}.poster"


def keep(path: Path, content: bytes) -> None:
    """Write a file of a cache as a whole, and delete what is too old or too much beside it.

    Only the owner can read it. A disk that is full or cannot be written is logged, not raised.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes a file that only its owner can read and write.
        handle, temporary = tempfile.mkstemp(".part", "tt", path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, path)  # noqa: PTH105
        finally:
            Path(temporary).unlink(missing_ok=True)
        _shrink(path.parent)
    except OSError as error:
        _tell(error)


def forget(path: Path) -> None:
    """Delete a file of a cache if it is there; trouble is logged as by `keep`."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _tell(error)


def _shrink(folder: Path) -> None:
    """Delete what is too old, then the oldest until `CACHE_BYTES` are kept."""
    ours = (".poster", ".none", ".part")
    files = [path for path in folder.glob("tt*") if path.suffix in ours]
    stats = sorted(((path.stat(), path) for path in files), key=lambda item: -item[0].st_mtime)
    kept = 0
    for stat, path in stats:
        kept += stat.st_size
        if kept > CACHE_BYTES or time.time() - stat.st_mtime > EXPIRED_SECONDS:
            path.unlink(missing_ok=True)


def _tell(error: OSError) -> None:
    logger.info("the cache cannot be written: %s", error.strerror)
