"""From an IMDb id or URL to the title's poster, and from a name to the titles that have it.

For a poster one service is asked after another, for a name all are asked at once; answers are kept.
"""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from platformdirs import user_cache_path
from pybreaker import CircuitBreakerError

from poster2plot.errors import (
    AmbiguousNameError,
    ImageError,
    InputError,
    PosterNotFoundError,
    PosterServiceError,
)
from poster2plot.images.decoding import read_image
from poster2plot.imdb.circuit_breakers import make_breakers
from poster2plot.imdb.http_client import FetchError
from poster2plot.imdb.ids import id_beside_name, parse_title_id
from poster2plot.imdb.keys import clean_key, plain_value
from poster2plot.imdb.negative_cache import NegativeCache
from poster2plot.imdb.poster import Poster
from poster2plot.imdb.poster_cache import PosterCache
from poster2plot.imdb.proxies_and_certificates import check_environment
from poster2plot.imdb.search import Query, clear_match, has_the_year, merge
from poster2plot.imdb.services import Endpoints, PosterInfo, Services, TitleMatch

FIND_SECONDS = 30.0  # for all services together
SMALLEST_SIDE = 16  # pixels; what is smaller stands for a picture that is not there
SEARCHES_KEPT = 1_000  # in memory …
SEARCH_SECONDS = 3600  # … for so long
_Search = Callable[[Services, str, int | None], list[TitleMatch]]  # of a name, and its year
_OFF = ("off", "no", "none", "false", "0")

logger = logging.getLogger(__name__)


class PosterFinder:
    """Finds posters; safe to share between threads.

    TMDB and OMDb are asked where there is a key for them, then Cinemeta and Metahub, which need
    none, then, only if switched on, IMDb's suggestions: IMDb's terms do not allow scraping.
    Keys may be as they were pasted (`keys`). `cache_dir` keeps posters for 30 days, and for a day
    which services have none; "user" is the user's cache directory, None keeps nothing on disk.
    `services` says how and where the services are asked, `seconds` how long all of them together.
    One that fails several times in a row is left out for a while (`circuit_breakers`).
    TMDB, OMDb and Cinemeta are also searched by name.
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
        self._searches: list[tuple[str, _Search]] = []
        if tmdb_key:
            self._searches.append(
                ("TMDB", lambda ask, name, year: ask.search_tmdb(name, tmdb_key, year))
            )
        if omdb_key:
            self._searches.append(
                ("OMDb", lambda ask, name, year: ask.search_omdb(name, omdb_key, year))
            )
        self._searches.append(("Cinemeta", lambda ask, name, _: ask.search_cinemeta(name)))
        self._found: OrderedDict[str, tuple[float, list[TitleMatch]]] = OrderedDict()
        self._breakers = make_breakers(name for name, _ in self._chain)
        if cache_dir == "user":
            folder = user_cache_path("poster2plot", appauthor=False) / "posters"
            # Without a home there is no such directory, and "~" would be one of that name here.
            cache_dir = folder if folder.is_absolute() else None
        self._cache = PosterCache(cache_dir) if cache_dir else None
        self._without = NegativeCache(cache_dir)

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

        A proxy or certificates of the environment that cannot be used are told in the log.

        Raises `InputError` where the directory begins with "~", and there is no such home.
        """
        try:
            check_environment(urlsplit(Endpoints.cinemeta).netloc)
        except InputError as error:
            logger.warning("No poster service can be asked, as %s.", error)

        def value(name: str) -> str:
            secret = (secrets or {}).get(name)
            given = "" if secret is None else plain_value(str(secret))
            return given or plain_value(os.environ.get(name, ""))

        cache = value("POSTER2PLOT_CACHE_DIR")
        try:
            folder = Path(cache).expanduser() if cache else None
        except RuntimeError:
            raise InputError(
                "POSTER2PLOT_CACHE_DIR begins with the home of somebody who has none here; give a "
                "folder, or off."
            ) from None
        return cls(
            tmdb_key=value("TMDB_API_KEY"),
            omdb_key=value("OMDB_API_KEY"),
            use_imdb_suggestions=value("POSTER2PLOT_IMDB_SUGGESTIONS").lower()
            in ("1", "true", "yes", "on"),
            # A file of variables may have a comment after it, but a folder may have such a name.
            cache_dir=None
            if plain_value(cache.partition("#")[0]).lower() in _OFF
            else folder or "user",
            services=services,
            seconds=seconds,
        )

    @property
    def services(self) -> tuple[str, ...]:
        """The names of the services that are asked for posters, in their order."""
        return tuple(name for name, _ in self._chain)

    def find(self, title: str, *, refresh: bool = False) -> Poster:
        """Return the poster of an IMDb title, given by its id or any of its URLs.

        `refresh` asks the services also where the cache knows the answer. What it kept for longer
        than it should is used while services fail, which the attribution then says.

        Raises:
            InvalidTitleError: `title` is no IMDb title id or URL.
            PosterNotFoundError: services answered, and none has a usable poster.
            PosterServiceError: every service failed.
        """
        return self._find(parse_title_id(title), self._end(), refresh=refresh)

    def _end(self) -> float:
        """When what begins now has to be done, by `time.monotonic`."""
        return time.monotonic() + self._seconds

    def _find(self, title_id: str, end: float, *, refresh: bool = False) -> Poster:
        known: PosterInfo | None = None
        without: set[str] = set()  # the services that have no poster, as they said not long ago
        if not refresh:
            if self._cache and (cached := self._cache.read(title_id)):
                logger.info("found in the cache")
                return cached
            said = self._without.read(title_id)
            without, known = said.recent(), said.known
            if without.issuperset(self.services):
                logger.info("the cache knows of no poster")
                raise PosterNotFoundError(
                    f"No service has a poster for {title_id}, as they said within the last day; "
                    "upload the poster instead."
                )
        failures: list[str] = []
        is_certain = True  # every service that was asked did answer
        services = replace(self._services, fetcher=self._services.fetcher.until(end))
        without_now: list[str] = []
        for name, ask in self._chain:
            if name in without:
                continue
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
                if not picture:
                    without_now.append(name)
            except (FetchError, ImageError) as error:
                unusable = "gave a picture that cannot be used"
                failures.append(f"{name} {getattr(error, 'reason', unusable)}")
                outcome = getattr(error, "in_log", unusable)
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
                self._without.forget(title_id)
                return poster
            if info and info.title and known is None:
                known = info
        if without_now:
            self._without.add(title_id, without_now, known)
        if self._cache and not failures:
            self._cache.forget(title_id)
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

    def search(self, name: str) -> list[TitleMatch]:
        """Return the titles that a name may mean, the likeliest first; none if no service has any.

        A year at the end narrows: "amelie 2001".

        Raises:
            InvalidTitleError: `name` is empty or too long.
            PosterServiceError: every service failed.
        """
        return self._search(Query.parse(name), self._end())

    def _search(self, query: Query, end: float) -> list[TitleMatch]:
        kept = self._found.get(query.text)
        if kept and time.monotonic() - kept[0] < SEARCH_SECONDS:
            return list(kept[1])
        matches, whole = self._ask_all(query, query.spelt, query.year, end)
        if query.year is not None and not any(has_the_year(query, match) for match in matches):
            try:
                # The year may belong to the name.
                more, whole_too = self._ask_all(query, query.text, None, end)
            except PosterServiceError:
                if not matches:
                    raise
                more, whole_too = [], False
            matches, whole = merge(query, [matches, more]), whole and whole_too
        if whole:
            self._found[query.text] = time.monotonic(), matches
            while len(self._found) > SEARCHES_KEPT:
                self._found.popitem(last=False)
        return list(matches)

    def find_by_name(self, name: str) -> Poster:
        """Return the poster of the one title that a name clearly means, or has the id of.

        Raises:
            AmbiguousNameError: several titles may be meant; it has them.
            InvalidTitleError: `name` is empty or too long.
            PosterNotFoundError: no title is called so, or it has no usable poster.
            PosterServiceError: every service failed.
        """
        query, end = Query.parse(name), self._end()
        if title_id := id_beside_name(name):
            return self._find(title_id, end)
        matches = self._search(query, end)
        if match := clear_match(query, matches):
            return self._find(match.title_id, end)
        if matches:
            raise AmbiguousNameError(
                f"“{query.text}” may be one of several titles; give the IMDb id of one.", matches
            )
        raise PosterNotFoundError(
            f"“{query.text}” is no title that a service knows; give its IMDb id or upload the "
            "poster."
        )

    def _ask_all(
        self, query: Query, name: str, year: int | None, end: float
    ) -> tuple[list[TitleMatch], bool]:
        """What all services find, and whether all answered. Raises PosterServiceError."""
        services = replace(self._services, fetcher=self._services.fetcher.until(end))

        def ask(search: tuple[str, _Search]) -> Any:
            service, found_by = search
            try:
                with self._breakers[service].calling():
                    return found_by(services, name, year)
            except FetchError as error:
                return f"{service} {error.reason}", f"{service} {error.in_log}"
            except CircuitBreakerError:
                return (f"{service} is left out for a while, as it kept failing",) * 2

        with ThreadPoolExecutor(len(self._searches), "search") as pool:
            outcomes = list(pool.map(ask, self._searches))
        failures = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
        for _, in_log in failures:
            logger.info("search: %s", in_log)
        if len(failures) == len(outcomes):
            reasons = ", ".join(reason for reason, _ in failures)
            raise PosterServiceError(
                f"No service could be searched for a name ({reasons}); "
                "give an IMDb id or upload the poster instead."
            )
        answers = [outcome for outcome in outcomes if not isinstance(outcome, tuple)]
        return merge(query, answers), not failures


def _picture(services: Services, info: PosterInfo | None) -> bytes | None:
    if info is None or info.picture_url is None:
        return None
    for url in (info.picture_url, *info.other_picture_urls):
        picture = services.picture(url)
        if picture is not None and min(read_image(picture).size) >= SMALLEST_SIDE:
            return picture
    return None


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
