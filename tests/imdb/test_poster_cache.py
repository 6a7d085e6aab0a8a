import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from poster2plot import PosterFinder, PosterNotFoundError, PosterServiceError
from poster2plot.imdb import poster_cache
from poster2plot.imdb.negative_cache import WITHOUT_SECONDS
from support.poster_server import (
    ID,
    METAHUB,
    MOVIE,
    TMDB,
    V3_KEY,
    Answer,
    PosterServer,
    cinemeta,
    tmdb,
)
from tests.imdb.conftest import POSTER, reason


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "posters"


@pytest.fixture
def cached(server: PosterServer, folder: Path) -> PosterFinder:
    """A finder whose cache holds one poster."""
    server.answers[MOVIE] = cinemeta(server, name="Amélie 愛")
    keeping = server.finder(cache_dir=folder)
    keeping.find(ID)
    server.requests.clear()
    return keeping


def test_a_cached_poster_is_not_asked_for_again(
    server: PosterServer, cached: PosterFinder, folder: Path
) -> None:
    poster = cached.find(f"https://m.imdb.com/title/{ID}")
    assert (poster.title, poster.image_bytes) == ("Amélie 愛", POSTER)
    assert server.requests == []
    assert [path.name for path in folder.iterdir()] == [f"{ID}.poster"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_the_owner_can_read_the_cache(cached: PosterFinder, folder: Path) -> None:
    assert cached is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / f"{ID}.poster").stat().st_mode) == 0o600


def test_a_cached_poster_expires(server: PosterServer, cached: PosterFinder, folder: Path) -> None:
    old = time.time() - poster_cache.CACHE_SECONDS - 60
    os.utime(folder / f"{ID}.poster", (old, old))
    cached.find(ID)
    assert MOVIE in server.paths
    server.requests.clear()
    cached.find(ID)
    assert server.requests == []


ABOUT = {"title": None, "year": None, "synopsis": None, "service": "x", "attribution": "x"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\xff\xfe",
        b"null\n" + POSTER,
        b"[]\n" + POSTER,
        b"{}\n" + POSTER,
        b"[" * 100_000 + b"\n",
        json.dumps(ABOUT | {"title_id": ID}).encode() + b"\n" + POSTER[:300],
        json.dumps(ABOUT | {"title_id": "tt0000001"}).encode() + b"\n" + POSTER,
        json.dumps(ABOUT | {"title_id": ID, "more": 1}).encode() + b"\n" + POSTER,
    ],
)
def test_a_damaged_cache_is_a_miss(
    server: PosterServer, cached: PosterFinder, folder: Path, content: bytes
) -> None:
    (folder / f"{ID}.poster").write_bytes(content)
    assert cached.find(ID).title == "Amélie 愛"
    assert MOVIE in server.paths


def test_a_cache_that_cannot_be_written_is_no_trouble(
    server: PosterServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
) -> None:
    server.answers[MOVIE] = cinemeta(server)
    file = tmp_path / "file"
    file.write_text("in the way")
    for place in (file, file / "below"):
        assert server.finder(cache_dir=place).find(ID).title == "Inception"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert server.finder(cache_dir=folder).find(ID).title == "Inception"
    assert list(folder.iterdir()) == []


def test_the_cache_drops_what_is_oldest_and_nothing_else(
    cached: PosterFinder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (folder / f"{ID}.poster").stat().st_size
    monkeypatch.setattr(poster_cache, "CACHE_BYTES", 2 * size + 1000)
    for age, name in ((10, "tt0000010"), (20, "tt0000020")):
        (folder / f"{name}.poster").write_bytes(bytes(size))
        os.utime(folder / f"{name}.poster", (time.time() - age,) * 2)
    (folder / "tt-notes.txt").write_text("not of the cache")
    (folder / f"{ID}.poster").unlink()
    cached.find(ID)
    left = {path.name for path in folder.iterdir()}
    assert left == {f"{ID}.poster", "tt0000010.poster", "tt-notes.txt"}


@pytest.mark.parametrize("on_disk", [True, False])
def test_only_services_that_failed_are_asked_again_within_a_day(
    server: PosterServer, folder: Path, on_disk: bool
) -> None:
    finder = server.finder(cache_dir=folder if on_disk else None, tmdb_key=V3_KEY)
    server.answers[TMDB] = tmdb(poster_path=None, title="Known to TMDB")
    server.answers[METAHUB] = Answer(status=403)
    reason(finder, PosterNotFoundError)
    server.requests.clear()
    server.answers[METAHUB] = Answer(POSTER)
    poster = finder.find(ID)
    assert (poster.service, poster.title) == ("Metahub", "Known to TMDB")
    assert server.paths == [METAHUB]


def test_a_title_without_a_poster_is_not_asked_for_again_within_a_day(
    server: PosterServer, folder: Path
) -> None:
    keeping = server.finder(cache_dir=folder)
    reason(keeping, PosterNotFoundError)
    server.requests.clear()
    server.answers[METAHUB] = Answer(POSTER)
    assert "within the last day" in reason(keeping, PosterNotFoundError)
    assert server.requests == []
    # A service that was not asked then may know more.
    server.answers[TMDB] = tmdb()
    assert server.finder(cache_dir=folder, tmdb_key=V3_KEY).find(ID).service == "TMDB"
    assert [path.name for path in folder.iterdir()] == [f"{ID}.poster"]


@pytest.mark.parametrize("how", ["refresh", "a day later", "damaged", "of another version"])
def test_a_title_without_a_poster_may_have_one_later(
    server: PosterServer, folder: Path, how: str
) -> None:
    keeping = server.finder(cache_dir=folder)
    reason(keeping, PosterNotFoundError)
    server.answers[METAHUB] = Answer(POSTER)
    entry = folder / f"{ID}.none"
    if how == "a day later":
        said = json.loads(entry.read_bytes())
        said["services"] = dict.fromkeys(said["services"], time.time() - WITHOUT_SECONDS - 60)
        entry.write_text(json.dumps(said))
    elif how == "damaged":
        entry.write_bytes(b"[")
    elif how == "of another version":
        entry.write_text(json.dumps({"title_id": ID, "services": ["Cinemeta", "Metahub"]}))
    assert keeping.find(ID, refresh=how == "refresh").service == "Metahub"
    assert [path.name for path in folder.iterdir()] == [f"{ID}.poster"]


def test_a_refresh_asks_for_what_is_cached(server: PosterServer, cached: PosterFinder) -> None:
    server.answers[MOVIE] = cinemeta(server, name="Anew")
    assert cached.find(ID, refresh=True).title == "Anew"
    assert cached.find(ID).title == "Anew"


def expire(folder: Path, seconds: float) -> None:
    old = time.time() - seconds - 60
    os.utime(folder / f"{ID}.poster", (old, old))


def test_what_has_expired_is_used_while_every_service_is_down_and_says_so(
    server: PosterServer, cached: PosterFinder, folder: Path
) -> None:
    expire(folder, poster_cache.CACHE_SECONDS)
    server.answers = dict.fromkeys([MOVIE, METAHUB], Answer(hang_up=True))
    poster = cached.find(ID)
    assert (poster.title, poster.image_bytes) == ("Amélie 愛", POSTER)
    assert "no service has the poster now" in poster.attribution
    assert "As found on 20" in poster.attribution
    expire(folder, poster_cache.EXPIRED_SECONDS)
    reason(cached, PosterServiceError)


def test_a_poster_that_is_gone_is_forgotten(
    server: PosterServer, cached: PosterFinder, folder: Path
) -> None:
    expire(folder, poster_cache.CACHE_SECONDS)
    server.answers.clear()
    reason(cached, PosterNotFoundError)
    assert [path.name for path in folder.iterdir()] == [f"{ID}.none"]
