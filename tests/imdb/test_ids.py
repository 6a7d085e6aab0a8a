import re
import time
import unicodedata

import pytest
from hypothesis import assume, given, settings, strategies

from poster2plot import InvalidTitleError
from poster2plot.imdb.ids import looks_like_id, looks_like_title, parse_title_id


@pytest.mark.parametrize(
    "text",
    [
        "tt1375666",
        " TT1375666\n",
        "Tt1375666",
        "https://www.imdb.com/title/tt1375666/",
        "https://www.imdb.com/title/tt1375666",
        "HTTPS://WWW.IMDB.COM/title/tt1375666/",
        "http://imdb.com/title/tt1375666/?ref_=fn_al_tt_1",
        "https://m.imdb.com/title/tt1375666/?ref_=ext_shr_lnk",
        "https://www.imdb.com/de/title/tt1375666/",
        "https://www.imdb.com/es-mx/title/tt1375666/",
        "https://www.imdb.com/title/tt1375666/mediaviewer/rm3426651392/?ref_=tt_ov_i",
        "https://www.imdb.com/title/tt1375666#cast",
        "https://www.imdb.com/title/tt1375666?season=1&ref_=ttep",
        "https://www.imdb.com/title/tt1375666/fullcredits/cast?ref_=tt#nm0000138",
        "https://www.imdb.com/title/tt1375666),",
        "https://www.imdb.com:443/title/tt1375666/",
        "https://pro.imdb.com/title/tt1375666/boxoffice",
        "www.imdb.com/title/tt1375666",
        "imdb.com/title/TT1375666",
        "//www.imdb.com/title/tt1375666/",
        "https://www.imdb.com/title/%74t1375666/",
        "https://www.imdb.com/title%2Ftt1375666",
        "https://www.imdb.com/title/1375666/",
        "https://www.imdb.com/fr/title/tt001375666/episodes/?season=1",
        "tt01375666",
        "tt00001375666",
        "%74t1375666",
        "tt1375666.",
        "tt1375666/",
        "(tt1375666)",
        "[imdbid-tt1375666]",
        "{imdb-tt1375666}",
        "“tt1375666”,",
        "imdb:tt1375666",
        "IMDb ID: tt1375666",
        "imdb://title/tt1375666",
        "imdb:1375666",
        "tt 1375666",
        "tt-1375666",
        "TT:1375666",
        "\ufefftt1375666",
        "tt\u200b13\u200d75666\u2060",
        "\xa0tt1375666\xa0",
        "<https://www.imdb.com/title/tt1375666/>",
        "ｔｔ１３７５６６６",
        "https://www.imdb.com/title/tt１３７５６６６/",
        "tt1375666?ref_=nv_sr_srsg_0",
        "tt1375666/?ref_=nv_sr_srsg_0#cast",
        "/title/tt1375666/",
        "title/tt1375666",
        "/de/title/tt1375666/mediaviewer/rm3426651392?ref_=tt",
        "/es-419/title/tt1375666?ref_=tt",
        "https//www.imdb.com/title/tt1375666/",
        "https:/www.imdb.com/title/tt1375666/",
        "https:///www.imdb.com/title/tt1375666/",
        "ttps://www.imdb.com/title/tt1375666/",
        "www.imdb.com./title/tt1375666",
        "tt1375666%20",
        "tt1375666%0A",
        "%20tt1375666",
        "%E2%80%8Btt1375666",
        "tt1375666\ufe0f",
        "tt137\u034f5666",
        "tt1375666:",
        "tt1375666?",
        "#tt1375666",
        "tt1375666#cast",
        "tt1375666 (2010)",
        "id=tt1375666",
        '"imdb_id": "tt1375666"',
        "tt1 375 666",
        "tt\xa01\xa0375\xa0666",
        "tt1375666¹",
        "tt1375666②.",
        "https://www.imdb.com/title/tt1375666/³",
        "[Inception](https://www.imdb.com/title/tt1375666/)",
        "Inception (2010) https://www.imdb.com/title/tt1375666/?ref_=x",
    ],
)
def test_ids_and_urls_give_the_canonical_id(text: str) -> None:
    assert parse_title_id(text) == "tt1375666"
    assert looks_like_title(text)
    assert looks_like_id(text)


@pytest.mark.parametrize(
    ("text", "title_id"),
    [
        ("tt98764", "tt0098764"),
        ("tt00038674", "tt0038674"),
        ("tt1", "tt0000001"),
        ("https://www.imdb.com/title/tt12", "tt0000012"),
        ("0133093", "tt0133093"),
        ("00000133093", "tt0133093"),
        ("12345678", "tt12345678"),
        ("tt0012345678", "tt12345678"),
    ],
)
def test_zeros_are_as_imdb_writes_them(text: str, title_id: str) -> None:
    assert parse_title_id(text) == title_id


@pytest.mark.parametrize(
    "text",
    [
        "Inception tt1375666",
        "tt1375666 Inception",
        "Inception (2010) {imdb-tt1375666}",
        "Inception (2010) [imdbid-TT1375666] Nolan",
        "Face/Off or Inception (tt1375666)",
        "tt1375666 or tt1375666",
    ],
)
def test_an_id_may_stand_beside_a_name(text: str) -> None:
    assert parse_title_id(text) == "tt1375666"
    assert looks_like_id(text)


@pytest.mark.parametrize(
    "text",
    ["Alien tt1", "tt1375666 tt0078748", "Alien att1375666", "xtt1375666 y", "tt0000000 (x)"],
)
def test_what_is_no_id_or_more_than_one_beside_a_name_is_none(text: str) -> None:
    with pytest.raises(InvalidTitleError):
        parse_title_id(text)
    assert not looks_like_id(text)


@pytest.mark.parametrize("text", ["1917", "300", "2012", "123456", "id: 2012", "9", "Alien³"])
def test_few_digits_alone_are_no_id(text: str) -> None:
    """They may be the name of a film."""
    with pytest.raises(InvalidTitleError, match="not an IMDb title"):
        parse_title_id(text)
    assert not looks_like_title(text)
    assert not looks_like_id(text)


@pytest.mark.parametrize("digits", [7, 8, 9, 10])
def test_an_id_has_seven_to_ten_digits(digits: int) -> None:
    assert parse_title_id("tt" + "1" * digits) == "tt" + "1" * digits
    assert looks_like_id("1" * digits)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \t\n", "empty"),
        ("\u200b\ufeff", "empty"),
        ("tt12345678901", "7 to 10 digits"),
        ("https://www.imdb.com/title/tt12345678901", "7 to 10 digits"),
        ("tt0000000", "7 to 10 digits"),
        ("(nm0000138)", "a person"),
        ("imdb:nm0000138", "not an IMDb title"),
        ("https://www.imdb.com/title/%2574t1375666/", "not the address of an IMDb title"),
        ("nm0000138", "a person"),
        ("https://www.imdb.com/name/nm0000138/", "a person"),
        ("https://www.imdb.com/name/nm0000138/mediaviewer/rm1/?title=tt1375666", "a person"),
        ("co0002663", "a company"),
        ("https://www.imdb.com/company/co0002663/", "a company"),
        ("ls052535080", "a list"),
        ("https://www.imdb.com/list/ls052535080/?ref_=tt1375666", "a list"),
        ("rm3426651392", "a single image"),
        ("vi2959588889", "a video"),
        ("ab1234567", "not an IMDb title"),
        ("tt1375666x", "not an IMDb title"),
        ("https://www.imdb.com/title/tt1375666x/", "not the address of an IMDb title"),
        ("https://www.imdb.com/", "not the address of an IMDb title"),
        ("https://www.imdb.com/chart/top/", "not the address of an IMDb title"),
        ("https://www.imdb.com/find/?q=tt1375666", "not the address of an IMDb title"),
        ("https://imdb.com.evil.example/title/tt1375666/", "not on imdb.com"),
        ("https://notimdb.com/title/tt1375666/", "not on imdb.com"),
        ("https://www.imdb.com@evil.example/title/tt1375666/", "not on imdb.com"),
        ("https://evil.example/www.imdb.com/title/tt1375666/", "not on imdb.com"),
        ("https://evil.example\\@www.imdb.com/title/tt1375666/", "not on imdb.com"),
        ("https://www.themoviedb.org/movie/27205", "not on imdb.com"),
        ("imdb.com.evil.example/title/tt1375666", "not on imdb.com"),
        ("https://[www.imdb.com/title/tt1375666", "not a valid URL"),
        ("ftp://www.imdb.com/title/tt1375666/", "not an IMDb title"),
        ("tt١٣٧٥٦٦٦", "not an IMDb title"),  # Arabic digits
        ("https://www.imdb.com/title/tt١٣٧٥٦٦٦/", "not the address of an IMDb title"),
        ("Inception", "not an IMDb title"),
        ("tt1375666\ntt0133093", "not an IMDb title"),
        ("tt13²75666", "not an IMDb title"),
        ("tt①③⑦⑤⑥⑥⑥", "not an IMDb title"),
        ("tt0111161 tt1375666", "not an IMDb title"),
        ("a https://imdb.com/title/tt1 https://imdb.com/title/tt2", "not an IMDb title"),
        ("a https://imdb.com.evil.example/title/tt1375666/", "not an IMDb title"),
        ("\x00\x1b[31m", "not an IMDb title"),
    ],
)
def test_anything_else_gets_a_sentence_of_its_own(text: str, says: str) -> None:
    with pytest.raises(InvalidTitleError) as caught:
        parse_title_id(text)
    sentence = str(caught.value)
    assert says in sentence
    assert sentence.endswith("give an IMDb title id such as tt0133093 or its URL.")
    assert sentence.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "tt1375666" * 120_000,
        " " * 1_000_000,
        "tt" + "1" * 1_000_000,
        "https://www.imdb.com/title/" + "a." * 500_000,
        "a" * 1_000_000,
        "a." * 500_000,
        "a-" * 1000,
    ],
)
def test_huge_text_is_turned_down_at_once(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(InvalidTitleError) as caught:
        parse_title_id(text)
    looks_like_title(text)
    assert time.perf_counter() - start < 1  # second
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    ["nm0000138", "ls052535080", "https://evil.example/", "m.imdb.com/name/nm1", "tt12345"],
)
def test_what_was_meant_as_a_title_looks_like_one(text: str) -> None:
    assert looks_like_title(text)


@pytest.mark.parametrize(
    "text",
    [
        "tt1375666.jpg",
        "posters/tt1375666",
        "poster.png",
        "imdb.com.jpg",
        "co2",
        "movies",
        "",
        ".",
        "title/tt1375666.jpg",
        "title/tt1375666/poster",
        "/title/tt1375666/0.png",
        "tt1375666#1.png",
        "tt1375666?.png",
    ],
)
def test_paths_do_not_look_like_titles(text: str) -> None:
    assert not looks_like_title(text)


def answer(text: str) -> str:
    """The id, or the sentence that there is instead."""
    try:
        return parse_title_id(text)
    except InvalidTitleError as error:
        return str(error)


@settings(deadline=None, derandomize=True)
@given(strategies.text() | strategies.from_regex(r"(tt|nm|https?://\S*imdb)\S*", fullmatch=True))
def test_any_text_gives_an_id_or_one_printable_sentence(text: str) -> None:
    looks_like_title(text)
    said = answer(text)
    assert re.fullmatch(r"tt[0-9]{7,10}", said) or (said.isprintable() and said.endswith("."))


@settings(deadline=None, derandomize=True)
@given(
    strategies.from_regex(r"tt[0-9]{7,10}", fullmatch=True),
    strategies.sampled_from(["", "https://", "HTTP://", "//"]),
    strategies.sampled_from(["imdb.com", "www.imdb.com", "m.imdb.com", "WWW.IMDB.COM:443"]),
    strategies.sampled_from(["", "de/", "fr-ca/"]),
    strategies.from_regex(r"(/[a-z]*)?(\?[a-z=&#%]*)?", fullmatch=True),
)
def test_an_id_is_found_in_any_title_url(
    title_id: str, scheme: str, host: str, language: str, rest: str
) -> None:
    assume(title_id.strip("t0"))
    expected = f"tt{title_id[2:].lstrip('0'):0>7}"
    assert parse_title_id(f"{scheme}{host}/{language}title/{title_id}{rest}") == expected


@settings(deadline=None, derandomize=True)
@given(
    strategies.text(
        # Those that are the same digits in another width or weight are plain after all.
        strategies.characters(categories=["Nd"]).filter(
            lambda char: not unicodedata.normalize("NFKC", char).isascii()
        ),
        min_size=7,
        max_size=10,
    )
)
def test_digits_of_other_scripts_are_no_id(digits: str) -> None:
    assert not answer(f"tt{digits}").startswith("tt")


@settings(deadline=None, derandomize=True)
@given(strategies.from_regex(r"(nm|co|ls|rm|vi|ev|ur)[0-9]{7,10}", fullmatch=True))
def test_what_is_no_title_is_never_one(other: str) -> None:
    for text in (other, f"https://www.imdb.com/name/{other}/"):
        assert "not a title" in answer(text)


@settings(deadline=None, derandomize=True)
@given(strategies.from_regex(r"[a-z]{1,9}\.(com|org|example)", fullmatch=True))
def test_other_sites_are_refused(host: str) -> None:
    assume(host != "imdb.com")
    for site in (host, f"imdb.com.{host}", f"imdb.com@{host}", f"{host}/imdb.com"):
        assert not answer(f"https://{site}/title/tt0133093/").startswith("tt")
