"""The cards by HTTP."""

import gc
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from poster2plot import Candidate, GenerationSettings
from poster2plot.page import served_cards
from poster2plot.page.made_once import MadeOnce
from poster2plot.page.served_cards import address_of_card, routes
from poster2plot.page.session_state import WrittenPlots
from poster2plot.page.share_card import plot_card
from poster2plot.page.thumbnails import small_jpeg
from poster2plot.records import plot_record
from support.drawn_posters import draw_poster


def written(plot: str) -> WrittenPlots:
    candidates = [Candidate(plot, 0, (1,), (0,))]
    settings = GenerationSettings()
    record = plot_record(
        "a file", candidates, model="a model", device="cpu", settings=settings, seconds=1
    )
    return WrittenPlots("a file", small_jpeg(draw_poster()), candidates, record, {})


@pytest.mark.parametrize("base", ["", "/posters"])
def test_a_card_is_there_for_as_long_as_its_plots(base: str):
    client = TestClient(Starlette(routes=routes(base)))
    one, other = written("A man."), written("A dog.")
    for plots in (one, other):
        answer = client.get(f"{base}/{address_of_card(plots)}")
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.content == plot_card(plots.picture, plots.record)
    address = f"{base}/{address_of_card(one)}"
    del one, plots
    gc.collect()
    assert client.get(address).status_code == 404
    assert client.get(f"{base}/{address_of_card(other)}").status_code == 200


def test_a_card_has_an_address_of_its_own_that_stays():
    one, same = written("A man."), written("A man.")
    assert address_of_card(one) == address_of_card(one) != address_of_card(same)


def test_a_card_is_drawn_once_however_often_it_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    drawn = []

    def counted(*of: Any) -> bytes:
        drawn.append(of)
        return plot_card(*of)

    monkeypatch.setattr(served_cards, "plot_card", counted)
    client = TestClient(Starlette(routes=routes()))
    plots = written("A man.")
    address = address_of_card(plots)
    first = client.get(f"/{address}").content
    assert {client.get(f"/{address}").content for _ in range(3)} == {first}
    assert len(drawn) == 1


def test_what_is_made_is_gone_with_the_plots_and_never_too_much():
    made = MadeOnce(lambda plots: plots.label, most=2)
    kept = [written("A man.") for _ in range(3)]
    assert [made(plots) for plots in kept] == ["a file"] * 3
    assert len(made) == 2
    kept.clear()
    gc.collect()
    assert len(made) == 0


def test_as_much_is_kept_as_there_is_room_for():
    made = MadeOnce(lambda plots: plots.label, most=8)
    kept = [written("A man.") for _ in range(8)]
    assert [made(plots) for plots in kept] == ["a file"] * 8
    assert len(made) == 8


@pytest.mark.parametrize("name", ["nothing.png", "..%2Fnothing.png", "x.jpg"])
def test_what_no_visit_keeps_is_not_there(name: str):
    assert TestClient(Starlette(routes=routes())).get(f"/cards/{name}").status_code == 404
