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
        path = self.folder / f"{title_id}.poster"
        try:
            # A time far ahead is of a clock that was wrong, and would otherwise never expire.
            if abs(time.time() - path.stat().st_mtime) > CACHE_SECONDS:
                return None
            head, _, picture = path.read_bytes().partition(b"\n")
            poster = Poster(image_bytes=picture, **json.loads(head))
            read_image(picture)  # it was one when it was kept, but a disk may damage it
        except (OSError, ValueError, TypeError, RecursionError, ImageError):
            return None
        return poster if poster.title_id == title_id else None

    def write(self, poster: Poster) -> None:
        """Keep a poster, in place of its title's last one, and delete what is too old or too much.

        Only the owner can read it. A disk that is full or cannot be written is logged, not raised.
        """
        about = asdict(poster)
        picture = about.pop("image_bytes")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp makes a file that only its owner can read and write.
            handle, temporary = tempfile.mkstemp(".part", "tt", self.folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(json.dumps(about).encode() + b"\n" + picture)
                os.replace(temporary, self.folder / f"{poster.title_id}.poster")  # noqa: PTH105
            finally:
                Path(temporary).unlink(missing_ok=True)
            self._shrink()
        except OSError as error:
            logger.info("%s: the cache cannot be written: %s", poster.title_id, error.strerror)

    def _shrink(self) -> None:
        """Delete what is too old, then the oldest until `CACHE_BYTES` are kept."""
        files = [path for path in self.folder.glob("tt*") if path.suffix in (".poster", ".part")]
        stats = sorted(((path.stat(), path) for path in files), key=lambda item: -item[0].st_mtime)
        kept = 0
        for stat, path in stats:
            kept += stat.st_size
            if kept > CACHE_BYTES or time.time() - stat.st_mtime > CACHE_SECONDS:
                path.unlink(missing_ok=True)
