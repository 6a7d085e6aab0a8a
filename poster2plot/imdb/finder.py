"""From an IMDb id or URL to the title's poster: ask one service after another, keep the answer."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_cache_path
from pybreaker import CircuitBreaker, CircuitBreakerError

from poster2plot.errors import ImageError, PosterNotFoundError, PosterServiceError
from poster2plot.images.decoding import read_image
from poster2plot.imdb.http_client import FetchError
from poster2plot.imdb.ids import parse_title_id
from poster2plot.imdb.services import PosterInfo, Services

CACHE_SECONDS = 30 * 24 * 3600
CACHE_BYTES = 256 << 20
FIND_SECONDS = 30.0  # for all services together
FAILURES = 3  # in a row, after which a service is left out …
PAUSE_SECONDS = 60  # … for so long

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Poster:
    """A poster and what is known of its title.

    `image_bytes` is the picture as the service sent it, checked to be one that `read_image`
    reads. `service` gave the picture; `attribution` credits every service that is drawn on,
    and is to be shown with the poster.
    """

    title_id: str
    image_bytes: bytes
    title: str | None
    year: int | None
    synopsis: str | None
    service: str
    attribution: str


class PosterFinder:
    """Finds posters; safe to share between threads.

    TMDB and OMDb are asked where there is a key for them, then Cinemeta and Metahub, which need
    none, then, only if switched on, IMDb's suggestions: IMDb's terms do not allow scraping.
    `cache_dir` keeps posters for 30 days; "user" is the user's cache directory, None is no cache.
    `services` says how and where the services are asked, `seconds` how long all of them together.
    One that fails `FAILURES` times in a row is left out for `PAUSE_SECONDS`.
    """

    def __init__(
        self,
        *,
        tmdb_key: str | None = None,
        omdb_key: str | None = None,
        use_imdb_suggestions: bool = False,
        cache_dir: Path | Literal["user"] | None = "user",
        services: Services | None = None,
        seconds: float = FIND_SECONDS,
    ) -> None:
        self._services, self._seconds = services or Services(), seconds
        self._chain: list[tuple[str, Callable[[Services, str], PosterInfo | None]]] = []
        if tmdb_key:
            self._chain.append(("TMDB", lambda ask, title_id: ask.tmdb(title_id, tmdb_key)))
        if omdb_key:
            self._chain.append(("OMDb", lambda ask, title_id: ask.omdb(title_id, omdb_key)))
        self._chain += [("Cinemeta", Services.cinemeta), ("Metahub", Services.metahub)]
        if use_imdb_suggestions:
            self._chain.append(("IMDb", Services.imdb_suggestion))
        self._breakers = {
            name: CircuitBreaker(
                fail_max=FAILURES,
                reset_timeout=PAUSE_SECONDS,
                exclude=[ImageError],
                throw_new_error_on_trip=False,
            )
            for name, _ in self._chain
        }
        if cache_dir == "user":
            folder = user_cache_path("poster2plot", appauthor=False) / "posters"
            # Without a home there is no such directory, and "~" would be one of that name here.
            cache_dir = folder if folder.is_absolute() else None
        self._cache = _Cache(cache_dir) if cache_dir else None

    @classmethod
    def from_environment(
        cls,
        secrets: Mapping[str, Any] | None = None,
        *,
        services: Services | None = None,
        seconds: float = FIND_SECONDS,
    ) -> PosterFinder:
        """Configure by TMDB_API_KEY, OMDB_API_KEY, POSTER2PLOT_IMDB_SUGGESTIONS (1 is on) and
        POSTER2PLOT_CACHE_DIR (a directory, or "off"), taken from `secrets`, else the environment.
        """

        def value(name: str) -> str:
            return str((secrets or {}).get(name, "")).strip() or os.environ.get(name, "").strip()

        cache = value("POSTER2PLOT_CACHE_DIR")
        return cls(
            tmdb_key=value("TMDB_API_KEY"),
            omdb_key=value("OMDB_API_KEY"),
            use_imdb_suggestions=value("POSTER2PLOT_IMDB_SUGGESTIONS").lower()
            in ("1", "true", "yes", "on"),
            cache_dir=None
            if cache.lower() == "off"
            else (Path(cache).expanduser() if cache else "user"),
            services=services,
            seconds=seconds,
        )

    def find(self, title: str) -> Poster:
        """Return the poster of an IMDb title, given by its id or any of its URLs.

        Raises:
            InvalidTitleError: `title` is no IMDb title id or URL.
            PosterNotFoundError: services answered, and none has a usable poster.
            PosterServiceError: every service failed.
        """
        title_id = parse_title_id(title)
        if self._cache and (cached := self._cache.read(title_id)):
            logger.info("%s: found in the cache", title_id)
            return cached
        known: PosterInfo | None = None
        failures: list[str] = []
        end = time.monotonic() + self._seconds
        services = replace(self._services, fetcher=self._services.fetcher.until(end))
        for name, ask in self._chain:
            if time.monotonic() >= end:
                failures.append(f"no time was left for {name}")
                continue
            info, picture = None, None
            try:
                # One call for both, or an answer would wipe out the failures of pictures; and not
                # by call(), which lets one thread in at a time.
                with self._breakers[name].calling():
                    info = ask(services, title_id)
                    picture = _picture(services, info)
                outcome = "has the poster" if picture else "has no poster"
            except (FetchError, ImageError) as error:
                outcome = getattr(error, "reason", "gave a picture that cannot be used")
                failures.append(f"{name} {outcome}")
            except CircuitBreakerError:
                outcome = "is left out for a while, as it kept failing"
                failures.append(f"{name} {outcome}")
            logger.info("%s: %s %s", title_id, name, outcome)
            if info and picture:
                poster = _poster(title_id, picture, info, known)
                if self._cache:
                    self._cache.write(poster)
                return poster
            if info and info.title and known is None:
                known = info
        reasons = f" ({', '.join(failures)})" if failures else ""
        if len(failures) < len(self._chain):
            raise PosterNotFoundError(
                f"No service has a poster for {title_id}{reasons}; upload the poster instead."
            )
        raise PosterServiceError(
            f"No poster service gave a usable answer for {title_id}{reasons}; "
            "upload the poster instead."
        )


def _picture(services: Services, info: PosterInfo | None) -> bytes | None:
    if info is None or info.picture_url is None:
        return None
    picture = services.picture(info.picture_url)
    if picture is not None:
        read_image(picture)
    return picture


def _poster(title_id: str, picture: bytes, info: PosterInfo, known: PosterInfo | None) -> Poster:
    """Join the picture's service with what an earlier one, whose picture failed, said."""
    details: dict[str, Any] = {
        "title": info.title,
        "year": info.year,
        "synopsis": info.synopsis,
        "attribution": info.attribution,
    }
    if known is not None:
        absent = [name for name in ("title", "year", "synopsis") if details[name] is None]
        found = {name: getattr(known, name) for name in absent if getattr(known, name) is not None}
        if found:
            details |= found
            details["attribution"] = f"{known.attribution} {info.attribution}"
    return Poster(title_id=title_id, image_bytes=picture, service=info.service, **details)


class _Cache:
    """A file for each title: a line of JSON, then the picture. Trouble with it is a miss."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, title_id: str) -> Poster | None:
        path = self.folder / f"{title_id}.poster"
        try:
            if abs(time.time() - path.stat().st_mtime) > CACHE_SECONDS:
                return None
            head, _, picture = path.read_bytes().partition(b"\n")
            poster = Poster(image_bytes=picture, **json.loads(head))
            read_image(picture)
        except (OSError, ValueError, TypeError, RecursionError, ImageError):
            return None
        return poster if poster.title_id == title_id else None

    def write(self, poster: Poster) -> None:
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
