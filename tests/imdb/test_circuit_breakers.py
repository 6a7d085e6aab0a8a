import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from poster2plot import PosterNotFoundError, PosterServiceError
from poster2plot.imdb import circuit_breakers
from poster2plot.imdb.circuit_breakers import FAILURES
from poster2plot.imdb.services import PICTURE_BYTES
from support.poster_server import (
    ID,
    METAHUB,
    MOVIE,
    PICTURE,
    TMDB,
    V3_KEY,
    Answer,
    PosterServer,
    catalogue,
    cinemeta,
    metas,
    tmdb,
)


def test_a_service_that_keeps_failing_is_left_out(
    server: PosterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breakers, "PAUSE_SECONDS", 0.3)
    server.answers |= {TMDB: Answer(status=401), MOVIE: cinemeta(server)}
    finder = server.finder(tmdb_key=V3_KEY)
    for _ in range(FAILURES + 1):
        assert finder.find(ID).service == "Cinemeta"
    assert server.paths.count(TMDB) == FAILURES
    server.answers[TMDB] = tmdb()
    deadline = time.monotonic() + 30
    while finder.find(ID).service != "TMDB":
        assert time.monotonic() < deadline


def test_pictures_that_keep_failing_count_too(server: PosterServer) -> None:
    server.answers = {METAHUB: Answer(status=401)}  # Metahub is only asked for its picture
    finder = server.finder()
    for _ in range(FAILURES + 1):
        with pytest.raises(PosterNotFoundError) as caught:
            finder.find(ID)
    assert server.paths.count(METAHUB) == FAILURES
    assert "Metahub is left out for a while" in str(caught.value)


def test_a_stalled_service_holds_up_only_who_asked_it(server: PosterServer) -> None:
    server.answers = {METAHUB: Answer(stall=True)}
    finder = server.finder(seconds=5)
    with ThreadPoolExecutor(FAILURES) as pool:
        finds = [pool.submit(finder.find, ID) for _ in range(FAILURES)]
        deadline = time.monotonic() + 4
        while server.paths.count(METAHUB) < FAILURES and time.monotonic() < deadline:
            time.sleep(0.01)
        together = server.paths.count(METAHUB)
        server.closing.set()  # lets every one of them go
        wait(finds)
    assert together == FAILURES


@pytest.mark.parametrize("poster", ["https://elsewhere.example/a.jpg", PICTURE])
def test_a_picture_out_of_reach_is_of_one_title(server: PosterServer, poster: str) -> None:
    if poster == PICTURE:
        poster = server.url + PICTURE
        server.answers[PICTURE] = Answer(b"x" * (PICTURE_BYTES + 1))
    server.answers[MOVIE] = cinemeta(server, poster=poster)
    finder = server.finder()
    for _ in range(FAILURES + 1):
        with pytest.raises(PosterNotFoundError) as caught:
            finder.find(ID)
        assert "left out" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 414, 422])
def test_a_name_that_is_refused_is_one_search(server: PosterServer, status: int) -> None:
    server.answers |= {
        catalogue("movie", "a"): Answer(status=status),
        catalogue("movie", "b"): metas({"id": ID, "name": "B"}),
    }
    finder = server.finder()
    for _ in range(FAILURES + 1):
        with pytest.raises(PosterServiceError, match="failed"):
            finder.search("a")
    assert len(finder.search("b")) == 1


def test_a_service_that_knows_nothing_has_not_failed(server: PosterServer) -> None:
    finder = server.finder()
    for _ in range(FAILURES + 1):
        with pytest.raises(PosterNotFoundError) as caught:
            finder.find(ID)
        assert "left out" not in str(caught.value)
