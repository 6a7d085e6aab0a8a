"""From an IMDb id or URL to the title's poster: ask one service after another, keep the answer."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_cache_path
from pybreaker import CircuitBreakerError

from poster2plot.errors import ImageError, PosterNotFoundError, PosterServiceError
from poster2plot.images.decoding import read_image
from poster2plot.imdb.circuit_breakers import make_breakers
from poster2plot.imdb.http_client import FetchError
from poster2plot.imdb.ids import parse_title_id
from poster2plot.imdb.keys import clean_key, plain_value
from poster2plot.imdb.poster import Poster
from poster2plot.imdb.poster_cache import PosterCache
from poster2plot.imdb.services import PosterInfo, Services

FIND_SECONDS = 30.0  # for all services together

logger = logging.getLogger(__name__)


class PosterFinder:
    """Finds posters; safe to share between threads.

    TMDB and OMDb are asked where there is a key for them, then Cinemeta and Metahub, which need
    none, then, only if switched on, IMDb's suggestions: IMDb's terms do not allow scraping.
    Keys may be as they were pasted (`keys`). `cache_dir` keeps posters for 30 days, and for a day
    that there is none; "user" is the user's cache directory, None is no cache.
    `services` says how and where the services are asked, `seconds` how long all of them together.
    One that fails several times in a row is left out for a while (`circuit_breakers`).
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
        tmdb_key, omdb_key = clean_key("TMDB", tmdb_key or ""), clean_key("OMDb", omdb_key or "")
        if tmdb_key:
            self._chain.append(("TMDB", lambda ask, title_id: ask.tmdb(title_id, tmdb_key)))
        if omdb_key:
            self._chain.append(("OMDb", lambda ask, title_id: ask.omdb(title_id, omdb_key)))
        self._chain += [("Cinemeta", Services.cinemeta), ("Metahub", Services.metahub)]
        if use_imdb_suggestions:
            self._chain.append(("IMDb", Services.imdb_suggestion))
        self._breakers = make_breakers(name for name, _ in self._chain)
        if cache_dir == "user":
            folder = user_cache_path("poster2plot", appauthor=False) / "posters"
            # Without a home there is no such directory, and "~" would be one of that name here.
            cache_dir = folder if folder.is_absolute() else None
        self._cache = PosterCache(cache_dir) if cache_dir else None

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

        Raises:
            RuntimeError: the directory begins with "~", and there is no such home.
        """

        def value(name: str) -> str:
            secret = (secrets or {}).get(name)
            given = "" if secret is None else plain_value(str(secret))
            return given or plain_value(os.environ.get(name, ""))

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

    def find(self, title: str, *, refresh: bool = False) -> Poster:
        """Return the poster of an IMDb title, given by its id or any of its URLs.

        `refresh` asks the services also where the cache knows the answer. What it kept for longer
        than it should is used while services fail, which the attribution then says.

        Raises:
            InvalidTitleError: `title` is no IMDb title id or URL.
            PosterNotFoundError: services answered, and none has a usable poster.
            PosterServiceError: every service failed.
        """
        title_id = parse_title_id(title)
        names = [name for name, _ in self._chain]
        if self._cache and not refresh:
            if cached := self._cache.read(title_id):
                logger.info("found in the cache")
                return cached
            if self._cache.is_without_poster(title_id, names):
                logger.info("the cache knows of no poster")
                raise PosterNotFoundError(
                    f"No service has a poster for {title_id}, as they said within the last day; "
                    "upload the poster instead."
                )
        known: PosterInfo | None = None
        failures: list[str] = []
        is_certain = True  # every service that was asked did answer
        end = time.monotonic() + self._seconds
        services = replace(self._services, fetcher=self._services.fetcher.until(end))
        for name, ask in self._chain:
            if time.monotonic() >= end:
                failures.append(f"no time was left for {name}")
                is_certain = False
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
                is_certain &= isinstance(error, ImageError)
            except CircuitBreakerError:
                outcome = "is left out for a while, as it kept failing"
                failures.append(f"{name} {outcome}")
                is_certain = False
            logger.info("%s %s", name, outcome)  # the title is the visitor's, and in no log
            if info and picture:
                poster = _poster(title_id, picture, info, known)
                if self._cache:
                    self._cache.write(poster)
                return poster
            if info and info.title and known is None:
                known = info
        if self._cache and not failures:
            self._cache.write_without_poster(title_id, names)
        if self._cache and failures and (old := self._cache.read_expired(title_id)):
            poster, kept = old
            logger.warning("found in the cache, where it has expired")
            since = datetime.fromtimestamp(kept, UTC).date().isoformat()
            notice = f"As found on {since}; no service has the poster now."
            return replace(poster, attribution=f"{poster.attribution} {notice}")
        reasons = f" ({', '.join(failures)})" if failures else ""
        if len(failures) < len(self._chain):
            not_found = PosterNotFoundError(
                f"No service has a poster for {title_id}{reasons}; upload the poster instead."
            )
            not_found.is_certain = is_certain
            raise not_found
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
