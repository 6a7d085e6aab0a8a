import logging
from typing import Any

import pytest

from poster2plot import (
    AmbiguousNameError,
    InvalidTitleError,
    PosterFinder,
    PosterNotFoundError,
    PosterServiceError,
)
from poster2plot.imdb.search import Query, clear_match, closeness, merge
from poster2plot.imdb.services import MOST_TMDB_IDS, TitleMatch
from support.poster_server import (
    ID,
    MOVIE,
    OMDB,
    OMDB_KEY,
    PICTURE,
    TMDB_SEARCH,
    V3_KEY,
    V4_KEY,
    Answer,
    PosterServer,
    as_json,
    catalogue,
    cinemeta,
    html,
    metas,
    omdb_search,
    tmdb_ids,
    tmdb_search,
)


def match(title: str, year: int | None = None, number: int = 1, **more: Any) -> TitleMatch:
    given = {"kind": "movie", "poster_url": None, "service": "OMDb"} | more
    return TitleMatch(f"tt{number:07}", title, year, **given)


def found(name: str, *titles: tuple[str, int]) -> list[tuple[str, int | None]]:
    """Titles and years in the order that a search for a name puts them in."""
    answer = [match(title, year, number) for number, (title, year) in enumerate(titles)]
    return [(each.title, each.year) for each in merge(Query.parse(name), [answer])]


# Names


@pytest.mark.parametrize(
    ("wanted", "title"),
    [
        ("amelie", "Amélie"),
        ("THE THIRD MAN", "The Third Man"),
        ("third man", "The Third Man"),
        ("third man, the", "The Third Man"),
        ("l'avventura", "L’Avventura"),
        ("avventura", "L'Avventura"),
        ("fast and furious", "Fast & Furious"),
        ("rocky 2", "Rocky II"),
        ("the godfather part iii", "The Godfather: Part 3"),
        ("Ⅻ", "12"),
        ("dont look now", "Don't Look Now"),
        ("face off", "Face/Off"),
        ("wall e", "WALL·E"),
        ("walle", "WALL·E"),
        ("se7en", "Se7en"),
        ("strasse", "Straße"),
        ("moolaade", "Moolaadé"),
        ("kobenhavn", "København"),
        ("七人の侍", "七人の侍"),
        ("كفرناحوم", "كَفَرْنَاحُوم"),
        ("la confidential", "L.A. Confidential"),
        ("a-team", "The A-Team"),
        ("xmen", "X-Men"),
        ("ai artificial intelligence", "A.I. Artificial Intelligence"),
        ("lalaland", "La La Land"),
        ("iq", "I.Q."),
        ("irobot", "I, Robot"),
        ("beautiful mind, a", "A Beautiful Mind"),
        ("Misérables, Les", "Les Miserables"),
        ("ﾊﾟﾌﾟﾘｶ", "パプリカ"),
        ("ｉｎｃｅｐｔｉｏｎ", "Inception"),
        ("राज़", "राज़"),  # one of them composed
    ],
)
def test_the_same_name_written_otherwise(wanted: str, title: str) -> None:
    assert closeness(wanted, title) > 0.95


@pytest.mark.parametrize(
    ("wanted", "title"),
    [
        ("alien", "Aliens"),
        ("rocky", "Rocky II"),
        ("rocky 2", "Rocky III"),
        ("9", "Nine"),
        ("q", ""),
        ("राज़", "राज़ी"),
        ("パパ", "ハハ"),
        ("ม้า", "มา"),
        ("★", "★★"),
    ],
)
def test_another_name_is_less_close(wanted: str, title: str) -> None:
    assert closeness(wanted, title) < 0.95


@pytest.mark.parametrize(
    ("text", "name", "year"),
    [
        ("amelie 2001", "amelie", 2001),
        ("amelie (2001)", "amelie", 2001),
        ("Amélie,  2001 ", "Amélie", 2001),
        ("1917", "1917", None),
        ("2001", "2001", None),
        ("1917 2019", "1917", 2019),
        ("2001: a space odyssey", "2001: a space odyssey", None),
        ("room 1408", "room 1408", None),
        ("apollo 13000", "apollo 13000", None),
        ("tt0111161x", "tt0111161x", None),
        ("a\tb\nc", "a b c", None),
        ("amelie(2001)", "amelie", 2001),
        ("amelie (2001).", "amelie", 2001),
        ("\u202aamelie 2001\u202c\u200e", "amelie", 2001),
        ("\ufeffａｍｅｌｉｅ　２００１", "amelie", 2001),
        ("君の名は（2016）", "君の名は", 2016),
        ("می\u200cخواهم", "می\u200cخواهم", None),
        ("room(1408)", "room(1408)", None),
    ],
)
def test_a_year_at_the_end_of_a_name(text: str, name: str, year: int | None) -> None:
    query = Query.parse(text)
    assert (query.name, query.year) == (name, year)


@pytest.mark.parametrize("text", ["", "  ", "???", "\u202e", "x" * 201, "x" * 1_000_000])
def test_what_is_no_name_is_refused_in_a_sentence(text: str, server: PosterServer) -> None:
    with pytest.raises(InvalidTitleError) as caught:
        server.finder().search(text)
    assert len(str(caught.value)) < 100
    assert str(caught.value).endswith(".")
    assert not server.requests


# Order


def test_the_closest_name_comes_first() -> None:
    titles = (("Aliens", 1986), ("Alien 3", 1992), ("Alien", 1979), ("My Alien", 2000))
    assert found("alien", *titles)[0] == ("Alien", 1979)


def test_titles_of_one_name_keep_the_order_of_the_services() -> None:
    titles = (("The Thing", 1982), ("The Thing", 2011), ("The Thing", 1951))
    assert found("the thing", *titles) == list(titles)


def test_a_year_narrows() -> None:
    titles = (("The Thing", 1982), ("The Thing", 2011), ("The Thing Below", 2004))
    assert found("the thing 2011", *titles) == [("The Thing", 2011)]
    assert found("the thing 2010", *titles) == [("The Thing", 2011)]
    assert found("the thing 1930", *titles)[0] == ("The Thing", 1982)  # nothing of that year


def test_a_year_may_belong_to_the_name() -> None:
    titles = (("Wonder Woman", 2017), ("Wonder Woman 1984", 2020))
    assert found("wonder woman 1984", *titles)[0] == ("Wonder Woman 1984", 2020)


def test_an_original_title_counts() -> None:
    title = match("Bicycle Thieves", 1948, original_title="Ladri di biciclette")
    query = Query.parse("ladri di biciclette")
    merged = merge(query, [[match("Thieves", 1948, 2), title]])
    assert merged[0] == title
    assert clear_match(query, merged) == title


def test_services_are_merged_by_id_without_doubles() -> None:
    bare = match("Alien", None, 1, service="TMDB")
    full = match("Alien", 1979, 1, poster_url="https://a/b.jpg")
    assert merge(Query.parse("alien"), [[bare, bare], [match("Aliens", 1986, 2), full]]) == [
        match("Alien", 1979, 1, service="TMDB", poster_url="https://a/b.jpg"),
        match("Aliens", 1986, 2),
    ]


def test_of_two_names_for_an_id_the_one_asked_for_counts() -> None:
    stone = "Harry Potter and the {} Stone"
    first = match(stone.format("Philosopher's"), 2001, service="TMDB")
    query = Query.parse(stone.format("Sorcerer's"))
    [merged] = merge(query, [[first], [match(query.text, 2001)]])
    assert merged == match(query.text, 2001, service="TMDB")
    assert clear_match(query, [merged])


@pytest.mark.parametrize(
    ("name", "titles", "clear"),
    [
        ("the third man", [("The Third Man", 1949), ("The Third Man on the Mountain", 1959)], True),
        ("the thing", [("The Thing", 1982), ("The Thing", 2011)], False),
        ("the thing 1982", [("The Thing", 1982), ("The Thing", 2011)], True),
        ("thrid man", [("The Third Man", 1949)], False),
        ("alien", [("Aliens", 1986)], False),
        ("alien", [], False),
        ("hamlet 1948", [("Hamlet", 1996)], False),
        ("hamlet 1996", [("Hamlet", 1997)], True),
        ("robin hood 2018", [("Robin Hood", 2018), ("Robin Hood", 2017)], True),
        ("robin hood 2018", [("Robin Hood", 2019), ("Robin Hood", 2017)], False),
        ("wonder woman 1984", [("Wonder Woman 1984", 2020), ("Wonder Woman", 2017)], True),
    ],
)
def test_when_a_match_is_clear(name: str, titles: list[tuple[str, int]], clear: bool) -> None:
    query = Query.parse(name)
    answer = [match(title, year, number) for number, (title, year) in enumerate(titles)]
    assert (clear_match(query, merge(query, [answer])) is not None) == clear


# The services

FILM = {"media_type": "movie", "id": 27205, "title": "Inception", "release_date": "2010-07-15",
        "poster_path": "/poster.jpg", "original_title": "Inception"}  # fmt: skip
SHOW = {"media_type": "tv", "id": 7, "name": "Inception Now", "first_air_date": "2014-01-01",
        "poster_path": None}  # fmt: skip
PERSON = {"media_type": "person", "id": 9, "name": "Inception"}


@pytest.mark.parametrize("key", [V3_KEY, V4_KEY])
def test_tmdb_is_searched_for_movies_and_series(server: PosterServer, key: str) -> None:
    server.answers |= {
        TMDB_SEARCH: tmdb_search(PERSON, FILM, SHOW, FILM | {"id": 3}),
        tmdb_ids("movie", 27205): as_json({"id": 27205, "imdb_id": ID}),
        tmdb_ids("tv", 7): as_json({"imdb_id": "tt0000007"}),
        tmdb_ids("movie", 3): as_json({"imdb_id": None}),
    }
    assert server.services().search_tmdb("inception", key) == [
        TitleMatch(ID, "Inception", 2010, "movie", server.url + PICTURE, "TMDB", "Inception"),
        TitleMatch("tt0000007", "Inception Now", 2014, "series", None, "TMDB"),
    ]
    assert server.requests[0].query["query"] == ["inception"]
    for asked in server.requests:
        if key == V3_KEY:
            assert asked.query["api_key"] == [key]
        else:
            assert asked.headers["Authorization"] == f"Bearer {key}"


def test_tmdb_is_asked_for_few_ids(server: PosterServer) -> None:
    server.answers[TMDB_SEARCH] = tmdb_search(*(FILM | {"id": i} for i in range(20)))
    assert server.services().search_tmdb("inception", V3_KEY) == []
    assert len(server.requests) == 1 + MOST_TMDB_IDS


def test_tmdb_is_asked_first_for_ids_of_the_year(server: PosterServer) -> None:
    films = [FILM | {"id": i, "release_date": f"{1990 + i}-01-01"} for i in range(20)]
    server.answers |= {
        TMDB_SEARCH: tmdb_search(*films, FILM | {"id": 20, "release_date": None}),
        tmdb_ids("movie", 18): as_json({"imdb_id": ID}),
    }
    assert [each.year for each in server.finder(tmdb_key=V3_KEY).search("inception 2008")] == [2008]


def test_omdb_is_asked_for_the_year_and_then_for_any(server: PosterServer) -> None:
    server.answers[OMDB] = as_json({"Response": "False", "Error": "Movie not found!"})
    assert server.services().search_omdb("inception", OMDB_KEY, 1948) == []
    assert [asked.query.get("y") for asked in server.requests] == [["1948"], None]


@pytest.mark.parametrize(
    "name", ["Don't Look Now (1973)", "Don’t Look Now 1973", "“Don't Look Now” (1973)"]
)
def test_services_are_asked_in_their_spelling(server: PosterServer, name: str) -> None:
    film = {"Title": "Don't Look Now", "Year": "1973", "imdbID": ID, "Type": "movie"}
    server.answers[OMDB] = omdb_search(film)
    [found] = server.finder(omdb_key=OMDB_KEY).search(name)
    assert found.title_id == ID
    [asked] = [each.query for each in server.requests if "s" in each.query]
    assert (asked["s"], asked["y"]) == (["Don't Look Now"], ["1973"])


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("Third Man, The (1949)", "The Third Man"),
        ("third man, the 1949", "the third man"),
        ("Postman, The (Postino, Il) (1994)", "The Postman"),
        ("blade runner 2049", "blade runner"),
        ("The Office (US)", "The Office (US)"),
    ],
)
def test_a_name_of_a_table_is_searched_as_it_is_spoken(name: str, spelt: str) -> None:
    assert Query.parse(name).spelt == spelt


def test_omdb_is_searched_for_movies_and_series(server: PosterServer) -> None:
    film = {"Title": "Inception", "Year": "2010", "imdbID": ID, "Type": "movie", "Poster": "N/A"}
    server.answers[OMDB] = omdb_search(
        film,
        film | {"imdbID": "tt0000002", "Type": "game"},
        film | {"imdbID": "tt0000003", "Type": "series", "Year": "2011–2014"},
    )
    assert server.services().search_omdb("inception", OMDB_KEY) == [
        TitleMatch(ID, "Inception", 2010, "movie", None, "OMDb"),
        TitleMatch("tt0000003", "Inception", 2011, "series", None, "OMDb"),
    ]
    assert server.requests[0].query == {"s": ["inception"], "apikey": [OMDB_KEY]}
    server.answers[OMDB] = omdb_search()
    assert server.services().search_omdb("inception", OMDB_KEY) == []


@pytest.mark.parametrize("said", ["Series not found!", "Too many results."])
def test_omdb_finds_nothing(server: PosterServer, said: str) -> None:
    server.answers[OMDB] = as_json({"Response": "False", "Error": said})
    assert server.services().search_omdb("inception", OMDB_KEY) == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Request limit reached!", "OMDb has reached its daily limit"),
        ("Invalid API key!", "OMDb refused the key"),
        ("Error getting data.", "OMDb says “Error getting data”"),
    ],
)
def test_a_search_that_omdb_refuses_is_not_kept(
    server: PosterServer, caplog: pytest.LogCaptureFixture, said: str, reason: str
) -> None:
    caplog.set_level(logging.INFO)
    server.answers[OMDB] = as_json({"Response": "False", "Error": said})
    server.answers[catalogue("movie", "inception")] = Answer(status=503)
    finder = server.finder(omdb_key=OMDB_KEY)
    assert reason in search_in_vain(finder)
    assert said.rstrip(".!") not in caplog.text
    server.answers[OMDB] = omdb_search({"Title": "Inception", "imdbID": ID, "Type": "movie"})
    assert [match.title_id for match in finder.search("inception")] == [ID]


def test_cinemeta_is_searched_without_a_key(server: PosterServer) -> None:
    film = {"id": ID, "type": "movie", "name": "Inception", "releaseInfo": "2010",
            "poster": server.url + PICTURE}  # fmt: skip
    show = {"id": "tt0000003", "type": "series", "name": "Inception", "releaseInfo": "2011-2014"}
    server.answers |= {
        catalogue("movie", "inception"): metas(film, film | {"id": "tt0000002"}),
        catalogue("series", "inception"): metas(show),
    }
    assert [
        (each.title_id, each.year, each.kind)
        for each in server.services().search_cinemeta("inception")
    ] == [(ID, 2010, "movie"), ("tt0000003", 2011, "series"), ("tt0000002", 2010, "movie")]


@pytest.mark.parametrize(
    "name", ["Face/Off", "../../meta", "9", "Ⅻ", "七人の侍", "كفرناحوم", "a?b#c%2F&d=e", "50/50"]
)
def test_a_name_of_any_characters_is_one_search(name: str, server: PosterServer) -> None:
    server.answers[catalogue("movie", name)] = metas({"id": ID, "name": name})
    [only] = server.finder().search(name)
    assert only.title == name
    assert server.paths == [catalogue("movie", name), catalogue("series", name)]


ODD: list[Any] = [None, True, 0, 1.5, "", "N/A", [], [[]], {}, "tt1", "tt1375666/../x", ["x"]]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_values_are_no_matches(server: PosterServer, odd: Any) -> None:
    server.answers |= {
        TMDB_SEARCH: tmdb_search(
            {"media_type": odd, "id": odd}, FILM | {"title": odd, "name": odd}
        ),
        tmdb_ids("movie", 27205): as_json({"imdb_id": odd}),
        OMDB: omdb_search({"Title": "a", "Year": odd, "imdbID": odd, "Type": odd, "Poster": odd}),
        catalogue("movie", "a"): metas({"id": odd, "name": odd, "releaseInfo": odd}),
        catalogue("series", "a"): as_json({"metas": odd}),
    }
    assert server.finder(tmdb_key=V3_KEY, omdb_key=OMDB_KEY).search("a") == []


# All of them


def search_in_vain(finder: PosterFinder, name: str = "inception") -> str:
    with pytest.raises(PosterServiceError) as caught:
        finder.search(name)
    return str(caught.value)


def everywhere(server: PosterServer, answer: Answer, name: str = "inception") -> None:
    for path in (TMDB_SEARCH, OMDB, catalogue("movie", name), catalogue("series", name)):
        server.answers[path] = answer


@pytest.mark.parametrize(
    "broken",
    [Answer(status=500), html(), Answer(b"[]"), Answer(hang_up=True), Answer(status=403)],
    ids=["down", "no JSON", "no object", "hangs up", "refuses"],
)
def test_a_search_with_every_service_down(server: PosterServer, broken: Answer) -> None:
    everywhere(server, broken)
    sentence = search_in_vain(server.finder(tmdb_key=V3_KEY, omdb_key=OMDB_KEY))
    for service in ("TMDB", "OMDb", "Cinemeta"):
        assert service in sentence
    assert V3_KEY not in sentence
    assert OMDB_KEY not in sentence


def test_services_are_asked_at_once(server: PosterServer) -> None:
    everywhere(server, Answer(stall=True))
    finder = server.finder(tmdb_key=V3_KEY, omdb_key=OMDB_KEY, seconds=0.5)
    assert search_in_vain(finder).count("did not answer in time") == 3
    assert len(server.requests) == 3  # in half a second, though each took as long


def test_one_service_is_enough(server: PosterServer) -> None:
    everywhere(server, Answer(status=500))
    server.answers[OMDB] = omdb_search({"Title": "Inception", "imdbID": ID, "Type": "movie"})
    [only] = server.finder(tmdb_key=V3_KEY, omdb_key=OMDB_KEY).search("inception")
    assert only.title_id == ID


def test_nothing_is_called_so(server: PosterServer) -> None:
    everywhere(server, Answer(status=404))
    finder = server.finder(tmdb_key=V3_KEY, omdb_key=OMDB_KEY)
    assert finder.search("inception") == []
    with pytest.raises(PosterNotFoundError, match="“inception”"):
        finder.find_by_name("inception")


def test_a_service_that_keeps_failing_is_left_out(server: PosterServer) -> None:
    finder = server.finder()
    for name in ("a", "b", "c"):
        everywhere(server, Answer(status=403), name)
        search_in_vain(finder, name)
    asked = len(server.requests)
    assert "left out for a while" in search_in_vain(finder, "d")
    assert len(server.requests) == asked


def test_an_answer_is_kept_and_a_failure_is_not(server: PosterServer) -> None:
    server.answers[catalogue("movie", "a")] = metas({"id": ID, "name": "A"})
    server.answers[OMDB] = Answer(status=500)
    finder = server.finder(omdb_key=OMDB_KEY)
    assert len(finder.search("a")) == 1
    server.answers[OMDB] = omdb_search({"Title": "A", "imdbID": "tt0000002", "Type": "movie"})
    assert len(finder.search("a")) == 2
    asked = len(server.requests)
    assert len(finder.search(" a ")) == 2
    assert len(server.requests) == asked


def test_the_whole_text_is_searched_where_the_year_finds_nothing(server: PosterServer) -> None:
    server.answers[catalogue("movie", "blade runner")] = metas(
        {"id": "tt0083658", "name": "Blade Runner", "releaseInfo": "1982"}
    )
    server.answers[catalogue("movie", "blade runner 2049")] = metas(
        {"id": "tt1856101", "name": "Blade Runner 2049", "releaseInfo": "2017"}
    )
    first, *_ = server.finder().search("blade runner 2049")
    assert first.title_id == "tt1856101"


def test_what_the_name_alone_found_outlives_a_failing_second_search(server: PosterServer) -> None:
    server.answers |= {
        catalogue("movie", "amelie"): metas({"id": ID, "name": "Amélie", "releaseInfo": "2001"}),
        catalogue("movie", "amelie 1998"): Answer(status=503),
    }
    finder = server.finder()
    assert [each.title_id for each in finder.search("amelie 1998")] == [ID]
    server.answers[catalogue("movie", "amelie 1998")] = metas({"id": "tt0000002", "name": "Amelie"})
    assert len(finder.search("amelie 1998")) == 2, "half an answer was kept"


def test_a_year_in_a_name_of_other_case_is_found_at_once(server: PosterServer) -> None:
    title = {"id": ID, "name": "Wonder Woman 1984", "releaseInfo": "2020"}
    server.answers[catalogue("movie", "wonder woman")] = metas(title)
    assert len(server.finder().search("wonder woman 1984")) == 1
    assert catalogue("movie", "wonder woman 1984") not in server.paths


def test_a_name_has_no_more_time_than_an_id(server: PosterServer) -> None:
    server.answers |= {
        catalogue("movie", "inception"): metas({"id": ID, "name": "Inception"}),
        TMDB_SEARCH: Answer(stall=True),
        MOVIE: cinemeta(server),
    }
    with pytest.raises(PosterServiceError, match="no time was left"):
        server.finder(tmdb_key=V3_KEY, seconds=0.5).find_by_name("inception")


def test_a_clear_name_has_its_poster(server: PosterServer) -> None:
    server.answers |= {
        catalogue("movie", "inception"): metas({"id": ID, "name": "Inception"}),
        MOVIE: cinemeta(server),
    }
    assert server.finder().find_by_name("inception 2010").title_id == ID


def test_an_unclear_name_has_its_matches(server: PosterServer) -> None:
    server.answers[catalogue("movie", "inception")] = metas(
        {"id": ID, "name": "Inception"}, {"id": "tt0000002", "name": "Inception"}
    )
    with pytest.raises(AmbiguousNameError, match="“inception”") as caught:
        server.finder().find_by_name("inception")
    assert [each.title_id for each in caught.value.matches] == [ID, "tt0000002"]
