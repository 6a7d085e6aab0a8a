"""The HTTP API on a real server."""

import io
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from PIL import Image
from starlette.formparsers import MultiPartParser

from poster2plot import CheckpointError, Poster2Plot, read_image
from poster2plot.images.limits import MAX_BYTES
from poster2plot.server import http_bodies
from poster2plot.server.http_api import routes
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.api_server import post, serve_routes
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID, PosterServer

POSTER = encode(draw_poster())


@pytest.fixture
def busy(tiny: Poster2Plot, services: PosterServer) -> Iterator[str]:
    """An API that takes one poster a minute from each visitor."""
    service = PlotService(tiny, Limits(plots=1))
    with serve_routes(routes(lambda: service, services.finder)) as url:
        yield f"{url}/api/plot"


def test_an_image_gets_the_plot_that_the_library_writes(address: str, tiny: Poster2Plot):
    response = post(address, POSTER)
    assert response.status_code == 200
    record = response.json()
    [[best]] = tiny.generate([read_image(POSTER)])
    assert record["plot"] == best.text
    assert record["source"] == "poster.png"
    assert record["model"] == tiny.name


def test_settings_are_followed(address: str):
    record = post(
        address, POSTER, num_candidates="3", max_length="12", early_stopping="never", guidance="2.5"
    ).json()
    assert len(record["candidates"]) == 3
    assert record["settings"]["max_length"] == 12
    assert record["settings"]["early_stopping"] == "never"
    assert record["settings"]["guidance"] == 2.5
    sampled = post(address, POSTER, sample="true", seed="7").json()
    assert sampled["settings"]["sample"] is True


def test_a_title_brings_its_synopsis(address: str):
    record = post(address, title=ID).json()
    assert record["source"] == ID
    assert record["title"]["synopsis"] == "A thief."
    assert record["title"]["attribution"]


def test_a_title_beside_an_image_is_written_from(
    titled: Poster2Plot, services: PosterServer, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(0)
    with serve_routes(routes(lambda: PlotService(titled), services.finder)) as url:

        def record(image: bytes | None, **fields: str) -> dict[str, Any]:
            found: dict[str, Any] = post(f"{url}/api/plot", image, **fields).json()
            return found

        given = record(POSTER, title=" The Séa\r\nX-Log: forged\u202e ")
        plain = record(POSTER, title="")
        hidden = record(POSTER, title="\u200b")
        off = record(POSTER, title="The Séa", use_title="false")
        found = record(None, title=ID)
    line = "The Séa X-Log: forged"
    poster = read_image(POSTER)
    [[with_title]] = titled.generate([poster], titles=[line])
    [[without]] = titled.generate([poster])
    assert given["plot"] == with_title.text != without.text
    assert given["title"] == {"title": line, "source": "given", "used": True}
    for each in (plain, hidden, off):
        assert each["plot"] == without.text
    assert (plain["title"], hidden["title"]) == (None, None)
    assert off["title"] == {"title": "The Séa", "source": "given", "used": False}
    assert found["title"].items() >= {"title": "Inception", "source": "IMDb", "used": True}.items()
    assert "poster2plot.requests" in {each.name for each in caplog.records}
    assert "Séa" not in caplog.text
    assert "forged" not in caplog.text


def test_a_model_without_titles_says_that_it_passed_one_over(address: str):
    record = post(address, POSTER, title="The Sea").json()
    assert record["title"] == {"title": "The Sea", "source": "given", "used": False}
    assert record["plot"] == post(address, POSTER).json()["plot"]


@pytest.mark.parametrize(
    ("status", "image", "fields", "message"),
    [
        (400, None, {}, "a file named image"),
        (400, POSTER, {"title": ID}, "either"),
        (400, POSTER, {"beams": "4"}, "a field that is not known; the settings are num_beams"),
        (400, POSTER, {"num_beams": "many"}, "num_beams must be a whole number"),
        (400, POSTER, {"num_beams": "99"}, "between 1 and 16"),
        (400, POSTER, {"sample": "perhaps"}, "sample must be true or false"),
        (400, POSTER, {"guidance": "nan"}, "a number between 1 and 10"),
        (400, POSTER, {"max_length": "400"}, "at most"),
        (400, None, {"title": "nm0000138"}, "a person"),
        (400, None, {"title": ""}, "is empty"),
        (400, POSTER, {"read_title": "perhaps"}, "read_title must be true or false"),
        (400, POSTER, {"read_title": "true", "use_title": "false"}, "leave one out"),
        (404, None, {"title": "tt9999999"}, "No service has a poster"),
        (413, b"x" * (MAX_BYTES + 2**17), {}, "larger than 20 MB"),
        (415, b"not a picture", {}, "not in a format"),
        (422, POSTER[: len(POSTER) // 2], {}, "cut off or damaged"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    address: str, status: int, image: bytes | None, fields: dict[str, str], message: str
):
    response = post(address, image, **fields)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert message in response.json()["error"]


def test_other_bodies_and_methods_are_refused(address: str):
    assert requests.get(address, timeout=60).status_code == 405
    response = requests.post(address, data={"image": "text"}, timeout=60)
    assert response.status_code == 400
    assert requests.post(address, data={"title": ID}, timeout=60).status_code == 200


def test_pictures_stay_in_memory(address: str, monkeypatch: pytest.MonkeyPatch):
    """A file that were written to disk would find no folder to be in."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    large = io.BytesIO()
    Image.effect_noise((1500, 1500), 60).convert("RGB").save(large, "PNG")
    assert large.tell() > 2**21
    assert post(address, large.getvalue()).status_code == 200
    assert MultiPartParser.spool_max_size == 2**20  # of others in the process, as Starlette has it


def test_who_asks_too_often_is_told_when_to_come_back(busy: str):
    assert post(busy, POSTER).status_code == 200
    response = post(busy, POSTER)
    assert response.status_code == 429
    assert "more than 1 plots in a minute" in response.json()["error"]
    assert 1 <= int(response.headers["Retry-After"]) <= 60


def test_who_hangs_up_is_not_written_for(address: str, service: PlotService):
    """Another's poster holds the model until the one who hung up has left the queue."""
    reached, go_on = threading.Event(), threading.Event()

    def pause(*_) -> None:
        reached.set()
        assert go_on.wait(30)

    [held] = service.p2p.submit([draw_poster()], on_step=pause)
    assert reached.wait(30)
    with pytest.raises(requests.Timeout):
        requests.post(address, files={"image": POSTER}, timeout=2)
    deadline = time.monotonic() + 30
    labels = {"face": "api", "outcome": "cancelled"}
    while not service.metrics.registry.get_sample_value("poster2plot_posters_total", labels):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    go_on.set()
    held.result(30)


def test_a_request_that_never_ends_is_ended(root: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_bodies, "FORM_SECONDS", 0.2)
    host, port = root.removeprefix("http://").split(":")
    head = "POST /api/plot HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nContent-Type: "
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}multipart/form-data; boundary=b\r\n\r\n--b".encode())
        assert b" 408 " in connection.recv(1000).splitlines()[0]


def test_a_failure_says_no_more_than_that(
    service: PlotService, address: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service.p2p, "tokenizer", None)
    response = post(address, POSTER)
    assert response.status_code == 500
    assert response.json() == {"error": "The plot could not be written; try again later."}


def test_a_model_that_cannot_be_loaded_is_said(services: PosterServer):
    def broken() -> PlotService:
        raise CheckpointError("There is no model.")

    with serve_routes(routes(broken, services.finder)) as url:
        for response in (
            post(f"{url}/api/plot", POSTER),
            requests.get(f"{url}/api/health", timeout=60),
        ):
            assert response.status_code == 503
            assert response.json() == {"error": "There is no model."}
