"""Posters kept on disk, so that no service is asked twice for a title, nor daily for none."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from poster2plot.errors import ImageError
from poster2plot.images.decoding import read_image
from poster2plot.imdb.poster import Poster

CACHE_SECONDS = 30 * 24 * 3600  # after which a poster is found anew
EXPIRED_SECONDS = 180 * 24 * 3600  # for which it is there if none can be found; TMDB allows no more
WITHOUT_SECONDS = 24 * 3600  # for which a title without a poster is not asked for again
CACHE_BYTES = 256 << 20  # of all posters together

logger = logging.getLogger(__name__)


class PosterCache:
    """A file for each title: a line of JSON, then the picture. Trouble with it is a miss.

    An empty picture stands for a title that none of some services has a poster of.

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

    def is_without_poster(self, title_id: str, services: Collection[str]) -> bool:
        """Whether all of these services said within a day that they have no poster of a title."""
        path = self._path(title_id, "none")
        try:
            if abs(time.time() - path.stat().st_mtime) > WITHOUT_SECONDS:
                return False
            said = json.loads(path.read_bytes())
            return said["title_id"] == title_id and set(services) <= set(said["services"])
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            return False

    def write_without_poster(self, title_id: str, services: Collection[str]) -> None:
        """Keep that these services have no poster of a title, and no older one of it."""
        about = {"title_id": title_id, "services": list(services)}
        self._write(self._path(title_id, "none"), json.dumps(about).encode())
        self._forget(self._path(title_id))

    def _path(self, title_id: str, kind: str = "poster") -> Path:
        return self.folder / f"{title_id}.{kind}"

    def write(self, poster: Poster) -> None:
        """Keep a poster, in place of its title's last one, and delete what is too old or too much.

        Only the owner can read it. A disk that is full or cannot be written is logged, not raised.
        """
        about = asdict(poster)
        picture = about.pop("image_bytes")
        self._write(self._path(poster.title_id), json.dumps(about).encode() + b"\n" + picture)
        self._forget(self._path(poster.title_id, "none"))

    def _forget(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.info("the cache cannot be written: %s", error.strerror)

    def _write(self, path: Path, content: bytes) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp makes a file that only its owner can read and write.
            handle, temporary = tempfile.mkstemp(".part", "tt", self.folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                os.replace(temporary, path)  # noqa: PTH105
            finally:
                Path(temporary).unlink(missing_ok=True)
            self._shrink()
        except OSError as error:
            logger.info("the cache cannot be written: %s", error.strerror)

    def _shrink(self) -> None:
        """Delete what is too old, then the oldest until `CACHE_BYTES` are kept."""
        ours = (".poster", ".none", ".part")
        files = [path for path in self.folder.glob("tt*") if path.suffix in ours]
        stats = sorted(((path.stat(), path) for path in files), key=lambda item: -item[0].st_mtime)
        kept = 0
        for stat, path in stats:
            kept += stat.st_size
            if kept > CACHE_BYTES or time.time() - stat.st_mtime > EXPIRED_SECONDS:
                path.unlink(missing_ok=True)
