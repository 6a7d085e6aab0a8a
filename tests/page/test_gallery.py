"""The plots of a visit: votes, comparison, and what can be taken along."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from poster2plot.page.downloads import as_csv
from poster2plot.page.saved_visits import KeptPlot, as_archive, as_json
from poster2plot.page.share_card import SIZE
from support.app_page import open_tab, upload
from support.drawn_posters import draw_poster, encode


@pytest.fixture
def page(app: AppTest) -> AppTest:
    upload(app, *((f"{c}.png", encode(draw_poster(c))) for c in ("navy", "darkred")))
    return open_tab(app, "History")


def exported(page: AppTest) -> tuple[list[dict[str, Any]], list[dict[str, str]], bytes]:
    """What the downloads of all plots have in them: JSON, CSV, and the ZIP."""
    state = page.session_state
    votes = state.votes if "votes" in state else {}
    plots = [KeptPlot(each, votes.get(key)) for key, each in state.written_plots.items()]
    archive = as_archive(plots)
    table = io.StringIO(as_csv(plots))
    return json.loads(saved_visits_json(archive)), list(csv.DictReader(table)), archive


def saved_visits_json(archive: bytes) -> bytes:
    return zipfile.ZipFile(io.BytesIO(archive)).read("plots.json")


def test_a_vote_is_kept_and_taken_along(page: AppTest):
    votes = [group for group in page.button_group if (group.key or "").startswith("vote ")]
    assert len(votes) == 2
    votes[0].set_value("Good").run()
    page.run()
    assert not page.exception
    records, rows, archive = exported(page)
    assert sorted(each["vote"] for each in records) == ["", "good"]
    assert [row["vote"] for row in rows] == [each["vote"] for each in records]
    assert [row["plot"] for row in rows] == [each["plot"] for each in records]
    cards = zipfile.ZipFile(io.BytesIO(archive))
    first, second = (name for name in cards.namelist() if name.startswith("cards/"))
    assert {first[10:], second[10:]} == {"navy.png", "darkred.png"}
    with Image.open(io.BytesIO(cards.read(second))) as card:
        assert card.size == SIZE
    assert any("Your vote: good" in each.value for each in page.tabs[1].caption)
    again = [group for group in page.button_group if (group.key or "").startswith("vote ")]
    again[0].set_value(None).run()
    assert not any(each["vote"] for each in exported(page)[0])


def test_two_plots_can_be_compared(page: AppTest):
    page.slider("guidance").set_value(2.0).run()
    for place in (0, -1):
        [button for button in page.button if button.label == "Compare"][place].click().run()
    assert not page.exception
    said = [each.value for each in page.tabs[1].caption]
    assert [each for each in said if each.startswith("Follow the poster: ")] == [
        "Follow the poster: 2",
        "Follow the poster: 1",
    ]
    assert sum(button.label == "Compared" for button in page.button) == 2
    next(button for button in page.button if button.label == "Compared").click().run()
    assert any("Choose another plot" in each.value for each in page.tabs[1].caption)


def test_what_is_forgotten_is_not_compared_any_more(app: AppTest):
    colors = ("navy", "darkred", "green")
    page = open_tab(
        upload(app, *((f"{color}.png", encode(draw_poster(color))) for color in colors)), "History"
    )

    def press(label: str, place: int = 0) -> None:
        [*(button for button in page.button if button.label == label)][place].click().run()
        assert not page.exception

    press("Compare")
    press("Compare")  # of those that are left
    press("Forget", place=1)
    assert sum(button.label == "Compared" for button in page.button) == 1
    press("Compare")
    assert sum(button.label == "Compared" for button in page.button) == 2


def test_the_wall_can_begin_with_the_oldest(page: AppTest):
    def on_the_wall() -> list[str]:
        captions = [each.value for each in page.tabs[1].caption]
        return [each for each in captions if each.endswith(r"\.png")]

    newest_first = on_the_wall()
    assert len(newest_first) == 2
    next(button for button in page.button if button.label == "Oldest first").click().run()
    assert on_the_wall() == newest_first[::-1]
    next(button for button in page.button if button.label == "Newest first").click().run()
    assert on_the_wall() == newest_first


def test_differing_settings_stand_beside_compared_plots(app: AppTest):
    page = open_tab(upload(app, ("navy.png", encode(draw_poster()))), "History")
    page.slider("guidance").set_value(2.0).run()
    for _ in range(2):
        next(button for button in page.button if button.label == "Compare").click().run()
    said = [each.value for each in page.tabs[1].caption]
    assert "Follow the poster: 2" in said
    assert not page.exception


def open_visit(page: AppTest, saved: bytes, name: str = "plots.zip") -> None:
    if len(page.file_uploader) == 1:
        next(each for each in page.button if each.label == "Open a saved visit").click().run()
    page.file_uploader[1].set_value((name, saved, "application/octet-stream")).run()
    assert not page.exception


def test_a_saved_visit_can_be_opened_again(page: AppTest):
    vote = next(group for group in page.button_group if (group.key or "").startswith("vote "))
    vote.set_value("Nonsense").run()
    records, rows, archive = exported(page)
    next(button for button in page.button if button.label == "Forget all").click().run()
    assert not page.session_state.written_plots
    open_visit(page, archive)
    assert page.tabs[1].success[0].value == r"2 plots were added\."
    assert exported(page)[:2] == (records, rows)
    open_visit(page, archive)
    assert len(page.session_state.written_plots) == 2  # the same


def test_plots_that_are_here_are_not_added_again(page: AppTest):
    open_visit(page, exported(page)[2])
    assert page.tabs[1].success[0].value == r"These plots are here already\."
    assert len(page.session_state.written_plots) == 2


def test_a_visit_goes_on_from_its_json(page: AppTest):
    vote = next(group for group in page.button_group if (group.key or "").startswith("vote "))
    vote.set_value("Good").run()
    records, rows, archive = exported(page)
    state = page.session_state
    plots = [KeptPlot(each, state.votes.get(key)) for key, each in state.written_plots.items()]
    saved = as_json(plots).encode()
    next(button for button in page.button if button.label == "Forget all").click().run()
    open_visit(page, saved, "plots.json")
    assert exported(page)[:2] == (records, rows)
    assert all(Image.open(io.BytesIO(each.picture)) for each in state.written_plots.values())
    open_visit(page, archive)
    assert len(page.session_state.written_plots) == 2  # the same


@pytest.mark.parametrize(
    "spoil",
    [
        lambda saved: saved[: len(saved) // 2],
        lambda _: b"[" * 100_000,
        lambda _: b'{"plots": []}',
        lambda saved: saved.replace(b"base64,", b"base64,?"),
        lambda saved: json.dumps([{**each, "picture": ""} for each in json.loads(saved)]).encode(),
    ],
)
def test_what_is_no_saved_json_is_refused(page: AppTest, spoil: Callable[[bytes], bytes]):
    saved = as_json([KeptPlot(each, None) for each in page.session_state.written_plots.values()])
    open_visit(page, spoil(saved.encode()), "plots.json")
    assert page.tabs[1].error
    assert len(page.session_state.written_plots) == 2


def changed(archive: bytes, name: str, data: bytes | None) -> bytes:
    """An archive with another file of that name, or without it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
        for each in old.namelist():
            if each != name:
                new.writestr(each, old.read(each))
        if data is not None:
            new.writestr(name, data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def damaged(archive: bytes, method: int) -> bytes:
    """Its records packed by a method, with the first bytes of what is packed changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        packed.writestr("plots.json", saved_visits_json(archive))
    head, name, body = buffer.getvalue().partition(b"plots.json")
    return head + name + bytes(byte ^ 0xFF for byte in body[:16]) + body[16:]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda _: b"no ZIP", "no visit that was saved here"),
        (lambda archive: archive[:-40], "no visit that was saved here"),
        (lambda archive: damaged(archive, zipfile.ZIP_DEFLATED), "no visit that was saved here"),
        (lambda archive: damaged(archive, zipfile.ZIP_BZIP2), "no visit that was saved here"),
        (lambda archive: damaged(archive, zipfile.ZIP_LZMA), "no visit that was saved here"),
        (lambda archive: changed(archive, "plots.json", None), "no visit that was saved here"),
        (lambda archive: changed(archive, "plots.json", b"[{}]"), "no visit that was saved here"),
        (lambda archive: changed(archive, "plots.json", b" " * 2**23), "no visit that was saved"),
        (lambda archive: changed(archive, "posters/001.jpg", None), "no visit that was saved here"),
        (lambda archive: changed(archive, "posters/001.jpg", bytes(2**22)), "no visit that was"),
        (lambda archive: changed(archive, "posters/001.jpg", b"no picture"), "a poster"),
        (
            lambda archive: changed(
                archive,
                "plots.json",
                json.dumps(json.loads(saved_visits_json(archive)) * 60).encode(),
            ),
            "at most 100 plots",
        ),
    ],
)
def test_what_is_no_saved_visit_is_refused(
    page: AppTest,
    spoil: Callable[[bytes], bytes],
    reason: str,
):
    open_visit(page, spoil(exported(page)[2]))
    assert reason in page.tabs[1].error[0].value
    assert len(page.session_state.written_plots) == 2
