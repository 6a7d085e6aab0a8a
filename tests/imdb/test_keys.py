import logging
from pathlib import Path

import pytest

from poster2plot import PosterFinder
from poster2plot.imdb.keys import clean_key, plain_value
from support.poster_server import OMDB, OMDB_KEY, TMDB, V3_KEY, V4_KEY, PosterServer, omdb, tmdb


@pytest.mark.parametrize("key", [V3_KEY, V4_KEY])
@pytest.mark.parametrize(
    "pasted",
    [
        "{}",
        " {}\r\n",
        '"{}"',
        "'{}'",
        "\" '{}' \"",
        "“{}”",
        "\ufeff{}",
        "{}\u200b",
        "Bearer {}",
        "bearer  {}",
        "Authorization: Bearer {}",
        "TMDB_API_KEY={}",
        "export TMDB_API_KEY='{}'",
        "api_key: {}",
        "https://api.themoviedb.org/3/movie/550?api_key={}&language=en",
        "{} # of my account",
        "'{}' # of my account",
        "{},",
        "{};",
        "<{}>",
        "Bearer: <{}>",
        '"api_key": "{}",',
    ],
)
def test_a_key_is_read_out_of_what_was_pasted(
    key: str, pasted: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert clean_key("TMDB", pasted.format(key)) == key
    assert clean_key("TMDB", pasted.format(f"{key[:9]}\n  {key[9:]}")) == key
    assert not caplog.records


def test_the_address_in_the_mail_of_omdb_holds_the_key() -> None:
    mail = f"http://www.omdbapi.com/?i=tt3896198&apikey={OMDB_KEY}"
    assert clean_key("OMDb", mail) == OMDB_KEY


@pytest.mark.parametrize(
    "nothing", ["", " ", '""', "''", "\ufeff", "Bearer ", "TMDB_API_KEY=", "# none", "<>"]
)
def test_nothing_is_no_key(nothing: str, caplog: pytest.LogCaptureFixture) -> None:
    assert clean_key("TMDB", nothing) == ""
    assert not caplog.records


@pytest.mark.parametrize(
    ("service", "key", "asked"),
    [
        ("TMDB", V3_KEY[:-1], True),
        ("TMDB", "your-api-key-here", True),
        ("TMDB", "eyJhbGciOiJIUzI1NiJ9", True),
        ("TMDB", "ключ", False),
        ("OMDb", "deadbee", True),
        ("OMDb", V3_KEY, True),
    ],
)
def test_a_key_that_cannot_be_right_is_told_and_not_shown(
    service: str, key: str, asked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert clean_key(service, key) == (key if asked else "")
    [record] = caplog.records
    assert f"The key of {service} cannot be right" in record.getMessage()
    assert key not in record.getMessage()


def test_services_get_the_clean_keys(
    server: PosterServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMDB_API_KEY", f'"Bearer {V4_KEY}"\n')
    monkeypatch.setenv("OMDB_API_KEY", f"'{OMDB_KEY}'")
    monkeypatch.setenv("POSTER2PLOT_IMDB_SUGGESTIONS", '"0"')
    monkeypatch.setenv("POSTER2PLOT_CACHE_DIR", '"off"')
    server.answers |= {TMDB: tmdb(poster_path=None), OMDB: omdb(server)}
    finder = PosterFinder.from_environment(services=server.services())
    assert finder.find("tt1375666").service == "OMDb"
    by_tmdb, by_omdb, *_ = server.requests
    assert by_tmdb.headers["Authorization"] == f"Bearer {V4_KEY}"
    assert by_omdb.query["apikey"] == [OMDB_KEY]
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("off", ["off", "None", "false", "0", "no", "off # no cache", "'off' # no"])
def test_no_cache_is_said_in_several_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, off: str
) -> None:
    monkeypatch.setenv("POSTER2PLOT_CACHE_DIR", off)
    assert PosterFinder.from_environment()._cache is None
    monkeypatch.setenv("POSTER2PLOT_CACHE_DIR", f"{tmp_path}/#1")
    cache = PosterFinder.from_environment()._cache
    assert cache is not None
    assert cache.folder == tmp_path / "#1"


def test_a_folder_may_have_blanks_within() -> None:
    assert plain_value(' "/home/me/my posters" ') == "/home/me/my posters"
