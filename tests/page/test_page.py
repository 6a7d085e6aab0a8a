"""The page's script, driven without a browser."""

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from poster2plot import Poster2Plot, read_image
from poster2plot.page import cached_resources
from poster2plot.page.escaping import escape_markdown
from poster2plot.page.inputs import MOST_POSTERS
from poster2plot.page.results import MOST_QUEUED
from poster2plot.page.share_card import share_card
from poster2plot.page.title_search import split_titles
from poster2plot.records import to_csv
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.drawn_posters import draw_poster, draw_titled_poster, encode
from support.poster_server import (
    ID,
    MOVIE,
    OMDB,
    OMDB_KEY,
    PICTURE,
    TMDB,
    V3_KEY,
    Answer,
    catalogue,
    cinemeta,
    metas,
    serve_posters,
)
from support.toy_model import SEPARATOR, VOCABULARY

PICTURED = encode(draw_poster(), "JPEG")
SCRIPT = Path(__file__).parents[2] / "poster2plot" / "page" / "main.py"


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest leaves the page there, and a process that a later test spawns would run it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def page(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    monkeypatch.setenv("POSTER2PLOT_MODEL", str(tiny_folder))
    yield AppTest.from_file(SCRIPT, default_timeout=60).run()
    st.cache_data.clear()


def upload(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    values = [(name, data, "image/png") for name, data in files]
    return page.file_uploader[0].set_value(values).run()


def plots(page: AppTest) -> list[str]:
    return [each.record["plot"] for each in page.session_state.written_plots.values()]


def test_the_page_opens_without_a_plot(page: AppTest):
    assert not page.exception
    assert page.title[0].value == "Poster2Plot"
    assert "written_plots" not in page.session_state or not plots(page)
    assert any("CPU" in caption.value for caption in page.caption)


def test_the_model_is_no_work_for_the_garbage_collector(page: AppTest):
    """Streamlit collects garbage after each run of the page."""
    model = cached_resources.desk().p2p
    assert not any(each is model for each in gc.get_objects())


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


def test_what_is_no_title_is_explained(page: AppTest):
    page.text_area[0].set_value("nm0000138, https://example.com/title/tt1375666/").run()
    assert not page.exception
    assert len(page.error) == 2


def test_a_title_comes_with_the_services_synopsis(page: AppTest, monkeypatch: pytest.MonkeyPatch):
    with serve_posters() as server:
        server.answers = {
            MOVIE: cinemeta(server, description="A *thief* enters $dreams$."),
            PICTURE: Answer(encode(draw_poster(), "JPEG")),
        }
        monkeypatch.setattr(cached_resources, "finder", server.finder)
        page.text_area[0].set_value(ID).run()
    assert not page.exception
    assert not page.error
    assert len(plots(page)) == 1
    assert any(caption.value == r"Inception \(2010\)" for caption in page.caption)
    told = [each.value for each in page.markdown]
    assert "**What Cinemeta says it is about**" in told
    assert r"A \*thief\* enters \$dreams\$\." in told
    assert any("strem" in caption.value for caption in page.caption)


@pytest.fixture
def titled_page(titled_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The page of a model that takes titles."""
    monkeypatch.setenv("POSTER2PLOT_MODEL", str(titled_folder))
    yield AppTest.from_file(SCRIPT, default_timeout=60).run()
    st.cache_data.clear()


def invented(page: AppTest) -> list[str]:
    """Of each card, from what its plot was written."""
    found = [re.search(r"(from the poster.*) on CPU", each.value) for each in page.caption]
    return [each[1] for each in found if each]


@contextmanager
def titles(monkeypatch: pytest.MonkeyPatch, **said: str) -> Iterator[None]:
    """A service that knows one title."""
    with serve_posters() as server:
        server.answers = {MOVIE: cinemeta(server, **said), PICTURE: Answer(PICTURED)}
        monkeypatch.setattr(cached_resources, "finder", server.finder)
        yield


def test_a_looked_up_title_is_written_from(titled_page: AppTest, monkeypatch: pytest.MonkeyPatch):
    page = titled_page
    with titles(monkeypatch, name="The Sea", description="A man and his dog."):
        upload(page, ("poster.jpg", PICTURED))
        page.text_area[0].set_value(ID).run()
        assert invented(page) == ["from the poster and its title", "from the poster alone"]
        alone, with_title = page.session_state.written_plots.values()
        page.toggle("use_title").set_value(False).run()
        assert invented(page) == ["from the poster alone"] * 2
    assert not page.exception
    assert not page.error
    p2p = cached_resources.desk().p2p
    poster, settings = read_image(PICTURED), p2p.resolve()
    [[best]] = p2p.generate([poster], settings, ["The Sea"])
    assert with_title.record["plot"] == best.text
    assert with_title.label == "The Sea (2010)"
    assert with_title.record["title"]["used"] is True
    assert "The Sea,True," in to_csv([with_title.record])
    assert plots(page)[2:] == [alone.record["plot"]] * 2
    gallery = [each.value for each in page.tabs[1].caption]
    assert r"The Sea \(2010\)" in gallery


def test_a_printed_title_is_read_and_can_be_corrected(titled_page: AppTest):
    page = upload(titled_page, ("poster.png", encode(draw_titled_poster("THE LAST RIVER"))))
    assert page.text_input[0].value == "The Last River"
    assert any("Title read from the poster" in each.value for each in page.caption)
    page.text_input[0].set_value("The First River").run()
    assert any("Your title" in each.value for each in page.caption)
    page.text_input[0].set_value("").run()
    assert not page.exception
    titles = [each.record["title"] for each in page.session_state.written_plots.values()]
    assert [title and (title["title"], title["source"], title["used"]) for title in titles] == [
        ("The Last River", "read", True),
        ("The First River", "given", True),
        None,
    ]


def test_titles_that_are_turned_off_are_not_read(titled_page: AppTest):
    titled_page.toggle("use_title").set_value(False).run()
    upload(titled_page, ("poster.png", encode(draw_titled_poster("THE LAST RIVER"))))
    assert not titled_page.text_input
    [written] = titled_page.session_state.written_plots.values()
    assert written.record["title"] is None


@pytest.mark.parametrize(
    ("text", "ids", "names"),
    [
        ("tt1375666, nm0000138\ntt1375666", ["tt1375666", "nm0000138"], []),
        ("Good Bye, Lenin!", [], ["Good Bye, Lenin!"]),
        ("amelie 2001 ; 1917\n", [], ["amelie 2001", "1917"]),
        ("tt1375666, The Third Man", ["tt1375666"], ["The Third Man"]),
        (" https://www.imdb.com/title/tt0903747/  tt1375666", None, []),
        ("", [], []),
    ],
)
def test_ids_are_told_from_names(text: str, ids: list[str] | None, names: list[str]):
    assert split_titles(text) == (text.split() if ids is None else ids, names)


def test_a_name_is_searched_and_a_match_is_written(page: AppTest, monkeypatch: pytest.MonkeyPatch):
    with serve_posters() as server:
        server.answers = {
            MOVIE: cinemeta(server),
            PICTURE: Answer(PICTURED),
            catalogue("movie", "inception"): metas(
                {"id": ID, "name": "Inception", "releaseInfo": "2010"},
                {"id": "tt7321322", "name": "Inception: *The* Cobol Job"},
            ),
            catalogue("series", "inception"): metas(),
            catalogue("movie", "nothing"): metas(),
            catalogue("series", "nothing"): metas(),
        }
        monkeypatch.setattr(cached_resources, "finder", server.finder)
        page.text_area[0].set_value("inception\nnothing").run()
        assert not page.exception
        assert not plots(page)
        assert "“nothing”" in page.warning[0].value
        match, other = (each for each in page.button if each.key.startswith("match "))
        assert match.label == "**Inception**  \n2010, film"
        assert other.label == r"**Inception\: \*The\* Cobol Job**  \nfilm".replace(r"\n", "\n")
        match.click().run()
    assert not page.exception
    assert page.text_area[0].value == f"{ID}\nnothing"
    assert len(plots(page)) == 1


def test_a_search_that_fails_says_why(page: AppTest, monkeypatch: pytest.MonkeyPatch):
    with serve_posters() as server:
        monkeypatch.setattr(cached_resources, "finder", server.finder)
        server.answers = dict.fromkeys(
            [catalogue("movie", "a"), catalogue("series", "a")], Answer(status=500)
        )
        page.text_area[0].set_value("a").run()
    assert not page.exception
    assert "could be searched" in page.error[0].value


def test_a_model_without_titles_writes_from_the_poster_alone(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
):
    with titles(monkeypatch):
        page.text_area[0].set_value(ID).run()
    assert invented(page) == ["from the poster alone"]
    [written] = page.session_state.written_plots.values()
    assert written.record["title"].items() >= {"title": "Inception", "used": False}.items()
    assert "use_title" not in {each.key for each in page.toggle}


def test_the_original_preset_writes_without_titles(titled_page: AppTest):
    for preset, used in (("Original", False), ("Reset", True)):
        titled_page.button(f"preset {preset}").click().run()
        assert not titled_page.exception
        assert titled_page.toggle("use_title").value is used


def test_a_hostile_title_is_shown_as_plain_text(
    titled_page: AppTest, monkeypatch: pytest.MonkeyPatch
):
    hostile = (
        f"=1{SEPARATOR}<script>alert(1)</script>[x](javascript:alert(1))\u202e$a$ :red[b] "
        "![c](//d.example/e)"
    )
    with titles(monkeypatch, name=hostile):
        titled_page.text_area[0].set_value(ID).run()
    assert not titled_page.exception
    [written] = titled_page.session_state.written_plots.values()
    escaped = escape_markdown(written.label)
    assert [each.value for each in titled_page.caption].count(escaped) == 1  # of the gallery
    assert titled_page.text_input[0].value == written.record["title"]["title"]
    for each in [*titled_page.caption, *titled_page.markdown]:
        assert "alert" not in each.value.replace(escaped, "")
        assert "\u202e" not in each.value
    assert written.candidates[0].prompt_ids.count(VOCABULARY) == 1  # the separator
    assert to_csv([written.record]).splitlines()[1].startswith(f"{ID},'=1<")
    assert share_card(draw_poster(), written.record)


@pytest.mark.parametrize("trouble", [Answer(status=401), Answer(status=500), Answer(hang_up=True)])
def test_no_key_is_shown_or_logged(
    page: AppTest,
    trouble: Answer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
):
    caplog.set_level(0)
    with serve_posters() as server:
        server.answers = dict.fromkeys([TMDB, OMDB, MOVIE], trouble)
        finder = server.finder(tmdb_key=V3_KEY, omdb_key=OMDB_KEY)
        monkeypatch.setattr(cached_resources, "finder", lambda: finder)
        page.text_area[0].set_value(ID).run()
    assert "TMDB" in page.error[0].value
    shown = "".join(str(element.proto) for element in page.main)
    for output in (shown, caplog.text, *capfd.readouterr()):
        assert V3_KEY not in output
        assert OMDB_KEY not in output


def test_many_titles_are_too_many(page: AppTest):
    page.text_area[0].set_value("\n".join(f"nm{i:07}" for i in range(25))).run()
    assert len(page.error) == MOST_POSTERS
    assert "first 20 of 25" in page.warning[0].value


def test_nothing_is_computed_twice(page: AppTest, monkeypatch: pytest.MonkeyPatch):
    calls = []
    submit = Poster2Plot.submit

    def counted(*args, **options):
        calls.append(args)
        return submit(*args, **options)

    monkeypatch.setattr(Poster2Plot, "submit", counted)
    poster = ("poster.png", encode(draw_poster()))
    upload(page, poster)
    page.run()
    upload(page, poster, ("again.png", poster[1]))
    assert len(calls) == 1
    assert any("same picture" in caption.value for caption in page.caption)


def test_candidates_are_kept_with_their_attention(page: AppTest):
    page.slider("candidates").set_value(3)
    upload(page, ("poster.png", encode(draw_poster())))
    assert not page.exception
    [written] = page.session_state.written_plots.values()
    assert len(written.candidates) == 3
    for candidate, words in zip(written.candidates, written.attention, strict=True):
        assert [each.word for each in words] == candidate.text.split()


def test_sampling_has_its_own_settings(page: AppTest):
    page.segmented_control("search").set_value("Sampling").run()
    labels = {slider.label for slider in page.slider}
    assert {"Temperature", "Top-p"} <= labels
    assert "Beams" not in labels
    upload(page, ("poster.png", encode(draw_poster())))
    assert not page.exception
    assert len(plots(page)) == 1


def test_presets_move_the_sliders_and_reset_moves_them_back(page: AppTest):
    before = {slider.key: slider.value for slider in page.slider}
    page.button("preset Varied").click().run()
    assert not page.exception
    assert page.slider("candidates").value == 4
    assert page.segmented_control("search").value == "Sampling"
    page.button("preset Reset").click().run()
    assert {slider.key: slider.value for slider in page.slider} == before


def test_what_is_forgotten_stays_forgotten(page: AppTest):
    upload(page, *((f"{c}.png", encode(draw_poster(c))) for c in ("navy", "darkred")))
    forget = next(button for button in page.button if button.label == "Forget")
    forget.click().run()
    assert not page.exception
    assert len(plots(page)) == 1
    again = next(button for button in page.button if button.label == "Write it")
    again.click().run()
    assert len(plots(page)) == 2


def test_every_slider_at_its_ends(page: AppTest):
    upload(page, ("poster.png", encode(draw_poster())))
    for end in ("min", "max"):
        for slider in page.slider:
            slider.set_value(getattr(slider, end))
        page.run()
        assert not page.exception
        assert not page.error


def test_a_refused_poster_can_be_asked_for_again(
    page: AppTest, tiny: Poster2Plot, monkeypatch: pytest.MonkeyPatch
):
    strict = PlotService(tiny, Limits(plots=1))
    monkeypatch.setattr(cached_resources, "desk", lambda: strict)
    upload(page, *((f"{c}.png", encode(draw_poster(c))) for c in ("navy", "darkred")))
    assert not page.exception
    assert len(plots(page)) == 1
    assert "more than 1 plots in a minute" in page.warning[0].value
    lenient = PlotService(tiny)
    monkeypatch.setattr(cached_resources, "desk", lambda: lenient)
    next(button for button in page.button if button.label == "Write it").click().run()
    assert len(plots(page)) == 2


def test_a_plot_that_fails_is_one_sentence(
    page: AppTest, tiny: Poster2Plot, monkeypatch: pytest.MonkeyPatch
):
    broken = copy(tiny)
    broken.tokenizer = None
    monkeypatch.setattr(cached_resources, "desk", lambda: PlotService(broken))
    upload(page, ("poster.png", encode(draw_poster())))
    assert not page.exception
    assert page.error[0].value == r"The plot could not be written; try again later\."
    assert not plots(page)


def test_more_posters_than_wait_at_once_are_all_written(page: AppTest):
    colors = [f"#{i:02x}3060" for i in range(0, 250, 20)]
    upload(page, *((f"{color}.png", encode(draw_poster(color))) for color in colors))
    assert not page.exception
    assert len(plots(page)) == len(colors) > MOST_QUEUED


def test_a_missing_model_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POSTER2PLOT_MODEL", "./nowhere")
    page = AppTest.from_file(SCRIPT, default_timeout=60).run()
    assert not page.exception
    assert "nowhere" in page.error[0].value
