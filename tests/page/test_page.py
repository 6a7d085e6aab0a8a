"""The page's script, driven without a browser."""

import gc
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from threading import Event

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.runtime.scriptrunner import StopException
from streamlit.testing.v1 import AppTest

from poster2plot import Candidate, Poster2Plot, WordAttention
from poster2plot.page import cached_resources, results, served_attention
from poster2plot.page.announcements import Announcer
from poster2plot.page.inputs import EXAMPLES, MOST_POSTERS
from poster2plot.page.results import MOST_QUEUED
from poster2plot.page.session_state import unhurried, waiting_page
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.app_page import SCRIPT, open_tab, plots, upload
from support.drawn_posters import draw_poster, encode
from support.poster_server import (
    ID,
    MOVIE,
    OMDB,
    OMDB_KEY,
    PICTURE,
    TMDB,
    V3_KEY,
    Answer,
    cinemeta,
    serve_posters,
)


@pytest.fixture
def page(app: AppTest) -> AppTest:
    return app


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


def test_nobody_is_told_of_a_plot_before_its_poster_has_come(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
):
    told: list[str] = []
    monkeypatch.setattr(Announcer, "say", lambda _, sentence: told.append(sentence))
    with serve_posters() as server:
        server.answers = {MOVIE: cinemeta(server), PICTURE: Answer(encode(draw_poster(), "JPEG"))}
        monkeypatch.setattr(cached_resources, "finder", server.finder)
        page.text_area[0].set_value(ID).run()
        assert told == ["Writing the plot.", "The plot is written."]
        told.clear()
        page.text_area[0].set_value("tt0000099").run()  # which no service knows
        assert [each.split(":")[0] for each in told] == ["tt0000099"]


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
    page.text_area[0].set_value("\n".join(f"nm{i:07}" for i in range(26))).run()
    assert len(page.error) == MOST_POSTERS
    assert "nm0000025" in page.error[0].value  # what came last is no further down


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


def test_the_pictures_of_examples_are_not_sent_with_every_run(page: AppTest):
    components = [each.proto.json for each in page.get("bidi_component")]
    [examples] = [each for each in components if "Example poster" in each]
    assert examples.count("pictures/small/") == len(EXAMPLES)
    assert "data:" not in examples


def test_tabs_that_nobody_looks_at_are_left_out(page: AppTest):
    upload(page, ("poster.png", encode(draw_poster())))
    _, history, game, _ = page.tabs
    assert not history.markdown
    assert not game.markdown
    _, history, game, _ = open_tab(page, "History").tabs
    assert plots(page) == [each.value.replace("\\", "") for each in history.markdown]
    assert not game.markdown
    assert len(plots(page)) == 1


def test_where_the_model_looked_is_found_out_when_somebody_asks(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
):
    attention, asked = Poster2Plot.attention, list[Candidate]()

    def counted(p2p: Poster2Plot, image: Image.Image, candidate: Candidate) -> list[WordAttention]:
        asked.append(candidate)
        return attention(p2p, image, candidate)

    monkeypatch.setattr(Poster2Plot, "attention", counted)
    page.slider("candidates").set_value(3)
    upload(page, ("poster.png", encode(draw_poster())))
    assert not page.exception
    [written] = page.session_state.written_plots.values()
    assert len(written.candidates) == 3
    assert asked == []
    client = TestClient(Starlette(routes=served_attention.routes()))
    answer = client.get(f"/attention/{written.token}.json")
    assert answer.headers["cache-control"] == "no-store"
    assert client.get(f"/attention/{written.token}.json").json() == answer.json()
    assert asked == written.candidates  # once
    rows, columns = answer.json()["grid"]
    assert rows * columns > 1
    shown = written.view["candidates"]
    for plot, words in zip(shown, answer.json()["plots"], strict=True):
        assert plot["words"] == plot["text"].split()
        assert len(words) == len(plot["words"])
        assert all(len(weights) == rows * columns for weights in words)
        assert all(max(weights) == 255 and min(weights) >= 0 for weights in words)


def test_where_the_model_looked_is_not_there_without_the_poster(page: AppTest):
    upload(page, ("poster.png", encode(draw_poster())))
    [written] = page.session_state.written_plots.values()
    client = TestClient(Starlette(routes=served_attention.routes()))
    assert client.get("/attention/nothing.json").status_code == 404
    upload(page)
    gc.collect()
    assert client.get(f"/attention/{written.token}.json").status_code == 404
    assert len(plots(page)) == 1


def test_a_visit_keeps_no_decoded_poster(page: AppTest):
    """Each may take 3 MB, and a visit may have twenty and is kept for minutes after it."""
    size = (401, 603)  # no other test's

    def decoded() -> int:
        gc.collect()
        return sum(isinstance(each, Image.Image) and each.size == size for each in gc.get_objects())

    poster = encode(draw_poster("navy").resize(size))
    upload(page, ("poster.png", poster), ("double.png", poster))
    [written] = page.session_state.written_plots.values()
    assert decoded() == 0
    client = TestClient(Starlette(routes=served_attention.routes()))
    assert client.get(f"/attention/{written.token}.json").is_success
    assert decoded() == 0
    page.session_state.not_to_rewrite = set(page.session_state.written_plots)
    page.session_state.written_plots = {}
    upload(page, ("poster.png", poster))
    assert not plots(page)
    assert decoded() == 0


def test_stop_holds_for_a_poster_that_is_still_fetched(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
):
    leaves, there = [True, True], Event()

    def leave(seconds: float) -> float:
        if leaves:  # as Streamlit ends a run when the visitor clicks
            leaves.pop()
            raise StopException
        return unhurried(seconds)

    monkeypatch.setattr(results, "unhurried", leave)
    with serve_posters() as server:
        server.answers = {
            MOVIE: replace(cinemeta(server), once=there),
            PICTURE: Answer(encode(draw_poster(), "JPEG")),
        }
        monkeypatch.setattr(cached_resources, "finder", server.finder)
        page.text_area[0].set_value(ID).run()
        page.button("stop").click().run()
        there.set()
        page.run()
        assert not plots(page)
        assert not leaves
        next(button for button in page.button if button.label == "Write it").click().run()
        assert len(plots(page)) == 1


@pytest.mark.usefixtures("app")
def test_a_link_of_another_model_says_so_of_its_poster_alone():
    opened = AppTest.from_file(SCRIPT, default_timeout=60)
    opened.query_params["example"], opened.query_params["model"] = "undertow-bay", "another"
    opened.run()
    assert any("made with another model" in info.value for info in opened.info)
    next(button for button in opened.button if button.label == "Remove").click().run()
    upload(opened, ("mine.png", encode(draw_poster())))
    assert not opened.info
    assert not opened.exception


def test_pages_look_less_often_where_many_wait():
    with ExitStack() as stack:
        assert unhurried(0.1) == 0.1
        stack.enter_context(waiting_page(Event()))
        assert unhurried(0.1) == 0.1
        for _ in range(29):
            stack.enter_context(waiting_page(Event()))
        assert 0.3 < unhurried(0.1) < 0.5
    assert unhurried(0.1) == 0.1


def test_sampling_has_its_own_settings(page: AppTest):
    page.segmented_control("search").set_value("Sampling").run()
    labels = {slider.label for slider in page.slider}
    assert {"Temperature", "Top-p"} <= labels
    assert "Beams" not in labels
    upload(page, ("poster.png", encode(draw_poster())))
    assert not page.exception
    assert len(plots(page)) == 1


def test_what_does_nothing_is_not_there(page: AppTest):
    page.slider("beams").set_value(1).run()
    assert "Length penalty" not in {slider.label for slider in page.slider}
    page.slider("candidates").set_value(2).run()
    assert "Length penalty" in {slider.label for slider in page.slider}


def test_numbers_can_be_typed(page: AppTest):
    page.number_input("guidance typed").set_value(3.3).run()
    assert page.slider("guidance").value == 3.3
    page.slider("guidance").set_value(2.0).run()
    assert page.number_input("guidance typed").value == 2.0
    page.button("preset Faithful").click().run()
    assert page.number_input("beams typed").value == 6
    page.segmented_control("search").set_value("Sampling").run()
    assert {f"{slider.key} typed" for slider in page.slider} | {"seed"} == {
        each.key for each in page.number_input
    }
    assert not page.exception


def last_settings(page: AppTest) -> tuple[bool, int, float]:
    settings = [*page.session_state.written_plots.values()][-1].record["settings"]
    return settings["sample"], settings["seed"], settings["guidance"]


def test_a_seed_can_be_kept_for_the_next_posters(page: AppTest):
    def press(label: str) -> None:
        next(button for button in page.button if button.label == label).click().run()
        assert not page.exception

    navy, green = (("a.png", encode(draw_poster(color))) for color in ("navy", "green"))
    guidance = upload(page, navy).slider("guidance").value
    assert "Keep the seed" not in {button.label for button in page.button}  # there is none
    press("Write another")
    press("Write another")
    press("Keep the seed")
    upload(page, green)
    assert last_settings(page) == (True, 2, guidance)
    page.slider("guidance").set_value(2.0).run()
    assert last_settings(page) == (True, 2, 2.0)
    press("Seed is kept")
    page.slider("guidance").set_value(3.0).run()
    assert last_settings(page) == (False, 0, 3.0)


def marked(page: AppTest) -> list[str]:
    """The presets with a check mark."""
    buttons = [button for button in page.button if (button.key or "").startswith("preset ")]
    return [button.label for button in buttons if button.proto.icon == ":material/check:"]


def test_presets_move_the_sliders_and_reset_moves_them_back(page: AppTest):
    before = {slider.key: slider.value for slider in page.slider}
    assert "Reset" in marked(page)
    page.button("preset Varied").click().run()
    assert not page.exception
    assert marked(page) == ["Varied"]
    assert page.slider("candidates").value == 4
    assert page.segmented_control("search").value == "Sampling"
    page.button("preset Reset").click().run()
    assert {slider.key: slider.value for slider in page.slider} == before


def test_what_is_forgotten_stays_forgotten(page: AppTest):
    upload(page, *((f"{c}.png", encode(draw_poster(c))) for c in ("navy", "darkred")))
    open_tab(page, "History")
    forget = next(button for button in page.button if button.label == "Forget")
    forget.click().run()
    assert not page.exception
    assert len(plots(page)) == 1
    assert not [button for button in page.button if button.label == "Write all"]
    again = next(button for button in page.button if button.label == "Write it")
    again.click().run()
    assert len(plots(page)) == 2


def test_what_was_stopped_is_written_at_once(page: AppTest):
    page.session_state.stopped = True
    upload(page, *((f"{c}.png", encode(draw_poster(c))) for c in ("navy", "darkred", "green")))
    assert not plots(page)
    page.button("write").click().run()
    assert not page.exception
    assert len(plots(page)) == 3
    assert not [button for button in page.button if button.key == "write"]


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


def test_a_missing_model_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("POSTER2PLOT_MODEL", '"./nowhere"\n')  # quotes of an --env-file
    cached_resources.load_ahead()
    assert "The model folder './nowhere' does not exist" in caplog.text
    page = AppTest.from_file(SCRIPT, default_timeout=60).run()
    assert not page.exception
    assert r"'\./nowhere'" in page.error[0].value
    kinds = [element.type for element in page.main]
    assert kinds.index("error") < kinds.index("text_area"), "below what is of no use"
