"""The plots of a visit: votes, comparison, and what can be taken along."""

import csv
import io
import json
import zipfile

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from poster2plot.page import downloads
from poster2plot.page.share_card import SIZE
from support.app_page import upload
from support.drawn_posters import draw_poster, encode


@pytest.fixture
def page(app: AppTest) -> AppTest:
    return upload(app, *((f"{c}.png", encode(draw_poster(c))) for c in ("navy", "darkred")))


def exported(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> tuple[list, list, zipfile.ZipFile]:
    """What the downloads of all plots have in them: JSON, CSV, cards."""
    state = page.session_state
    monkeypatch.setattr(downloads, "written_plots", lambda: state.written_plots)
    votes = state.votes if "votes" in state else {}
    monkeypatch.setattr(downloads, "vote_of", votes.get)
    keys = list(state.written_plots)
    return (
        json.loads(downloads._as_json(keys)),
        list(csv.DictReader(io.StringIO(downloads._as_csv(keys)))),
        zipfile.ZipFile(io.BytesIO(downloads._as_cards(keys))),
    )


def test_a_vote_is_kept_and_taken_along(page: AppTest, monkeypatch: pytest.MonkeyPatch):
    votes = [group for group in page.button_group if group.key.startswith("vote ")]
    assert len(votes) == 2
    votes[0].set_value("Good").run()
    page.run()
    assert not page.exception
    records, rows, cards = exported(page, monkeypatch)
    assert sorted(each["vote"] for each in records) == ["", "good"]
    assert [row["vote"] for row in rows] == [each["vote"] for each in records]
    assert [row["plot"] for row in rows] == [each["plot"] for each in records]
    first, second = cards.namelist()
    assert {first[4:], second[4:]} == {"navy.png", "darkred.png"}
    with Image.open(io.BytesIO(cards.read(second))) as card:
        assert card.size == SIZE
    assert any("Your vote: good" in each.value for each in page.tabs[1].caption)
    again = [group for group in page.button_group if group.key.startswith("vote ")]
    again[0].set_value(None).run()
    assert not any(each["vote"] for each in exported(page, monkeypatch)[0])


def test_two_plots_can_be_compared(page: AppTest):
    page.slider("guidance").set_value(2.0).run()
    for _ in range(2):
        next(button for button in page.button if button.label == "Compare").click().run()
    assert not page.exception
    assert [each.value for each in page.tabs[1].caption].count(r"guidance: 2\.0") in (0, 2)
    assert sum(button.label == "Compared" for button in page.button) == 2
    next(button for button in page.button if button.label == "Compared").click().run()
    assert any("Choose another plot" in each.value for each in page.tabs[1].caption)


def test_differing_settings_stand_beside_compared_plots(app: AppTest):
    page = upload(app, ("navy.png", encode(draw_poster())))
    page.slider("guidance").set_value(2.0).run()
    for _ in range(2):
        next(button for button in page.button if button.label == "Compare").click().run()
    said = [each.value for each in page.tabs[1].caption]
    assert r"guidance: 2\.0" in said
    assert not page.exception
