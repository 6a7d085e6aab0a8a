"""The game: which of four posters a plot was written for."""

import textwrap

import pytest
from streamlit.testing.v1 import AppTest

from poster2plot import Poster2Plot
from poster2plot.page import cached_resources
from poster2plot.page.escaping import escape_paragraph
from poster2plot.page.guess import CHOICES, Round, Score, _guess
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.app_page import open_tab, upload
from support.drawn_posters import draw_poster, encode


@pytest.fixture
def app(app: AppTest) -> AppTest:
    return open_tab(app, "Guess")


def next_round(page: AppTest) -> Round:
    page.button("guess next").click().run()
    assert not page.exception
    current: Round = page.session_state["guess game"].round
    return current


def test_a_round_has_a_plot_and_four_posters(app: AppTest):
    current = next_round(app)
    assert len(current.pictures) == CHOICES
    assert current.answer in current.pictures
    shown = textwrap.dedent(escape_paragraph(current.plot)).strip()  # as Streamlit trims it
    assert shown in [each.value for each in app.tabs[2].markdown]
    assert "guess next" not in {button.key for button in app.button}  # until there is a guess


def test_a_guess_is_counted_and_the_next_poster_is_another(app: AppTest):
    current = next_round(app)
    _guess(current, app.session_state["guess game"].score, current.answer)
    app.run()
    assert app.tabs[2].success[0].value == "Right!"
    assert any("1 of 1 right" in each.value for each in app.tabs[2].caption)
    assert next_round(app).answer != current.answer


def test_the_score_counts_streaks():
    score = Score()
    for right in (True, True, False, True):
        score.count(right=right)
    assert (score.right, score.played, score.streak) == (3, 4, 1)


def test_own_posters_can_be_guessed_once_there_are_four(app: AppTest):
    colors = ("navy", "darkred", "green", "purple")
    upload(app, *((f"{color}.png", encode(draw_poster(color))) for color in colors)).run()
    app.segmented_control("guess of").set_value("My posters").run()
    assert set(next_round(app).pictures) == {f"{color}.png" for color in colors}
    open_tab(app, "Posters")
    open_tab(app, "Guess")
    assert app.segmented_control("guess of").value == "My posters"


def test_posters_of_one_name_are_told_apart(app: AppTest):
    colors = ("navy", "darkred", "green", "purple")
    upload(app, *(("image.png", encode(draw_poster(color))) for color in colors)).run()
    app.segmented_control("guess of").set_value("My posters").run()
    names = {"image.png", *(f"image.png ({number})" for number in (2, 3, 4))}
    assert set(next_round(app).pictures) == names


def test_a_busy_model_is_one_sentence(
    app: AppTest, tiny: Poster2Plot, monkeypatch: pytest.MonkeyPatch
):
    strict = PlotService(tiny, Limits(plots=1))
    monkeypatch.setattr(cached_resources, "desk", lambda: strict)
    next_round(app)
    app.session_state["guess game"].round.guess = "something"
    app.run()
    app.button("guess next").click().run()
    assert not app.exception
    assert "more than 1 plots" in app.tabs[2].warning[0].value
    assert "guess next" in {button.key for button in app.button}  # to try again
