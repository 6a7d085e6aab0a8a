import io
import logging
import re
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from poster2plot import (
    InputError,
    InvalidTitleError,
    Poster,
    PosterFinder,
    PosterLookupError,
    PosterNotFoundError,
    PosterServiceError,
)
from poster2plot.imdb.services import METAHUB_NOTICE, TMDB_NOTICE
from support.drawn_posters import draw_poster, encode
from support.poster_server import (
    ID,
    IMDB,
    LIMITS,
    METAHUB,
    MOVIE,
    OMDB,
    OMDB_KEY,
    PICTURE,
    SERIES,
    TMDB,
    V3_KEY,
    V4_KEY,
    Answer,
    PosterServer,
    as_json,
    cinemeta,
    html,
    omdb,
    suggestion,
    tmdb,
)
from tests.imdb.conftest import POSTER, reason


def test_a_poster_says_all_that_is_known(server: PosterServer) -> None:
    server.answers[TMDB] = tmdb()
    assert server.finder(tmdb_key=V3_KEY).find(f"https://m.imdb.com/title/{ID}/?ref_=x") == Poster(
        title_id=ID,
        image_bytes=POSTER,
        title="Inception",
        year=2010,
        synopsis="A thief enters dreams.",
        service="TMDB",
        attribution=TMDB_NOTICE,
    )


# The chain


def test_the_first_service_with_a_poster_wins(server: PosterServer) -> None:
    server.answers |= {
        TMDB: tmdb(),
        OMDB: omdb(server),
        MOVIE: cinemeta(server),
        METAHUB: Answer(POSTER),
    }
    assert server.finder(tmdb_key=V3_KEY, omdb_key=OMDB_KEY).find(ID).service == "TMDB"
    assert server.finder(omdb_key=OMDB_KEY).find(ID).service == "OMDb"
    assert server.finder().find(ID).service == "Cinemeta"


@pytest.mark.parametrize(
    "picture",
    [
        Answer(status=404),
        Answer(status=403),
        Answer(status=500),
        html(),
        Answer(b""),
        Answer(POSTER[:500], headers={"Content-Type": "image/jpeg"}),
        Answer(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        Answer(status=302, headers={"Location": "https://evil.example/poster.jpg"}),
    ],
)
def test_what_was_known_is_kept_when_only_metahub_has_the_picture(
    server: PosterServer, picture: Answer
) -> None:
    server.answers |= {
        TMDB: tmdb(),
        PICTURE: picture,
        METAHUB: Answer(POSTER),
    }
    poster = server.finder(tmdb_key=V3_KEY).find(ID)
    assert (poster.service, poster.title, poster.year) == ("Metahub", "Inception", 2010)
    assert poster.synopsis == "A thief enters dreams."
    assert poster.attribution == f"{TMDB_NOTICE} {METAHUB_NOTICE}"


def test_a_service_that_knows_it_all_credits_no_other(server: PosterServer) -> None:
    server.answers |= {
        TMDB: tmdb(poster_path=None),
        MOVIE: cinemeta(server, name="Inception (Cinemeta)"),
    }
    poster = server.finder(tmdb_key=V3_KEY).find(ID)
    assert (poster.service, poster.title) == ("Cinemeta", "Inception (Cinemeta)")
    assert TMDB_NOTICE not in poster.attribution


def test_pictures_come_from_listed_hosts_only(server: PosterServer) -> None:
    server.answers[MOVIE] = cinemeta(server, poster=f"http://localhost:{server.port}/inside")
    sentence = reason(server.finder(), PosterNotFoundError)
    assert "Cinemeta led to a site that is not allowed" in sentence
    assert "/inside" not in server.paths


def test_all_services_without_it(server: PosterServer) -> None:
    server.answers |= {
        TMDB: as_json({"movie_results": [], "tv_results": []}),
        OMDB: as_json({"Response": "False", "Error": "Incorrect IMDb ID."}),
        IMDB: as_json({"d": []}),
    }
    sentence = reason(
        server.finder(tmdb_key=V3_KEY, omdb_key=OMDB_KEY, use_imdb_suggestions=True),
        PosterNotFoundError,
    )
    assert sentence == f"No service has a poster for {ID}; upload the poster instead."


def test_a_refused_key_is_told_by_the_service_name(server: PosterServer) -> None:
    server.answers |= {
        TMDB: as_json({"status_code": 7, "status_message": f"Invalid {V3_KEY}"}, 401),
        OMDB: as_json({"Response": "False", "Error": "Invalid API key!"}, 401),
    }
    both = server.finder(tmdb_key=V3_KEY, omdb_key=OMDB_KEY)
    sentence = reason(both, PosterNotFoundError)
    assert "(TMDB refused the key, OMDb refused the key)" in sentence
    server.answers[OMDB] = as_json({"Response": "False", "Error": "Request limit reached!"}, 401)
    assert "OMDb has reached its daily limit" in reason(both, PosterNotFoundError)


def test_no_service_answers(server: PosterServer) -> None:
    server.answers |= {MOVIE: Answer(status=503), METAHUB: Answer(hang_up=True)}
    assert reason(server.finder(), PosterServiceError) == (
        f"No poster service gave a usable answer for {ID} "
        "(Cinemeta failed (503), Metahub could not be reached); upload the poster instead."
    )


def test_an_invalid_title_asks_no_one(server: PosterServer) -> None:
    with pytest.raises(InvalidTitleError):
        server.finder().find("nm0000138")
    assert server.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        as_json({}),
        as_json({}, 401),
        html(),
        Answer(status=429, headers={"Retry-After": "99"}),
        Answer(hang_up=True),
        Answer(stall=True),
        Answer(status=302, headers={"Location": "/elsewhere"}),
    ],
)
def test_keys_are_in_no_message_log_or_repr(
    server: PosterServer,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = dict.fromkeys((TMDB, OMDB), answer)
    limits = replace(LIMITS, read=0.1)
    for key in (V3_KEY, V4_KEY):
        asking = server.finder(tmdb_key=key, omdb_key=OMDB_KEY, services=server.services(limits))
        with pytest.raises(PosterLookupError) as caught:
            asking.find(ID)
        told = "".join(traceback.format_exception(caught.value)) + repr(asking) + caplog.text
        assert "TMDB" in told
        assert key not in told
        assert OMDB_KEY not in told


def test_each_outcome_is_logged(server: PosterServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "poster2plot.imdb.finder")
    server.answers |= {TMDB: html(), METAHUB: Answer(POSTER)}
    server.finder(tmdb_key=V3_KEY).find(ID)
    assert [record.getMessage() for record in caplog.records] == [
        "TMDB gave an answer that makes no sense",
        "Cinemeta has no poster",
        "Metahub has the poster",
    ]


def test_the_title_is_in_no_log(
    server: PosterServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers |= {TMDB: html(), MOVIE: Answer(status=503), METAHUB: Answer(POSTER)}
    finder = server.finder(tmdb_key=V3_KEY, cache_dir=tmp_path)
    for _ in range(2):
        finder.find(ID)
    assert caplog.records
    assert ID not in caplog.text
    assert ID.removeprefix("tt") not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        as_json({"Response": "False", "Error": f'Conversion from string "{ID}" is not valid.'}),
        as_json({"Response": "True", "imdbID": "tt7654321"}),
    ],
)
def test_the_words_of_a_service_are_in_no_log(
    server: PosterServer, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers[OMDB] = answer
    assert "OMDb" in reason(server.finder(omdb_key=OMDB_KEY), PosterNotFoundError)
    assert "OMDb" in caplog.text
    assert not re.search("tt[0-9]{7}", caplog.text)


def test_a_poster_that_is_gone_is_left_for_the_other(server: PosterServer) -> None:
    series = {"name": "Inception", "poster_path": "/gone.jpg"}
    film = {"title": "Inception", "poster_path": "/poster.jpg"}
    server.answers[TMDB] = as_json({"movie_results": [series], "tv_results": [film]})
    assert server.finder(tmdb_key=V3_KEY).find(ID).service == "TMDB"
    assert server.paths == [TMDB, "/pictures/gone.jpg", PICTURE]


def test_imdb_is_asked_last_and_only_if_switched_on(server: PosterServer) -> None:
    server.answers[IMDB] = suggestion(server)
    reason(server.finder(), PosterNotFoundError)
    assert IMDB not in server.paths
    server.requests.clear()
    poster = server.finder(use_imdb_suggestions=True).find(ID)
    assert (poster.service, poster.title, poster.year) == ("IMDb", "Inception", 2010)
    assert server.paths == [MOVIE, SERIES, METAHUB, IMDB, PICTURE]


def test_a_poster_is_a_picture(server: PosterServer) -> None:
    server.answers[METAHUB] = Answer(encode(draw_poster(), "WEBP"))
    with Image.open(io.BytesIO(server.finder().find(ID).image_bytes)) as picture:
        assert picture.format == "WEBP"


def test_all_services_together_have_so_long(server: PosterServer) -> None:
    server.answers = dict.fromkeys([TMDB, OMDB, MOVIE, METAHUB], Answer(stall=True))
    finder = server.finder(tmdb_key=V3_KEY, omdb_key=OMDB_KEY, seconds=0.5)
    started = time.monotonic()
    with pytest.raises(PosterServiceError, match="no time was left for Cinemeta"):
        finder.find(ID)
    assert time.monotonic() - started < 2


def test_a_picture_of_one_pixel_is_no_poster(server: PosterServer) -> None:
    server.answers = {
        MOVIE: cinemeta(server),
        PICTURE: Answer(encode(draw_poster(size=(1, 1)), "PNG")),
        METAHUB: Answer(encode(draw_poster(), "JPEG")),
    }
    assert server.finder().find(ID).service == "Metahub"


# Settings


def chain(finder: PosterFinder) -> list[str]:
    return [name for name, _ in finder._chain]


def test_the_environment_configures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert chain(PosterFinder.from_environment()) == ["Cinemeta", "Metahub"]
    monkeypatch.setenv("TMDB_API_KEY", f" {V3_KEY}\n")
    monkeypatch.setenv("OMDB_API_KEY", "  ")
    monkeypatch.setenv("POSTER2PLOT_IMDB_SUGGESTIONS", "True")
    monkeypatch.setenv("POSTER2PLOT_CACHE_DIR", str(tmp_path))
    finder = PosterFinder.from_environment()
    assert chain(finder) == ["TMDB", "Cinemeta", "Metahub", "IMDb"]
    assert finder._cache is not None
    assert finder._cache.folder == tmp_path


def test_a_cache_in_the_home_of_nobody_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTER2PLOT_CACHE_DIR", "~no-such-user/posters")
    with pytest.raises(InputError, match="POSTER2PLOT_CACHE_DIR"):
        PosterFinder.from_environment()


def test_secrets_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMDB_API_KEY", V3_KEY)
    monkeypatch.setenv("POSTER2PLOT_IMDB_SUGGESTIONS", "1")
    secrets = {
        "TMDB_API_KEY": "",  # left blank in the file: not set
        "OMDB_API_KEY": OMDB_KEY,
        "POSTER2PLOT_IMDB_SUGGESTIONS": False,
        "POSTER2PLOT_CACHE_DIR": "off",
    }
    finder = PosterFinder.from_environment(secrets)
    assert chain(finder) == ["TMDB", "OMDb", "Cinemeta", "Metahub"]
    assert finder._cache is None


@pytest.mark.skipif(sys.platform != "linux", reason="the variables of Linux")
def test_the_cache_is_in_the_users_cache_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = PosterFinder()._cache
    assert cache is not None
    assert cache.folder == tmp_path / "poster2plot" / "posters"
    monkeypatch.setattr(
        "poster2plot.imdb.finder.user_cache_path", lambda *_, **__: Path("~/.cache")
    )
    assert PosterFinder()._cache is None  # no home
