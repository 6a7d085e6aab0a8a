"""A plot beside the one that is written without the poster, or without its title."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from poster2plot import Poster2Plot, read_image
from poster2plot.page import cached_resources
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.app_page import PICTURED, plots, titles, upload
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID


def choices(page: AppTest) -> Any:
    [choices] = (each for each in page.button_group if (each.key or "").startswith("contrast "))
    return choices


def headings(page: AppTest) -> list[str]:
    return [each.value for each in page.header if each.value != "Settings"]


def test_a_plot_stands_beside_what_is_written_without_poster_or_title(
    titled_app: AppTest, monkeypatch: pytest.MonkeyPatch
):
    page = titled_app
    with titles(monkeypatch, name="The Sea"):
        page.text_area[0].set_value(ID).run()
        p2p = cached_resources.desk().p2p
        poster, settings = read_image(PICTURED), p2p.resolve()
        for part, image, title in (("poster", None, "The Sea"), ("title", poster, None)):
            choices(page).set_value(part).run()
            assert not page.exception
            assert headings(page) == [f"With the {part}", f"Without the {part}"]
            [[expected]] = p2p.generate([image], settings, [title])
            assert page.session_state.contrasts.popitem()[1] == expected.text
    assert len(plots(page)) == 1  # of the history
    choices(page).set_value(None).run()
    assert not headings(page)


def test_without_a_title_only_the_poster_can_be_left_out(app: AppTest):
    upload(app, ("poster.png", encode(draw_poster())))
    assert choices(app).options == ["Without the poster"]
    choices(app).set_value("poster").run()
    [text] = app.session_state.contrasts.values()
    upload(app, ("another.png", encode(draw_poster("white"))))
    assert not headings(app)  # another plot begins without one
    choices(app).set_value("poster").run()
    assert [*app.session_state.contrasts.values()] == [text, text]


def test_what_could_not_be_written_can_be_asked_for_again(
    app: AppTest, tiny: Poster2Plot, monkeypatch: pytest.MonkeyPatch
):
    strict, lenient = PlotService(tiny, Limits(plots=1)), PlotService(tiny)
    monkeypatch.setattr(cached_resources, "desk", lambda: strict)
    upload(app, ("poster.png", encode(draw_poster())))
    choices(app).set_value("poster").run()
    assert "more than 1 plots in a minute" in app.warning[0].value
    monkeypatch.setattr(cached_resources, "desk", lambda: lenient)
    choices(app).set_value(None).run()
    choices(app).set_value("poster").run()
    assert not app.warning
    assert len(app.session_state.contrasts) == 1
