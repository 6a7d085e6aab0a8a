import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from poster2plot.imdb.http_client import FetchError
from poster2plot.imdb.services import OMDB_NOTICE, TMDB_NOTICE, Endpoints, PosterInfo
from support.poster_server import (
    ID,
    IMDB,
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
    serve_posters,
    suggestion,
    tmdb,
)


@pytest.mark.parametrize("key", [V3_KEY, V4_KEY])
def test_tmdb_takes_either_kind_of_key(server: PosterServer, key: str) -> None:
    server.answers[TMDB] = tmdb()
    assert server.services().tmdb(ID, key) == PosterInfo(
        "TMDB", TMDB_NOTICE, server.url + PICTURE, "Inception", 2010, "A thief enters dreams."
    )
    (asked,) = server.requests
    assert asked.query["external_source"] == ["imdb_id"]
    if key == V3_KEY:
        assert asked.query["api_key"] == [key]
        assert "Authorization" not in asked.headers
    else:
        assert "api_key" not in asked.query
        assert asked.headers["Authorization"] == f"Bearer {key}"


def test_tmdb_finds_series(server: PosterServer) -> None:
    show = {"name": "Dark", "first_air_date": "2017-12-01", "poster_path": None}
    server.answers[TMDB] = as_json({"movie_results": [], "tv_results": [show]})
    assert server.services().tmdb(ID, V3_KEY) == PosterInfo("TMDB", TMDB_NOTICE, None, "Dark", 2017)
    server.answers[TMDB] = as_json({"movie_results": [], "tv_results": []})
    assert server.services().tmdb(ID, V3_KEY) is None


def test_omdb_is_asked_with_its_key(server: PosterServer) -> None:
    server.answers[OMDB] = omdb(server, Year="2011–2019", Poster="N/A", Plot="N/A")
    expected = PosterInfo("OMDb", OMDB_NOTICE, None, "Inception", 2011)
    assert server.services().omdb(ID, OMDB_KEY) == expected
    assert server.requests[0].query == {"i": [ID], "plot": ["short"], "apikey": [OMDB_KEY]}
    server.answers[OMDB] = as_json({"Response": "False", "Error": "Incorrect IMDb ID."})
    assert server.services().omdb(ID, OMDB_KEY) is None


@pytest.mark.parametrize("unknown", [as_json({"meta": {}}), as_json({}), Answer(status=404)])
def test_cinemeta_is_asked_for_a_movie_then_a_series(server: PosterServer, unknown: Answer) -> None:
    server.answers |= {MOVIE: unknown, SERIES: cinemeta(server, year="2011-2019")}
    info = server.services().cinemeta(ID)
    assert info is not None
    assert (info.picture_url, info.title, info.year) == (server.url + PICTURE, "Inception", 2011)
    assert server.paths == [MOVIE, SERIES]
    server.answers[SERIES] = unknown
    assert server.services().cinemeta(ID) is None


def test_cinemeta_may_redirect_to_its_live_copy(server: PosterServer) -> None:
    services = server.services()
    with serve_posters() as live:
        server.answers[MOVIE] = Answer(status=307, headers={"Location": f"{live.url}/live"})
        live.answers["/live"] = cinemeta(server)
        with pytest.raises(FetchError, match="not allowed"):
            services.cinemeta(ID)
        endpoints = replace(services.endpoints, cinemeta_hosts=frozenset({live.host}))
        assert replace(services, endpoints=endpoints).cinemeta(ID) is not None


def test_imdb_suggestions_may_hold_other_titles(server: PosterServer) -> None:
    server.answers[IMDB] = suggestion(server)
    info = server.services().imdb_suggestion(ID)
    assert info is not None
    assert (info.picture_url, info.title, info.year) == (server.url + PICTURE, "Inception", 2010)
    server.answers[IMDB] = suggestion(server, id="tt0000002")
    assert server.services().imdb_suggestion(ID) is None


def test_pictures_of_amazon_are_asked_for_in_a_small_size(server: PosterServer) -> None:
    for end in ("._V1_.jpg", "._V1_SX300.jpg", "._V1_QL75_UY2000_CR0,0,1,1_.jpg"):
        server.answers[OMDB] = omdb(server, Poster=f"https://m.media-amazon.com/images/M/a@{end}")
        info = server.services().omdb(ID, OMDB_KEY)
        assert info is not None
        assert info.picture_url == "https://m.media-amazon.com/images/M/a@._V1_QL75_UX500_.jpg"


OLD = "http://ia.media-imdb.com/images/M/a@._V1_SX300.jpg"


@pytest.mark.parametrize(
    "host",
    [
        "ia.media-imdb.com",
        "ia.media-imdb.com:80",
        "i.media-imdb.com",
        "ia.imdb.com",
        "images-fe.ssl-images-amazon.com",
        "images-na.ssl-images-amazon.com",
    ],
)
def test_old_hosts_of_pictures_are_asked_by_their_new_name(server: PosterServer, host: str) -> None:
    server.answers[OMDB] = omdb(server, Poster=OLD.replace("ia.media-imdb.com", host))
    info = server.services().omdb(ID, OMDB_KEY)
    assert info is not None
    assert info.picture_url == "https://m.media-amazon.com/images/M/a@._V1_QL75_UX500_.jpg"
    assert "m.media-amazon.com" in Endpoints().picture_hosts


FILM = {"title": "A Film", "release_date": "2001-01-01", "poster_path": None}
SERIES_ENTRY = {"name": "A Series", "first_air_date": "2002-01-01", "poster_path": "/poster.jpg"}
EPISODE = {"name": "An Episode", "air_date": "2003-01-01", "still_path": "/s.jpg", "show_id": 42}


@pytest.mark.parametrize(
    ("found", "title", "year"),
    [
        ({"movie_results": [FILM], "tv_results": [SERIES_ENTRY]}, "A Series", 2002),
        ({"movie_results": [FILM, FILM | {"poster_path": "/poster.jpg"}]}, "A Film", 2001),
        ({"tv_season_results": [SERIES_ENTRY | {"name": "Season 1"}]}, "Season 1", 2002),
        ({"tv_episode_results": [EPISODE]}, "An Episode", 2003),
        ({"movie_results": [FILM], "tv_episode_results": [EPISODE]}, "A Film", 2001),
    ],
)
def test_the_first_of_tmdbs_answers_with_a_poster_wins(
    server: PosterServer, found: dict[str, Any], title: str, year: int
) -> None:
    server.answers |= {TMDB: as_json(found), "/tmdb/tv/42": as_json(SERIES_ENTRY)}
    info = server.services().tmdb(ID, V3_KEY)
    assert info is not None
    assert (info.picture_url, info.title, info.year) == (server.url + PICTURE, title, year)


def test_an_episode_of_a_series_without_a_poster_has_none(server: PosterServer) -> None:
    server.answers[TMDB] = as_json({"tv_episode_results": [EPISODE]})
    info = server.services().tmdb(ID, V3_KEY)
    assert info is not None
    assert (info.picture_url, info.title) == (None, "An Episode")


@pytest.mark.parametrize("stub", [{"poster": None}, {"poster": None, "name": None}, {"poster": ""}])
def test_a_stub_of_cinemeta_does_not_hide_the_series(
    server: PosterServer, stub: dict[str, Any]
) -> None:
    server.answers |= {MOVIE: cinemeta(server, **stub), SERIES: cinemeta(server, name="Dark")}
    info = server.services().cinemeta(ID)
    assert info is not None
    assert (info.title, info.picture_url) == ("Dark", server.url + PICTURE)


@pytest.mark.parametrize(
    "odd", [html(), as_json({"meta": {"id": "tt7654321", "poster": "https://a/b.jpg"}})]
)
def test_an_odd_answer_of_cinemeta_does_not_hide_the_series(
    server: PosterServer, odd: Answer
) -> None:
    server.answers = {MOVIE: odd, SERIES: cinemeta(server)}
    info = server.services().cinemeta(ID)
    assert info
    assert info.picture_url == server.url + PICTURE


@pytest.mark.parametrize(
    "written",
    ["//m.media-amazon.com/images/a.jpg", " https://m.media-amazon.com/images/a.jpg\n"],
)
def test_addresses_of_pictures_as_services_write_them(server: PosterServer, written: str) -> None:
    server.answers = {MOVIE: cinemeta(server, poster=written)}
    info = server.services().cinemeta(ID)
    assert info
    assert info.picture_url == "https://m.media-amazon.com/images/a.jpg"


def test_what_was_made_for_a_page_is_plain_text(server: PosterServer) -> None:
    server.answers = {OMDB: omdb(server, Title="Tom &amp; Jerry", Plot="A cat&#39;s life.")}
    info = server.services().omdb(ID, OMDB_KEY)
    assert info
    assert (info.title, info.synopsis) == ("Tom & Jerry", "A cat's life.")


def test_an_answer_for_another_title_is_none_of_this(server: PosterServer) -> None:
    services = server.services()
    server.answers |= {
        OMDB: omdb(server, imdbID="tt0000007"),
        MOVIE: cinemeta(server, id="tt0000007"),
    }
    for ask in (lambda: services.omdb(ID, OMDB_KEY), lambda: services.cinemeta(ID)):
        with pytest.raises(FetchError, match="answered for tt0000007 instead"):
            ask()


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Request limit reached!", "has reached its daily limit"),
        ("Invalid API key!", "refused the key"),
        ("No API key provided.", "refused the key"),
        ("Error getting data.", "says “Error getting data”"),
        ("Key deadbeef is odd.", "gave an answer that makes no sense"),
        ("\u202e \x1b[2J " + "long " * 100, "says “"),
    ],
)
def test_what_omdb_says_is_told_in_its_words(
    server: PosterServer, status: int, said: str, reason: str
) -> None:
    server.answers[OMDB] = as_json({"Response": "False", "Error": said}, status)
    with pytest.raises(FetchError) as caught:
        server.services().omdb(ID, OMDB_KEY)
    assert caught.value.reason.startswith(reason)
    assert len(caught.value.reason) < 100
    assert caught.value.reason.isprintable()
    assert OMDB_KEY not in caught.value.reason


@pytest.mark.parametrize("status", [401, 403])
def test_a_wall_before_a_service_is_no_bad_key(server: PosterServer, status: int) -> None:
    server.answers = dict.fromkeys((TMDB, OMDB, MOVIE), html(status))
    services = server.services()
    for ask in (
        lambda: services.tmdb(ID, V3_KEY),
        lambda: services.omdb(ID, OMDB_KEY),
        lambda: services.cinemeta(ID),
    ):
        with pytest.raises(FetchError, match=f"does not let this machine in \\({status}\\)"):
            ask()


@pytest.mark.parametrize(
    ("encode", "encoding"),
    [
        (gzip.compress, "gzip"),
        (gzip.compress, "X-GZIP"),
        (zlib.compress, "deflate"),
        (lambda body: zlib.compress(body, wbits=-15), "deflate"),
        (lambda body: b"\xef\xbb\xbf" + body, "identity"),
        (lambda body: gzip.compress(b"\xef\xbb\xbf" + body), "gzip"),
        (lambda body: body, "gzip"),  # unpacked on the way, and the header left
        (lambda body: body, "deflate"),
    ],
)
def test_an_answer_may_be_packed_or_marked(
    server: PosterServer, encode: Callable[[bytes], bytes], encoding: str
) -> None:
    answer = cinemeta(server)
    headers = {"Content-Encoding": encoding}
    server.answers[MOVIE] = Answer(encode(answer.body), headers=headers)
    info = server.services().cinemeta(ID)
    assert info is not None
    assert info.title == "Inception"


ODD: list[Any] = [None, True, 0, 1.5, "", "N/A", [], [[]], [{}], {}, {"x": {}}, [None], ["x"]]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_values_are_nothing(server: PosterServer, odd: Any) -> None:
    services = server.services()
    server.answers |= {
        TMDB: tmdb(title=odd, overview=odd, release_date=odd, poster_path=odd),
        OMDB: omdb(server, Title=odd, Year=odd, Plot=odd, Poster=odd),
        MOVIE: cinemeta(server, name=odd, year=odd, description=odd, poster=odd),
        IMDB: suggestion(server, i=odd, l=odd, y=odd),
    }
    for info in (
        services.tmdb(ID, V3_KEY),
        services.omdb(ID, OMDB_KEY),
        services.cinemeta(ID),
        services.imdb_suggestion(ID),
    ):
        assert info is not None
        assert info == PosterInfo(info.service, info.attribution, None)


@pytest.mark.parametrize("odd", [None, True, 0, 1.5, "", "x", [], [[]], {}, [None]], ids=repr)
def test_odd_answers_are_titles_unknown(server: PosterServer, odd: Any) -> None:
    services = server.services()
    server.answers |= {
        TMDB: as_json({"movie_results": odd, "tv_results": odd}),
        OMDB: as_json({"Response": odd}),
        MOVIE: as_json({"meta": odd}),
        IMDB: as_json({"d": odd}),
    }
    assert services.tmdb(ID, V3_KEY) is None
    assert services.omdb(ID, OMDB_KEY) is None
    assert services.cinemeta(ID) is None
    assert services.imdb_suggestion(ID) is None


@pytest.mark.parametrize(
    "answer",
    [
        html(),
        Answer(b""),
        Answer(b"{"),
        Answer(b"\xff\xfe\x00"),
        Answer(b"[" * 100_000),
        Answer(b'{"meta": ' + b"9" * 5_000 + b"}"),
        as_json([]),
        as_json("text"),
        as_json(None),
        html(403),
        html(202),
        Answer(status=500),
        Answer(hang_up=True),
        Answer(b"{}", headers={"Content-Length": "99"}),
    ],
)
def test_services_raise_nothing_but_fetch_errors(server: PosterServer, answer: Answer) -> None:
    server.answers = dict.fromkeys((TMDB, OMDB, MOVIE, SERIES, IMDB), answer)
    services = server.services()
    for ask in (
        lambda: services.tmdb(ID, V3_KEY),
        lambda: services.omdb(ID, OMDB_KEY),
        lambda: services.cinemeta(ID),
        lambda: services.imdb_suggestion(ID),
    ):
        with pytest.raises(FetchError):
            ask()


def test_text_of_services_is_cleaned_and_bounded(server: PosterServer) -> None:
    server.answers[MOVIE] = cinemeta(
        server,
        name=" In\x00cep\x1b[31m\ttion\u202e\ud800\n\n2 ",
        description="word " * 100_000,
    )
    info = server.services().cinemeta(ID)
    assert info is not None
    assert info.title == "In cep [31m tion 2"
    assert info.synopsis is not None
    assert len(info.synopsis) <= 5_000
    assert info.synopsis.endswith("word…")
