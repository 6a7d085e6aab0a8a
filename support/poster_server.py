"""All the poster services on one localhost port, for the real HTTP client."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from poster2plot import PosterFinder
from poster2plot.imdb.http_client import Fetcher, FetchLimits
from poster2plot.imdb.services import Endpoints, Services

LIMITS = FetchLimits(connect=5, read=5, total=10, retry_pause=0, retry_after=1.5)
STALL_SECONDS = 120  # in which a server that stalls says nothing, whatever is tried meanwhile

# One title, and where each service has it.
ID = "tt1375666"
TMDB = f"/tmdb/find/{ID}"
OMDB = "/omdb"
MOVIE = f"/cinemeta/meta/movie/{ID}.json"
SERIES = f"/cinemeta/meta/series/{ID}.json"
METAHUB = f"/metahub/poster/medium/{ID}/img"
IMDB = f"/imdb/suggestion/x/{ID}.json"
PICTURE = "/pictures/poster.jpg"
TMDB_SEARCH = "/tmdb/search/multi"  # OMDb searches where it looks up

# Planted keys, of the shapes that the services give out.
V3_KEY = "0123456789abcdef0123456789abcdef"
V4_KEY = "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJwbGFudGVkIn0.c2lnbmF0dXJl"
OMDB_KEY = "deadbeef"


@dataclass
class Answer:
    """What a path answers. `drip` is the seconds before each byte of the body.

    `drip_head` is that of a header that never ends; an `endless` body is sent over and over.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: float = 0
    drip_head: float = 0
    endless: bool = False
    stall: bool = False  # take the request and say nothing
    hang_up: bool = False  # take the request and close the connection
    once: Event | None = None  # answer when this is set


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json"})


def html(status: int = 200) -> Answer:
    return Answer(b"<!doctype html><title>Just a moment</title>", status)


def tmdb(**changes: Any) -> Answer:
    film = {
        "title": "Inception",
        "overview": "A thief enters dreams.",
        "release_date": "2010-07-15",
        "poster_path": "/poster.jpg",
    }
    return as_json({"movie_results": [film | changes], "tv_results": []})


def omdb(server: "PosterServer", **changes: Any) -> Answer:
    film = {
        "Response": "True",
        "Title": "Inception",
        "Year": "2010",
        "Plot": "A thief enters dreams.",
        "Poster": server.url + PICTURE,
    }
    return as_json(film | changes)


def cinemeta(server: "PosterServer", **changes: Any) -> Answer:
    meta = {
        "id": ID,
        "name": "Inception",
        "year": "2010",
        "description": "A thief enters dreams.",
        "poster": server.url + PICTURE,
    }
    return as_json({"meta": meta | changes})


def suggestion(server: "PosterServer", **changes: Any) -> Answer:
    picture = {"imageUrl": server.url + PICTURE, "width": 1, "height": 1}
    entry = {"id": ID, "l": "Inception", "y": 2010, "i": picture}
    return as_json({"d": [{"id": "tt0000001", "l": "Another"}, entry | changes]})


def tmdb_search(*entries: Mapping[str, Any]) -> Answer:
    """What `TMDB_SEARCH` says; `tmdb_ids` has the path of an entry's IMDb id."""
    return as_json({"page": 1, "results": list(entries), "total_results": len(entries)})


def tmdb_ids(kind: str, number: int) -> str:
    return f"/tmdb/{kind}/{number}/external_ids"


def omdb_search(*entries: Mapping[str, Any]) -> Answer:
    if not entries:
        return as_json({"Response": "False", "Error": "Movie not found!"})
    return as_json({"Search": list(entries), "totalResults": str(len(entries)), "Response": "True"})


def catalogue(kind: str, name: str) -> str:
    """The path of Cinemeta's search for movies or series."""
    return f"/cinemeta/catalog/{kind}/top/search={quote(name, safe='')}.json"


def metas(*entries: Mapping[str, Any]) -> Answer:
    return as_json({"metas": list(entries)})


@dataclass
class Request:
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@dataclass
class PosterServer:
    """`answers` maps paths to one answer, or to several in turn; any other path is a 404."""

    port: int = 0
    answers: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    closing: Event = field(default_factory=Event)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def fetcher(self, limits: FetchLimits = LIMITS) -> Fetcher:
        return Fetcher(limits, schemes={"http"}, allow_private=True)

    def services(self, limits: FetchLimits = LIMITS) -> Services:
        endpoints = Endpoints(
            tmdb=f"{self.url}/tmdb",
            tmdb_pictures=f"{self.url}/pictures",
            omdb=f"{self.url}/omdb",
            cinemeta=f"{self.url}/cinemeta",
            metahub=f"{self.url}/metahub",
            imdb_suggestions=f"{self.url}/imdb",
            picture_hosts=frozenset({self.host}),
        )
        return Services(self.fetcher(limits), endpoints)

    def finder(self, **options: Any) -> PosterFinder:
        """A finder that asks here and keeps no cache, unless told otherwise."""
        return PosterFinder(**{"cache_dir": None, "services": self.services(), **options})

    def answer(self, path: str) -> Answer:
        found = self.answers.get(path, Answer(b"not here", 404))
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found


@contextmanager
def serve_posters(posters: PosterServer | None = None) -> Iterator[PosterServer]:
    """Serve on a free port of localhost, past any proxy of the developer's."""
    state = posters or PosterServer()

    class Handler(_Handler):
        server_state = state

    server = _Server(("127.0.0.1", 0), Handler)
    state.port = server.server_port
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("no_proxy", "127.0.0.1,localhost")
            yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() then waits for the handlers

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server_state: PosterServer

    def do_GET(self) -> None:
        state = self.server_state
        url = urlsplit(self.path)
        state.requests.append(Request(url.path, parse_qs(url.query), dict(self.headers)))
        answer = state.answer(url.path)
        if answer.once:
            answer.once.wait(STALL_SECONDS)
        if answer.stall:
            state.closing.wait(STALL_SECONDS)
        if answer.stall or answer.hang_up:
            return
        if answer.drip_head:
            self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
            while not state.closing.wait(answer.drip_head):
                self.wfile.write(b"x")
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers and not (answer.drip or answer.endless):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        while answer.endless:
            self.wfile.write(answer.body)
        if not answer.drip:
            self.wfile.write(answer.body)
            return
        for byte in answer.body:
            if state.closing.wait(answer.drip):
                return
            self.wfile.write(bytes([byte]))

    def log_message(self, *_: Any) -> None:
        pass
