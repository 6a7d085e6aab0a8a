import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from poster2plot import ImageError, InputError, Poster, PosterLookupError
from poster2plot.images.releasable_picture import ReleasablePicture
from poster2plot.inputs import LoadedPoster, Title, expand, load, looks_like_name
from support.drawn_posters import draw_poster, draw_titled_poster, encode
from support.other_user import as_nobody
from support.poster_server import (
    ID,
    MOVIE,
    PICTURE,
    Answer,
    PosterServer,
    catalogue,
    cinemeta,
    metas,
    serve_posters,
)


@pytest.fixture
def server() -> Iterator[PosterServer]:
    with serve_posters() as running:
        running.answers |= {
            MOVIE: cinemeta(running),
            PICTURE: Answer(encode(draw_poster("darkred"), "JPEG")),
        }
        yield running


def test_a_file_is_read(poster_file: Callable[..., Path], server: PosterServer):
    loaded = load(str(poster_file()), server.finder())
    assert loaded.image.mode == "RGB"
    assert loaded.poster is None
    assert not server.requests


@pytest.mark.parametrize("title", [ID, f"https://m.imdb.com/de/title/{ID}/?ref_=nv"])
def test_a_title_is_looked_up(title: str, server: PosterServer):
    loaded = load(title, server.finder())
    assert loaded.image.size == (200, 300)
    assert loaded.poster is not None
    assert loaded.poster.title == "Inception"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("nowhere.jpg", InputError),
        ("nm0000138", PosterLookupError),
        ("https://example.com/poster.jpg", PosterLookupError),
        ("tt0000009", PosterLookupError),
        ("x" * 10_000, InputError),
        ("https://imdb.com/" + "x" * 10_000, PosterLookupError),
        ("a\0b", InputError),
        ("", InputError),
    ],
)
def test_what_cannot_be_used_is_an_error(
    source: str,
    error: type[Exception],
    server: PosterServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poster.png").write_bytes(encode(draw_poster()))  # is not what "" means
    assert list(expand([source])) == [source]
    with pytest.raises(error):
        load(source, server.finder())


@pytest.mark.parametrize(
    "name", ["inception", "1917", "9", "Ⅻ", "tt1375666x", "Face/Off", "七人の侍", "كفرناحوم", "a.b"]
)
def test_a_name_is_searched(name: str, server: PosterServer):
    server.answers[catalogue("movie", name)] = metas({"id": ID, "name": name})
    loaded = load(name, server.finder())
    assert loaded.poster is not None
    assert loaded.poster.title_id == ID


@pytest.mark.parametrize("source", ["tt1375666", "TT1375666", "imdb.com/title/tt1375666"])
def test_what_looks_like_an_id_is_an_id(source: str, server: PosterServer):
    load(source, server.finder())
    assert server.paths[0] == MOVIE


@pytest.mark.parametrize(
    "source", ["inception.jpg", "./inception", "/inception", "~/x", "films/", "x" * 1_000_000]
)
def test_a_path_that_leads_nowhere_is_not_searched(source: str, server: PosterServer):
    with pytest.raises(InputError):
        load(source, server.finder())
    assert not server.requests


def test_a_file_goes_before_a_name(
    poster_file: Callable[..., Path], server: PosterServer, monkeypatch: pytest.MonkeyPatch
):
    path = poster_file("picture.png").rename(poster_file("picture.png").parent / "inception")
    monkeypatch.chdir(path.parent)
    assert load("inception", server.finder()).poster is None
    assert not server.requests


def test_a_broken_picture_is_an_error(tmp_path: Path, server: PosterServer):
    (tmp_path / "poster.jpg").write_text("<html>")
    with pytest.raises(ImageError, match=r"poster\.jpg"):
        load(str(tmp_path / "poster.jpg"), server.finder())


def test_folders_are_walked_in_place(poster_file: Callable[..., Path], tmp_path: Path):
    first, second = poster_file("many/1.png"), poster_file("many/10.png")
    poster_file("many/2.png")
    sources = list(expand(["tt0133093", str(tmp_path / "many"), str(first)]))
    assert sources[0] == "tt0133093"
    assert sources[1] == str(first)
    assert sources[3] == str(second)
    assert sources[4] == str(first)


def test_a_folder_without_pictures_is_left_for_load(tmp_path: Path, server: PosterServer):
    assert list(expand([str(tmp_path)])) == [str(tmp_path)]
    with pytest.raises(InputError, match="holds no picture"):
        load(str(tmp_path), server.finder())


def test_a_printed_title_is_read_only_where_none_is_known():
    known = Poster(ID, b"", "Inception", 2010, None, "Cinemeta", "")
    titled = ReleasablePicture(lambda: draw_titled_poster("THE LAST RIVER"))
    posters = [
        LoadedPoster(titled),
        LoadedPoster(titled, known),
        LoadedPoster(titled, known, "The Sea"),
        LoadedPoster(ReleasablePicture(draw_poster)),
    ]
    assert posters[0].title is None
    found = [each.with_printed_title().title for each in posters]
    assert found[0] is not None
    assert (found[0].text, found[0].source) == ("The Last River", "read")
    assert found[0].confidence is not None
    assert 0.5 < found[0].confidence <= 1
    assert found[1:] == [Title("Inception", "IMDb"), Title("The Sea", "given"), None]


@pytest.mark.skipif(os.name != "posix", reason="folders may be read")
def test_a_folder_that_may_not_be_read_is_an_error(
    server: PosterServer, monkeypatch: pytest.MonkeyPatch
):
    with tempfile.TemporaryDirectory() as name:
        folder, closed = Path(name), Path(name, "closed")
        folder.chmod(0o755)
        closed.mkdir()
        (folder / "a.png").write_bytes(encode(draw_poster()))
        closed.chmod(0)
        monkeypatch.chdir(folder)
        try:
            with as_nobody():
                found = list(expand([name]))
                with pytest.raises(InputError, match="closed' may not be read"):
                    load(found[1], server.finder())
                assert not looks_like_name("closed/inside")
        finally:
            monkeypatch.undo()
            closed.chmod(0o700)
    assert found == [str(folder / "a.png"), str(closed)]
