"""The page's script, driven without a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from poster2plot import Poster2Plot, PosterFinder
from tests.conftest import draw_poster, encode
from tests.poster_server import ID, MOVIE, PICTURE, Answer, cinemeta, serve_posters

SCRIPT = Path(__file__).parent.parent / "streamlit_app.py"


@pytest.fixture
def page(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    monkeypatch.setenv("POSTER2PLOT_MODEL", str(tiny_folder))
    yield AppTest.from_file(SCRIPT, default_timeout=60).run()
    st.cache_resource.clear()
    st.cache_data.clear()


def upload(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    values = [(name, data, "image/png") for name, data in files]
    return page.file_uploader[0].set_value(values).run()


def plots(page: AppTest) -> list[str]:
    return [m.value for m in page.markdown if m.value.startswith("#### ")]


def test_the_page_opens_without_a_plot(page: AppTest):
    assert not page.exception
    assert page.title[0].value == "Poster2Plot"
    assert not plots(page)
    assert any("CPU" in caption.value for caption in page.caption)


def test_each_upload_gets_its_plot(page: AppTest):
    files = [(f"{c}.png", encode(draw_poster(c))) for c in ("navy", "darkred")]
    upload(page, *files)
    assert not page.exception
    assert len(plots(page)) == 2
    assert sum("Invented by" in caption.value for caption in page.caption) == 2


def test_a_bad_upload_leaves_the_others_alone(page: AppTest):
    upload(page, ("bad.png", b"not a picture"), ("good.png", encode(draw_poster())))
    assert not page.exception
    assert len(page.error) == 1
    assert len(plots(page)) == 1


def test_an_example_gives_a_plot_with_one_click(page: AppTest):
    page.button[0].click().run()
    assert not page.exception
    assert len(plots(page)) == 1


def test_what_is_no_title_is_explained(page: AppTest):
    page.text_input[0].set_value("nm0000138, https://example.com/title/tt1375666/").run()
    assert not page.exception
    assert len(page.error) == 2


def test_a_title_comes_with_the_services_synopsis(page: AppTest, monkeypatch: pytest.MonkeyPatch):
    with serve_posters() as server:
        server.answers = {
            MOVIE: cinemeta(server, description="A *thief* enters $dreams$."),
            PICTURE: Answer(encode(draw_poster(), "JPEG")),
        }
        finder = server.finder()
        monkeypatch.setattr(PosterFinder, "from_environment", lambda *_: finder)
        page.text_input[0].set_value(ID).run()
    assert not page.exception
    assert not page.error
    assert len(plots(page)) == 1
    assert any(caption.value == r"Inception \(2010\)" for caption in page.caption)
    [expander] = page.expander
    assert "Cinemeta" in expander.label
    assert expander.markdown[0].value == r"A \*thief\* enters \$dreams\$\."
    assert "strem" in expander.caption[0].value


def test_nothing_is_computed_twice(page: AppTest, monkeypatch: pytest.MonkeyPatch):
    calls = []
    submit = Poster2Plot.submit

    def counted(*args, **options):
        calls.append(args)
        return submit(*args, **options)

    monkeypatch.setattr(Poster2Plot, "submit", counted)
    poster = ("poster.png", encode(draw_poster()))
    upload(page, poster)
    first = plots(page)
    page.run()
    upload(page, poster, ("again.png", poster[1]))
    assert len(calls) == 1
    assert plots(page) == first * 2


def test_candidates_are_listed(page: AppTest):
    page.slider("num_candidates").set_value(3)
    upload(page, ("poster.png", encode(draw_poster())))
    assert not page.exception
    assert [m.value[:2] for m in page.markdown if m.value[:1].isdigit()] == ["1.", "2.", "3."]


def test_sampling_has_its_own_settings(page: AppTest):
    page.segmented_control("search").set_value("Sampling").run()
    labels = {slider.label for slider in page.slider}
    assert {"Temperature", "Top-p"} <= labels
    assert "Beams" not in labels
    upload(page, ("poster.png", encode(draw_poster())))
    assert not page.exception
    assert len(plots(page)) == 1


def test_every_slider_at_its_ends(page: AppTest):
    upload(page, ("poster.png", encode(draw_poster())))
    for end in ("min", "max"):
        for slider in page.slider:
            slider.set_value(getattr(slider, end))
        page.run()
        assert not page.exception
        assert not page.error


def test_a_missing_model_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POSTER2PLOT_MODEL", "./nowhere")
    page = AppTest.from_file(SCRIPT, default_timeout=60).run()
    assert not page.exception
    assert "nowhere" in page.error[0].value
