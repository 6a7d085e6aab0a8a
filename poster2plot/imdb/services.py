"""What each poster service says about an IMDb title id, and which titles it finds by a name.

Every method gives what the service knows, or None when it does not know the title, and raises
FetchError, and nothing else, whatever the service sends. A search gives matches in the service's
own order, only such that have an IMDb id.

- TMDB        https://developer.themoviedb.org/reference/find-by-id
- OMDb        https://www.omdbapi.com/
- Cinemeta    the metadata add-on of Stremio, https://github.com/Stremio/stremio-addon-sdk
- Metahub     the pictures of Stremio, by id
- IMDb        the search box's suggestions: undocumented, and only asked where the user opts in
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import zip_longest
from typing import Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from poster2plot.imdb.http_client import Fetcher, FetchError
from poster2plot.imdb.ids import TITLE_ID

JSON_BYTES = 16 << 20  # a series of Cinemeta lists thousands of episodes
PICTURE_BYTES = 10 << 20
TITLE_CHARS = 300
SYNOPSIS_CHARS = 5_000
MOST_MATCHES = 20  # of one service's search
MOST_TMDB_IDS = 6  # matches of TMDB whose IMDb id is asked for, each with a request

# The first is the notice that TMDB's terms of use require, word for word.
TMDB_NOTICE = (
    "This product uses TMDB and the TMDB APIs but is not endorsed, certified, "
    "or otherwise approved by TMDB."
)
OMDB_NOTICE = "Data from OMDb (omdbapi.com), CC BY-NC 4.0."
CINEMETA_NOTICE = "Data from Cinemeta (strem.io)."
METAHUB_NOTICE = "Poster from Metahub (metahub.space)."
IMDB_NOTICE = "Data from IMDb (imdb.com)."

# Hosts of IMDb's pictures in the years before, which their answers still name.
_OLD_PICTURE_HOSTS = {
    "i.media-imdb.com",
    "ia.imdb.com",
    "ia.media-imdb.com",
    "images-eu.ssl-images-amazon.com",
    "images-fe.ssl-images-amazon.com",
    "images-na.ssl-images-amazon.com",
    "m.media-imdb.com",
}
_PICTURE_HOST = "m.media-amazon.com"
_SAID_CHARS = 80
# What a service says of a name that it does not like.
_OF_REQUEST = (400, 414, 422)
# OMDb's words for a title that it does not know, and for a name of too many.
_OMDB_UNKNOWN = re.compile(
    "incorrect imdb id|not found|error converting|too many results", re.IGNORECASE
)
_BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Endpoints:
    """Where the services are, and the hosts their pictures and redirects may lead to."""

    tmdb: str = "https://api.themoviedb.org/3"
    tmdb_pictures: str = "https://image.tmdb.org/t/p/w500"
    omdb: str = "https://www.omdbapi.com/"
    cinemeta: str = "https://v3-cinemeta.strem.io"
    metahub: str = "https://images.metahub.space"
    imdb_suggestions: str = "https://v3.sg.media-imdb.com"
    picture_hosts: frozenset[str] = frozenset(
        {"image.tmdb.org", "m.media-amazon.com", "images.metahub.space", "live.metahub.space"}
    )
    # Cinemeta redirects to its live copy for titles that it has not stored.
    cinemeta_hosts: frozenset[str] = frozenset({"cinemeta-live.strem.io"})


@dataclass(frozen=True)
class PosterInfo:
    """What one service knows of a title; `picture_url` is None where it has no poster.

    `other_picture_urls` are further posters, for when that one is gone.
    """

    service: str
    attribution: str
    picture_url: str | None
    title: str | None = None
    year: int | None = None
    synopsis: str | None = None
    other_picture_urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class TitleMatch:
    """A title that a search found; `poster_url` is None where the service has no poster."""

    title_id: str
    title: str
    year: int | None
    kind: Literal["movie", "series"]
    poster_url: str | None
    service: str
    original_title: str | None = None


@dataclass(frozen=True)
class Services:
    """The services, asked through one `Fetcher`."""

    fetcher: Fetcher = field(default_factory=Fetcher)
    endpoints: Endpoints = field(default_factory=Endpoints)

    def tmdb(self, title_id: str, key: str) -> PosterInfo | None:
        """Ask TMDB with a v3 key (32 characters) or a v4 read access token (a JSON web token)."""
        answer = self._tmdb_json(f"find/{title_id}", key, {"external_source": "imdb_id"})
        kinds = ("movie_results", "tv_results", "tv_season_results", "tv_episode_results")
        found = [entry for kind in kinds for entry in _objects(answer.get(kind))]
        if not found:
            return None
        # Of several, such as a film and a series of one id, that which has a poster.
        best = next((each for each in found if _poster_path(each)), found[0])
        pictures = [url for each in found if (url := self._tmdb_picture(each))]
        shows = [show for each in found if type(show := each.get("show_id")) is int]
        if shows and not pictures:
            # An episode has none of its own, but its series.
            url = self._tmdb_picture(self._tmdb_json(f"tv/{shows[0]}", key, {}))
            pictures = [url] if url else []
        dates = ("release_date", "first_air_date", "air_date")
        return PosterInfo(
            "TMDB",
            TMDB_NOTICE,
            pictures[0] if pictures else None,
            _text(best.get("title") or best.get("name"), TITLE_CHARS),
            next((year for each in dates if (year := _year(best.get(each)))), None),
            _text(best.get("overview"), SYNOPSIS_CHARS),
            tuple(pictures[1:]),
        )

    def omdb(self, title_id: str, key: str) -> PosterInfo | None:
        """Ask OMDb, which takes its key in the query only."""
        params = {"i": title_id, "plot": "short", "apikey": key}
        answer = self._json(self.endpoints.omdb, params=params)
        if not _is_known_to_omdb(answer, key):
            return None
        _check_id(answer.get("imdbID"), title_id)
        return PosterInfo(
            "OMDb",
            OMDB_NOTICE,
            _picture_url(answer.get("Poster")),
            _text(answer.get("Title"), TITLE_CHARS),
            _year(answer.get("Year")),
            _text(answer.get("Plot"), SYNOPSIS_CHARS),
        )

    def cinemeta(self, title_id: str) -> PosterInfo | None:
        """Ask Cinemeta, first for a movie, then for a series, as the id does not tell.

        It may have a stub of the other kind, with little in it but the id.
        """
        known, failure = None, None
        for kind in ("movie", "series"):
            try:
                info = self._cinemeta(kind, title_id)
            except FetchError as error:
                if error.transient:  # so is the other likely to
                    raise
                failure = failure or error
                continue
            if info and info.picture_url:
                return info
            known = known if known and known.title else info or known
        if failure:
            raise failure
        return known

    def _cinemeta(self, kind: str, title_id: str) -> PosterInfo | None:
        url = f"{self.endpoints.cinemeta}/meta/{kind}/{title_id}.json"
        meta = self._json(url, redirect_hosts=self.endpoints.cinemeta_hosts).get("meta")
        if not isinstance(meta, dict) or not meta:
            return None
        _check_id(meta.get("imdb_id") or meta.get("id"), title_id)
        return PosterInfo(
            "Cinemeta",
            CINEMETA_NOTICE,
            _picture_url(meta.get("poster")),
            _text(meta.get("name"), TITLE_CHARS),
            _year(meta.get("year") or meta.get("releaseInfo")),
            _text(meta.get("description"), SYNOPSIS_CHARS),
        )

    def metahub(self, title_id: str) -> PosterInfo:
        """Name the picture that Metahub has of every title it knows; this asks nothing yet."""
        url = f"{self.endpoints.metahub}/poster/medium/{title_id}/img"
        return PosterInfo("Metahub", METAHUB_NOTICE, url)

    def imdb_suggestion(self, title_id: str) -> PosterInfo | None:
        """Ask IMDb's search box, which may answer with other titles beside this one."""
        answer = self._json(f"{self.endpoints.imdb_suggestions}/suggestion/x/{title_id}.json")
        for entry in _objects(answer.get("d")):
            if entry.get("id") == title_id:
                picture = entry.get("i")
                return PosterInfo(
                    "IMDb",
                    IMDB_NOTICE,
                    _picture_url(picture.get("imageUrl")) if isinstance(picture, dict) else None,
                    _text(entry.get("l"), TITLE_CHARS),
                    _year(entry.get("y")),
                )
        return None

    def search_tmdb(self, name: str, key: str, year: int | None = None) -> list[TitleMatch]:
        """Search movies and series; the IMDb id of each of the first takes a request more.

        With a year those of it, or of one beside it, are the first.
        """
        answer = self._tmdb_json("search/multi", key, {"query": name})
        found = [
            entry
            for entry in _objects(answer.get("results"))
            if entry.get("media_type") in ("movie", "tv") and isinstance(entry.get("id"), int)
        ]
        if year is not None:
            found.sort(key=lambda entry: abs((_tmdb_year(entry) or 0) - year) > 1)
        matches = []
        for entry in found[:MOST_TMDB_IDS]:
            ids = self._tmdb_json(f"{entry['media_type']}/{entry['id']}/external_ids", key, {})
            matches.append(
                _match(
                    "TMDB",
                    ids.get("imdb_id"),
                    entry.get("title") or entry.get("name"),
                    _tmdb_year(entry),
                    "movie" if entry["media_type"] == "movie" else "series",
                    self._tmdb_picture(entry),
                    entry.get("original_title") or entry.get("original_name"),
                )
            )
        return [match for match in matches if match]

    def search_omdb(self, name: str, key: str, year: int | None = None) -> list[TitleMatch]:
        """Search movies and series, the first page of ten; no episodes and no games.

        With a year only titles of it, if there are any.
        """
        params = {"s": name, "apikey": key}
        narrowed = params if year is None else {**params, "y": str(year)}
        answer = self._json(self.endpoints.omdb, params=narrowed)
        if not _is_known_to_omdb(answer, key):
            return [] if year is None else self.search_omdb(name, key)
        matches = [
            _match(
                "OMDb",
                entry.get("imdbID"),
                entry.get("Title"),
                entry.get("Year"),
                entry.get("Type"),
                _picture_url(entry.get("Poster")),
            )
            for entry in _objects(answer.get("Search"))
        ]
        return [match for match in matches if match]

    def search_cinemeta(self, name: str) -> list[TitleMatch]:
        """Search the catalogue of movies, then that of series; the matches of both take turns."""
        catalogues = []
        for kind in ("movie", "series"):
            answer = self._json(
                f"{self.endpoints.cinemeta}/catalog/{kind}/top/search={quote(name, safe='')}.json",
                redirect_hosts=self.endpoints.cinemeta_hosts,
            )
            matches = [
                _match(
                    "Cinemeta",
                    entry.get("id"),
                    entry.get("name"),
                    entry.get("year") or entry.get("releaseInfo"),
                    kind,
                    _picture_url(entry.get("poster")),
                )
                for entry in _objects(answer.get("metas"))[:MOST_MATCHES]
            ]
            catalogues.append(matches)
        return [match for turn in zip_longest(*catalogues) for match in turn if match]

    def picture(self, url: str) -> bytes | None:
        """Fetch the bytes behind a `picture_url`, unchecked; None when there is no such picture."""
        hosts = self.endpoints.picture_hosts
        if "http" not in self.fetcher.schemes:  # whatever a service still writes
            url = re.sub("^http://", "https://", url)
        answer = self.fetcher.get(url, max_bytes=PICTURE_BYTES, hosts=hosts)
        if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return None
        if answer.status != HTTPStatus.OK:
            raise FetchError(f"gave no picture ({answer.status})")
        return answer.body

    def _tmdb_json(self, path: str, key: str, params: Mapping[str, str]) -> dict[str, Any]:
        is_token = key.startswith("eyJ") or len(key) > 40
        return self._json(
            f"{self.endpoints.tmdb}/{path}",
            headers={"Authorization": f"Bearer {key}"} if is_token else {},
            params={**params} if is_token else {**params, "api_key": key},
        )

    def _tmdb_picture(self, entry: Mapping[str, Any]) -> str | None:
        path = _poster_path(entry)
        return self.endpoints.tmdb_pictures + path if path else None

    def _json(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        redirect_hosts: frozenset[str] = frozenset(),
    ) -> dict[str, Any]:
        """Fetch a JSON object; an empty one when the service does not know the title."""
        hosts = {urlsplit(url).netloc} | redirect_hosts
        try:
            answer = self.fetcher.get(
                url, headers=headers, params=params, max_bytes=JSON_BYTES, hosts=hosts
            )
        except FetchError as error:
            error.of_service = True  # whose own address this is
            raise
        if answer.status == HTTPStatus.NOT_FOUND:
            return {}
        try:
            value = json.loads(answer.body)
        except (ValueError, RecursionError):
            value = None
        refused = answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
        if params and refused and isinstance(value, dict):
            # OMDb says 401 for whatever it does not do, and what that is in words.
            said = value.get("Error")
            keys = [*params.values(), *(headers or {}).values()]
            raise _refusal(said, *keys) if isinstance(said, str) else FetchError("refused the key")
        if refused:
            # A page of a wall before the service, which knows nothing of keys.
            raise FetchError(f"does not let this machine in ({answer.status})")
        if answer.status != HTTPStatus.OK:
            raise FetchError(
                f"failed ({answer.status})", of_service=answer.status not in _OF_REQUEST
            )
        if not isinstance(value, dict):
            raise FetchError("gave an answer that makes no sense")
        return value


def _is_known_to_omdb(answer: Mapping[str, Any], key: str) -> bool:
    """Whether OMDb knows what it was asked for. Raises `FetchError` where it does not say."""
    if answer.get("Response") == "True":
        return True
    said = answer.get("Error")
    if isinstance(said, str) and not _OMDB_UNKNOWN.search(said):
        raise _refusal(said, key)
    return False


def _refusal(said: str, *keys: str) -> FetchError:
    """What OMDb says in place of an answer, without a key that it may quote."""
    lower = said.lower()
    if "limit" in lower:
        return FetchError("has reached its daily limit")
    if "api key" in lower:
        return FetchError("refused the key")
    text = _text(said, _SAID_CHARS) or ""
    if not text or any(key in said for key in keys if key):
        return FetchError("gave an answer that makes no sense")
    return FetchError(f"says “{text.rstrip('.!')}”", in_log="refused in words of its own")


def _check_id(value: object, title_id: str) -> None:
    """Raise `FetchError` where an answer says that it is of another title.

    IMDb may have merged both, or the service mixes them up; nobody here can tell.
    """
    if isinstance(value, str) and re.fullmatch("tt[0-9]{7,10}", value) and value != title_id:
        raise FetchError(
            f"answered for {value} instead", in_log="answered for another title", of_service=False
        )


def _poster_path(entry: Mapping[str, Any]) -> str | None:
    path = _text(entry.get("poster_path"), TITLE_CHARS)
    return path if path and path.startswith("/") else None


def _match(
    service: str,
    title_id: object,
    title: object,
    year: object,
    kind: object,
    poster_url: str | None,
    original_title: object = None,
) -> TitleMatch | None:
    """A match of these raw values; None where it is of no use."""
    name = _text(title, TITLE_CHARS)
    if not isinstance(title_id, str) or not TITLE_ID.fullmatch(title_id) or not name:
        return None
    if kind not in ("movie", "series"):
        return None
    original = _text(original_title, TITLE_CHARS)
    return TitleMatch(title_id, name, _year(year), kind, poster_url, service, original)


def _objects(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _text(value: object, limit: int) -> str | None:
    """Return one clean line of at most `limit` characters, or None for nothing or "N/A"."""
    if not isinstance(value, str):
        return None
    # A lone surrogate is valid in JSON, and cannot be encoded again.
    text = html.unescape(value[: 4 * limit])  # some databases hold what was made for a page
    text = _BIDI_CONTROLS.sub("", text).encode("utf-8", "ignore").decode()
    text = "".join(" " if unicodedata.category(char) == "Cc" else char for char in text)
    text = " ".join(text.split())
    if len(text) > limit:
        text = text[: limit - 1].rstrip() + "…"
    return None if text in ("", "N/A") else text


def _tmdb_year(entry: Mapping[str, Any]) -> int | None:
    return _year(entry.get("release_date") or entry.get("first_air_date"))


def _year(value: object) -> int | None:
    """Return the first year of 2010, "2010-07-15" or "2011–2019"."""
    text = str(value) if isinstance(value, str | int) else ""
    found = re.match(r"(?:18|19|20|21)[0-9]{2}(?![0-9])", text)
    return int(found[0]) if found else None


def _picture_url(value: object) -> str | None:
    """Return a picture's URL, in the size of 500 pixels across where its name holds the size."""
    if not isinstance(value, str):
        return None
    value = value.strip()
    if value.startswith("//"):
        value = f"https:{value}"
    if not re.match("https?://", value) or len(value) > 2048:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    host = parts.netloc.lower().removesuffix(":80").removesuffix(":443")
    if host in {*_OLD_PICTURE_HOSTS, _PICTURE_HOST}:
        value = urlunsplit(("https", _PICTURE_HOST, *parts[2:]))
    return re.sub(r"\._V1_[^/]*\.(jpg|png)$", r"._V1_QL75_UX500_.\1", value)
