"""Several posters in one request, and JSON instead of forms."""

import base64
import threading
import time
from functools import partial
from typing import Any

import pytest
import requests

from poster2plot import Poster2Plot, read_image
from poster2plot.server.http_api import routes
from poster2plot.server.http_types import MAX_POSTERS
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.api_server import post, serve_routes
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID, PosterServer

POSTERS = [encode(draw_poster(color)) for color in ("navy", "darkred", "teal")]
TEXTS = [base64.b64encode(poster).decode() for poster in POSTERS]


def test_each_gets_its_record_or_its_error_in_order(root: str, tiny: Poster2Plot):
    posters = [
        {"image": TEXTS[0], "name": "first.png"},
        {"image": base64.b64encode(b"no picture").decode(), "name": "second.png"},
        {"title": ID},
        {"title": "tt9999999"},
        {"image": TEXTS[1]},
    ]
    body = {"posters": posters, "num_candidates": 2}
    answer = requests.post(f"{root}/api/v1/plots", json=body, timeout=60)
    assert answer.status_code == 200
    first, second, third, fourth, fifth = answer.json()["results"]
    assert first["source"] == "first.png"
    assert len(first["candidates"]) == 2
    assert second["status"] == 415
    assert "retry_after" not in second
    assert third["title"]["title"] == "Inception"
    assert fourth["status"] == 404
    for result, poster in ((first, POSTERS[0]), (fifth, POSTERS[1])):
        assert result["plot"] == post(f"{root}/api/plot", poster, num_candidates="2").json()["plot"]


def test_files_of_a_form_with_their_titles(titled: Poster2Plot, services: PosterServer):
    service = PlotService(titled)
    files: list[tuple[str, Any]]
    files = [("image", (f"{i}.png", poster)) for i, poster in enumerate(POSTERS[:2])]
    with serve_routes(routes(lambda: service, services.finder)) as url:
        address = f"{url}/api/plots"
        titles = [("title", (None, text)) for text in ("The Sea", "")]
        given = requests.post(address, files=files + titles, timeout=60).json()["results"]
        plain = requests.post(address, files=files, timeout=60).json()["results"]
        one_title = requests.post(address, files=files + titles[:1], timeout=60)
        found = requests.post(address, data={"title": [ID, ID]}, timeout=60).json()["results"]
    [[with_title]] = titled.generate([read_image(POSTERS[0])], titles=["The Sea"])
    assert [each["source"] for each in given] == ["0.png", "1.png"]
    assert given[0]["plot"] == with_title.text
    assert given[1]["title"] is None
    assert [each["title"] for each in plain] == [None, None]
    assert one_title.status_code == 400
    assert [each["title"]["title"] for each in found] == ["Inception", "Inception"]


def test_there_are_only_so_many(root: str):
    bodies: tuple[dict[str, Any], ...]
    bodies = ({"posters": []}, {"posters": [{"title": ID}] * (MAX_POSTERS + 1)}, {})
    for body in bodies:
        answer = requests.post(f"{root}/api/v1/plots", json=body, timeout=60)
        assert answer.status_code == 400
        assert "1 to 8" in answer.json()["error"]
    files = [("image", ("a.png", POSTERS[0]))] * (MAX_POSTERS + 1)
    answer = requests.post(f"{root}/api/v1/plots", files=files, timeout=60)
    assert answer.status_code == 400
    assert "at most 8" in answer.json()["error"]


def test_each_of_several_counts_against_the_limits(tiny: Poster2Plot, services: PosterServer):
    body = {"posters": [{"image": text} for text in TEXTS]}
    for limits, written in ((Limits(plots=2), 2), (Limits(at_once=1), 1)):
        with serve_routes(routes(partial(PlotService, tiny, limits), services.finder)) as url:
            results = requests.post(f"{url}/api/plots", json=body, timeout=60).json()["results"]
        assert sum("plot" in each for each in results) == written
        refused = [each for each in results if "error" in each]
        assert {each["status"] for each in refused} == {429}
        assert all(1 <= each["retry_after"] <= 60 for each in refused)


def test_one_in_json(address: str, services: PosterServer, titled: Poster2Plot):
    body = {"image": TEXTS[0], "name": "a.png", "num_beams": 2, "early_stopping": "never"}
    record = requests.post(address, json=body, timeout=60).json()
    assert record["source"] == "a.png"
    assert record["settings"]["early_stopping"] == "never"
    assert record["plot"] == post(
        address, POSTERS[0], num_beams="2", early_stopping="never"
    ).json()["plot"]  # fmt: skip
    assert requests.post(address, json={"title": ID}, timeout=60).json()["source"] == ID
    with serve_routes(routes(lambda: PlotService(titled), services.finder)) as url:
        body = {"image": TEXTS[0], "title": "The Sea"}
        record = requests.post(f"{url}/api/plot", json=body, timeout=60).json()
    assert record["title"] == {"title": "The Sea", "source": "given", "used": True}


def test_who_hangs_up_is_not_written_for(tiny: Poster2Plot, services: PosterServer):
    """Another's poster holds the model until those of the one who hung up have left the queue."""
    reached, go_on = threading.Event(), threading.Event()

    def pause(*_: object) -> None:
        reached.set()
        assert go_on.wait(30)

    [held] = tiny.submit([draw_poster()], on_step=pause)
    assert reached.wait(30)
    service = PlotService(tiny, Limits(at_once=len(TEXTS)))
    body = {"posters": [{"image": text} for text in TEXTS]}
    with serve_routes(routes(lambda: service, services.finder)) as url:
        with pytest.raises(requests.Timeout):
            requests.post(f"{url}/api/v1/plots", json=body, timeout=2)
        deadline = time.monotonic() + 30
        labels = {"face": "api", "outcome": "cancelled"}
        counted = partial(
            service.metrics.registry.get_sample_value, "poster2plot_posters_total", labels
        )
        while counted() != len(TEXTS):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert tiny.waiting() == 0
        go_on.set()
        held.result(30)
        answer = requests.post(
            f"{url}/api/v1/plots", json=body, timeout=60
        )  # it is present no more
    assert all("plot" in each for each in answer.json()["results"])
