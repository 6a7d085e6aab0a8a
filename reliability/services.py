"""The poster services under faults: `python -m reliability.services`.

Every hop of the chain, from a service's answer over its redirect to the picture, meets every fault.
Each look-up has to end, in time, with a poster or one of the project's errors; no connection may go
anywhere but to the one server that is allowed (heard at the socket), and no planted key may be in
an error, a traceback or the log. The same holds of searches by name, which still find the title
while one service is at fault, and end with an error or nothing when all are.
"""

from __future__ import annotations

import io
import logging
import socket
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

from poster2plot import PosterFinder, PosterNotFoundError, PosterServiceError
from poster2plot.imdb.http_client import FetchLimits
from support.bad_images import png
from support.poster_server import (
    ID,
    METAHUB,
    MOVIE,
    OMDB,
    OMDB_KEY,
    PICTURE,
    SERIES,
    TMDB,
    TMDB_SEARCH,
    V3_KEY,
    Answer,
    PosterServer,
    as_json,
    catalogue,
    cinemeta,
    html,
    metas,
    omdb,
    omdb_search,
    serve_posters,
    tmdb,
    tmdb_ids,
    tmdb_search,
)

LIMITS = FetchLimits(connect=1, read=1, total=2, retry_pause=0.05, retry_after=1)
SECONDS = 4.0  # for all services together
GRACE = 1.0  # seconds by which a busy machine may be late


def redirect(target: str) -> Callable[[PosterServer], Answer]:
    """An answer that leads elsewhere; {port} is the server's own."""
    return lambda server: Answer(status=302, headers={"Location": target.format(port=server.port)})


def always(answer: Answer) -> Callable[[PosterServer], Answer]:
    """An answer that is the same for every server."""
    return lambda _: answer


@cache
def _bomb(wbits: int) -> bytes:
    """100 MB of zeros, compressed; made when it is first served, as it takes a second."""
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(bytes(100 << 20)) + packer.flush()


def compressed_bomb(encoding: str, wbits: int) -> Callable[[PosterServer], Answer]:
    """An answer of 100 MB that takes 100 kB."""
    return lambda _: Answer(_bomb(wbits), headers={"Content-Encoding": encoding})


def _words(error: str, status: int = 200) -> Answer:
    return as_json({"Response": "False", "Error": error}, status)


_PICTURE = png(60, 90, 1, 0, bytes(9 * 90))
_OTHER = {"meta": {"id": "tt0000007", "name": "Another"}}
_TWO = {
    "movie_results": [{"title": "A film", "poster_path": None}],
    "tv_results": [{"name": "A series", "poster_path": "/poster.jpg"}],
}

FAULTS: dict[str, dict[str, Callable[[PosterServer], Answer]]] = {
    "slow": {
        "silence": always(Answer(stall=True)),
        "a header that never ends": always(Answer(drip_head=0.05)),
        "a body that drips": always(Answer(b"x" * 10_000, drip=0.05)),
    },
    "broken": {
        "hangs up": always(Answer(hang_up=True)),
        "a body shorter than its length": always(Answer(b"{}", headers={"Content-Length": "99"})),
        "a body longer than its length": always(Answer(b"{}  ", headers={"Content-Length": "1"})),
        "a length that is no number": always(Answer(b"{}", headers={"Content-Length": "many"})),
        "an endless body": always(Answer(b"x" * 65_536, endless=True)),
        "a gzip bomb": compressed_bomb("gzip", 16 + zlib.MAX_WBITS),
        "broken gzip": always(Answer(b"no gzip", headers={"Content-Encoding": "gzip"})),
        "an unknown encoding": always(Answer(b"{}", headers={"Content-Encoding": "br"})),
    },
    "led astray": {
        "another port": redirect("http://127.0.0.1:9/"),
        "this machine by name": redirect("http://localhost:{port}/"),
        "a private network": redirect("http://10.0.0.1/"),
        "a cloud's metadata": redirect("http://169.254.169.254/latest/meta-data/"),
        "IPv6": redirect("http://[::1]:{port}/"),
        "IPv4 in IPv6": redirect("http://[::ffff:127.0.0.1]:{port}/"),
        "a decimal address": redirect("http://2130706433:{port}/"),
        "a name before the host": redirect("http://127.0.0.1:{port}@10.0.0.1/"),
        "a file": redirect("file:///etc/passwd"),
        "ftp": redirect("ftp://127.0.0.1/"),
        "gopher": redirect("gopher://127.0.0.1:{port}/"),
        "no URL": redirect("http://["),
        "in a circle": redirect("http://127.0.0.1:{port}/cinemeta/meta/movie/tt1375666.json"),
    },
    "refused": {
        "429": always(Answer(status=429, headers={"Retry-After": "1"})),
        "429 for a day": always(Answer(status=429, headers={"Retry-After": "86400"})),
        "401": always(Answer(status=401)),
        "500": always(Answer(status=500)),
        "503": always(html(503)),
    },
    "beside the point": {
        "OMDb's limit": always(_words("Request limit reached!")),
        "OMDb's limit, at 401": always(_words("Request limit reached!", 401)),
        "OMDb's bad key": always(_words(f"Invalid API key {OMDB_KEY}!")),
        "OMDb at a loss": always(_words("Error getting data.")),
        "a wall of HTML": always(html(403)),
        "a stub": always(as_json({"meta": {"id": ID, "type": "movie"}})),
        "another title": always(as_json({"Response": "True", "imdbID": "tt0000007"} | _OTHER)),
        "a film without a poster and a series with one": always(as_json(_TWO)),
        "an episode": always(as_json({"tv_episode_results": [{"name": "Pilot", "show_id": 7}]})),
        "522 of a proxy": always(Answer(status=522)),
        "a byte order mark": always(Answer(b"\xef\xbb\xbf{}")),
        "deflate without a head": always(
            Answer(zlib.compress(b"{}", wbits=-15), headers={"Content-Encoding": "deflate"})
        ),
        "a deflate bomb": compressed_bomb("deflate", zlib.MAX_WBITS),
        "unpacked on the way": always(Answer(b"{}", headers={"Content-Encoding": "gzip"})),
    },
    "nonsense": {
        "HTML": always(html()),
        "nothing": always(Answer()),
        "JSON of another shape": always(Answer(b'[{"meta": 1}]')),
        "deep JSON": always(Answer(b"[" * 100_000)),
        "a picture that is a bomb": always(Answer(png(20_000, 20_000, 1, 0, bytes(50_020_000)))),
        "half a picture": always(Answer(_PICTURE[:60])),
    },
}
HOPS = {
    "TMDB": TMDB,
    "OMDb": OMDB,
    "Cinemeta": MOVIE,
    "Cinemeta, series": SERIES,
    "Metahub": METAHUB,
    "picture": PICTURE,
}
NAME = "inception"
SEARCH_HOPS = {
    "TMDB": TMDB_SEARCH,
    "TMDB, ids": tmdb_ids("movie", 1),
    "OMDb": OMDB,
    "Cinemeta": catalogue("movie", NAME),
    "Cinemeta, series": catalogue("series", NAME),
}


@dataclass(frozen=True)
class Outcome:
    """How it ended: `end` is "poster", "match" or "no match", or an error's class."""

    end: str
    seconds: float
    strays: frozenset[object]  # addresses that are not the server's
    leaks: int  # planted keys in what was said


@contextmanager
def heard_connections() -> Iterator[list[object]]:
    """The address of each connection that this process opens meanwhile.

    Not by an audit hook: it stays until the process ends, and up to Python 3.11 no thread can
    begin to be traced, by coverage say, while one of them runs.
    """
    addresses: list[object] = []
    connect = socket.socket.connect

    def heard(self: socket.socket, address: Any) -> None:
        addresses.append(address)
        connect(self, address)

    with mock.patch.object(socket.socket, "connect", heard):
        yield addresses


def look_up(server: PosterServer, path: str, fault: Callable[[PosterServer], Answer]) -> Outcome:
    """Look a title up with a fault at `path` and everything else in order."""
    healthy: dict[str, Answer | list[Answer]] = {
        TMDB: tmdb() if path == PICTURE else tmdb(poster_path=None),
        OMDB: omdb(server, Poster="N/A"),
        MOVIE: Answer(status=404) if path in (SERIES, METAHUB) else cinemeta(server),
        SERIES: Answer(status=404) if path == METAHUB else cinemeta(server),
        METAHUB: Answer(_PICTURE),
        PICTURE: Answer(_PICTURE),
    }
    server.answers = healthy | {path: fault(server)}

    def find(finder: PosterFinder) -> str:
        finder.find(ID)
        return "poster"

    return _outcome(server, find)


def search(
    server: PosterServer, paths: Collection[str], fault: Callable[[PosterServer], Answer]
) -> Outcome:
    """Search a name with a fault at `paths` and everything else in order."""
    film = {"id": 1, "media_type": "movie", "title": "Inception", "release_date": "2010-07-15"}
    healthy: dict[str, Answer | list[Answer]] = {
        TMDB_SEARCH: tmdb_search(film),
        tmdb_ids("movie", 1): as_json({"imdb_id": ID}),
        OMDB: omdb_search({"imdbID": ID, "Title": "Inception", "Year": "2010", "Type": "movie"}),
        catalogue("movie", NAME): metas({"id": ID, "name": "Inception", "releaseInfo": "2010"}),
        catalogue("series", NAME): metas(),
    }
    server.answers = healthy | {path: fault(server) for path in paths}

    def find(finder: PosterFinder) -> str:
        found = [match.title_id for match in finder.search(NAME)]
        return "match" if found[:1] == [ID] else "no match"

    return _outcome(server, find)


def _outcome(server: PosterServer, find: Callable[[PosterFinder], str]) -> Outcome:
    finder = PosterFinder(
        tmdb_key=V3_KEY,
        omdb_key=OMDB_KEY,
        cache_dir=None,
        services=server.services(LIMITS),
        seconds=SECONDS,
    )
    said = io.StringIO()
    listener = logging.StreamHandler(said)
    logging.getLogger().addHandler(listener)
    started = time.monotonic()
    try:
        with heard_connections() as addresses:
            end = find(finder)
    except Exception as error:
        known = isinstance(error, PosterNotFoundError | PosterServiceError)
        end = f"{'' if known else '! '}{type(error).__name__}"
        said.write("".join(traceback.format_exception(error)))
    finally:
        logging.getLogger().removeHandler(listener)
    here = ("127.0.0.1", server.port)
    return Outcome(
        end,
        time.monotonic() - started,
        frozenset(address for address in addresses if address != here),
        sum(key in said.getvalue() for key in (V3_KEY, OMDB_KEY)),
    )


def main() -> int:
    """Print a row for each family of faults; the exit status is 1 if one broke a promise."""
    logging.getLogger().setLevel(logging.DEBUG)
    broken = 0
    with serve_posters() as server:
        _head("look-ups")
        for family, faults in FAULTS.items():
            broken += _row(
                family,
                [look_up(server, at, fault) for at in HOPS.values() for fault in faults.values()],
            )
        _head("searches")
        for family, faults in FAULTS.items():
            outcomes = [
                search(server, [at], fault)
                for at in SEARCH_HOPS.values()
                for fault in faults.values()
            ]
            broken += sum(each.end != "match" for each in outcomes)
            broken += _row(f"{family}, of one service", outcomes)
            outcomes = [search(server, SEARCH_HOPS.values(), fault) for fault in faults.values()]
            broken += sum(each.end == "match" for each in outcomes)
            broken += _row(f"{family}, of all", outcomes)
    print(f"\nbroken promises: {broken}")
    return int(broken > 0)


def _head(what: str) -> None:
    print(f"\n| faults | {what} | ended with | longest | strayed | keys told |")
    print("|---|---|---|---|---|---|")


def _row(name: str, outcomes: Collection[Outcome]) -> int:
    """Print how these ended, and give the number of broken promises."""
    ends = Counter(each.end for each in outcomes)
    longest = max(each.seconds for each in outcomes)
    strays = frozenset[object]().union(*(each.strays for each in outcomes))
    leaks = sum(each.leaks for each in outcomes)
    told = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    row = (name, len(outcomes), told, f"{longest:.1f} s", len(strays), leaks)
    print(f"| {' | '.join(map(str, row))} |", flush=True)
    wrong = sum(count for end, count in ends.items() if end.startswith("!"))
    return wrong + len(strays) + leaks + (longest > SECONDS + GRACE)


if __name__ == "__main__":
    sys.exit(main())
