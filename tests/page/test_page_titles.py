"""Titles on the page: looked up, read from the poster, corrected, and searched by name."""

import time
from typing import Any

import pytest
from PIL import Image
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from poster2plot import read_image
from poster2plot.inputs import LoadedPoster
from poster2plot.page import cached_resources, session_state
from poster2plot.page.cards import Card
from poster2plot.page.escaping import escape_markdown
from poster2plot.page.share_card import share_card
from poster2plot.page.thumbnails import small_jpeg
from poster2plot.page.title_search import MOST_SHOWN, split_titles
from poster2plot.records import to_csv
from poster2plot.server.service import PlotService
from support.app_page import PICTURED, invented, open_tab, plots, titles, upload
from support.drawn_posters import draw_poster, draw_titled_poster, encode
from support.poster_server import (
    ID,
    MOVIE,
    PICTURE,
    Answer,
    catalogue,
    cinemeta,
    metas,
    serve_posters,
)
from support.toy_model import SEPARATOR, VOCABULARY


def test_a_looked_up_title_is_written_from(titled_app: AppTest, monkeypatch: pytest.MonkeyPatch):
    page = titled_app
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
    gallery = [each.value for each in open_tab(page, "History").tabs[1].caption]
    assert r"The Sea \(2010\)" in gallery


def test_a_poster_is_made_small_and_shown_once_while_its_title_is_read(
    titled_app: AppTest, monkeypatch: pytest.MonkeyPatch
):
    made, shown, told = list[Image.Image](), list[str](), list[str]()
    read_title, show_poster, progress = (
        PlotService.read_title,
        Card.show_poster,
        DeltaGenerator.progress,
    )

    def slowly(desk: PlotService, *args: Any) -> LoadedPoster:
        time.sleep(0.5)  # several looks at whether it is there
        return read_title(desk, *args)

    def counted(card: Card, picture: bytes, note: str = "") -> None:
        shown.append(note)
        show_poster(card, picture, note)

    def counted_jpeg(image: Image.Image) -> bytes:
        made.append(image)
        return small_jpeg(image)

    def noted(place: DeltaGenerator, value: float, text: str) -> None:
        told.append(text)
        progress(place, value, text)

    monkeypatch.setattr(PlotService, "read_title", slowly)
    monkeypatch.setattr(Card, "show_poster", counted)
    monkeypatch.setattr(DeltaGenerator, "progress", noted)
    monkeypatch.setattr(session_state, "small_jpeg", counted_jpeg)
    page = upload(titled_app, ("poster.png", encode(draw_titled_poster("THE LAST RIVER"))))
    assert page.text_input[0].value == "The Last River"
    assert shown == ["Reading the title …", ""]
    assert told[0] == "Reading 1 of 1 …"
    assert len(made) == 1


def test_a_printed_title_is_read_and_can_be_corrected(titled_app: AppTest):
    page = upload(titled_app, ("poster.png", encode(draw_titled_poster("THE LAST RIVER"))))
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


def test_titles_that_are_turned_off_are_not_read(titled_app: AppTest):
    titled_app.toggle("use_title").set_value(False).run()
    upload(titled_app, ("poster.png", encode(draw_titled_poster("THE LAST RIVER"))))
    assert not titled_app.text_input
    [written] = titled_app.session_state.written_plots.values()
    assert written.record["title"] is None


IDS = ["tt0078748", "tt1375666"]


@pytest.mark.parametrize(
    ("text", "ids", "names"),
    [
        ("tt1375666, nm0000138\ntt1375666", ["tt1375666", "nm0000138"], []),
        ("Good Bye, Lenin!", [], ["Good Bye, Lenin!"]),
        ("amelie 2001 ; 1917\n", [], ["amelie 2001", "1917"]),
        ("tt1375666, The Third Man", ["tt1375666"], ["The Third Man"]),
        (" https://www.imdb.com/title/tt0903747/  tt1375666", None, []),
        ("Alien tt0078748\nAlien", ["Alien tt0078748"], ["Alien"]),
        ("amelie, tt0078748 tt1375666; two tt0078748 ids tt1375666", IDS, ["amelie"]),
        ("", [], []),
    ],
)
def test_ids_are_told_from_names(text: str, ids: list[str] | None, names: list[str]):
    assert split_titles(text) == (text.split() if ids is None else ids, names)


def test_a_name_is_searched_and_a_match_is_written(app: AppTest, monkeypatch: pytest.MonkeyPatch):
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
        app.text_area[0].set_value("inception\nnothing").run()
        assert not app.exception
        assert not plots(app)
        assert "“nothing”" in app.warning[0].value
        match, other = (each for each in app.button if (each.key or "").startswith("match "))
        assert match.label == "**Inception**  \n2010, film"
        assert other.label == r"**Inception\: \*The\* Cobol Job**  \nfilm".replace(r"\n", "\n")
        match.click().run()
    assert not app.exception
    assert app.text_area[0].value == f"{ID}\nnothing"
    assert len(plots(app)) == 1


def test_of_many_names_and_matches_the_first_are_shown_and_the_others_told(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
):
    love = [{"id": f"tt{i:07}", "name": "Love", "releaseInfo": str(2000 + i)} for i in range(1, 10)]
    with serve_posters() as server:
        server.answers = {
            catalogue("movie", "love"): metas(*love),
            catalogue("series", "love"): metas(),
            catalogue("movie", "b"): metas(),
            catalogue("series", "b"): metas(),
        }
        monkeypatch.setattr(cached_resources, "finder", server.finder)
        app.text_area[0].set_value("love\nb\nb\nc\nd\ne").run()
    assert not app.exception
    assert len([each for each in app.button if (each.key or "").startswith("match ")]) == MOST_SHOWN
    captions = [each.value for each in app.caption]
    assert (
        "Which “love”? These are the likeliest 6 of 9; a year after the name narrows." in captions
    )
    assert "2 more names are searched once some of these are chosen or taken out." in captions
    told = [sentence for _, sentence in app.session_state.sentences]
    assert "6 of 9 titles found for love." in told


def test_a_search_that_fails_says_why(app: AppTest, monkeypatch: pytest.MonkeyPatch):
    with serve_posters() as server:
        monkeypatch.setattr(cached_resources, "finder", server.finder)
        server.answers = dict.fromkeys(
            [catalogue("movie", "a"), catalogue("series", "a")], Answer(status=500)
        )
        app.text_area[0].set_value("a").run()
    assert not app.exception
    assert "could be searched" in app.error[0].value


def test_a_model_without_titles_writes_from_the_poster_alone(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
):
    with titles(monkeypatch):
        app.text_area[0].set_value(ID).run()
    assert invented(app) == ["from the poster alone"]
    [written] = app.session_state.written_plots.values()
    assert written.record["title"].items() >= {"title": "Inception", "used": False}.items()
    assert "use_title" not in {each.key for each in app.toggle}


def test_a_paragraph_from_right_to_left_has_its_letters_in_no_isolate(
    titled_app: AppTest, monkeypatch: pytest.MonkeyPatch
):
    """In which no browser would look for the side that it begins on."""
    with titles(monkeypatch, name="قصة", description="رجل وحيد"):
        titled_app.text_area[0].set_value(ID).run()
        open_tab(titled_app, "History")
    assert "رجل وحيد" in [each.value for each in titled_app.markdown]
    [written] = titled_app.session_state.written_plots.values()
    assert written.label.startswith("قصة")
    for each in titled_app.caption:
        assert not each.value.startswith("\u2068")


def test_the_original_preset_writes_without_titles(titled_app: AppTest):
    for preset, used in (("Original", False), ("Reset", True)):
        titled_app.button(f"preset {preset}").click().run()
        assert not titled_app.exception
        assert titled_app.toggle("use_title").value is used


def test_a_hostile_title_is_shown_as_plain_text(
    titled_app: AppTest, monkeypatch: pytest.MonkeyPatch
):
    hostile = (
        f"=1{SEPARATOR}<script>alert(1)</script>[x](javascript:alert(1))\u202e$a$ :red[b] "
        "![c](//d.example/e)"
    )
    with titles(monkeypatch, name=hostile):
        titled_app.text_area[0].set_value(ID).run()
        open_tab(titled_app, "History")
    assert not titled_app.exception
    [written] = titled_app.session_state.written_plots.values()
    escaped = escape_markdown(written.label)
    assert [each.value for each in titled_app.caption].count(escaped) == 1  # of the gallery
    assert titled_app.text_input[0].value == written.record["title"]["title"]
    for each in [*titled_app.caption, *titled_app.markdown]:
        assert "alert" not in each.value.replace(escaped, "")
        assert "\u202e" not in each.value
    assert written.candidates[0].prompt_ids.count(VOCABULARY) == 1  # the separator
    assert to_csv([written.record]).splitlines()[1].startswith(f"{ID},'=1<")
    assert share_card(draw_poster(), written.record)
