"""The HTTP API on a real server."""

import io
import socket
import tempfile
import threading
from collections.abc import Iterator

import pytest
import requests
import uvicorn
from PIL import Image
from starlette.applications import Starlette

from poster2plot import Poster2Plot, read_image
from poster2plot.api import routes
from poster2plot.images import MAX_BYTES
from tests.conftest import draw_poster, encode
from tests.poster_server import ID, MOVIE, PICTURE, Answer, PosterServer, cinemeta, serve_posters

POSTER = encode(draw_poster())


@pytest.fixture(scope="module")
def services() -> Iterator[PosterServer]:
    with serve_posters() as server:
        server.answers = {
            MOVIE: cinemeta(server, description="A thief."),
            PICTURE: Answer(encode(draw_poster("darkred"), "JPEG")),
        }
        yield server


@pytest.fixture(scope="module")
def address(tiny: Poster2Plot, services: PosterServer) -> Iterator[str]:
    app = Starlette(routes=routes(lambda: tiny, services.finder))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # who comes before the server is ready waits
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/plot"
        server.should_exit = True
        thread.join()


def post(address: str, image: bytes | None = None, **fields: str) -> requests.Response:
    files = {name: (None, text) for name, text in fields.items()}
    if image is not None:
        files["image"] = ("poster.png", image)
    return requests.post(address, files=files, timeout=60)


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


@pytest.mark.parametrize(
    ("status", "image", "fields", "message"),
    [
        (400, None, {}, "a file named image"),
        (400, POSTER, {"title": ID}, "either"),
        (400, POSTER, {"beams": "4"}, "no field 'beams'"),
        (400, POSTER, {"num_beams": "many"}, "num_beams cannot be 'many'"),
        (400, POSTER, {"num_beams": "99"}, "between 1 and 16"),
        (400, POSTER, {"sample": "perhaps"}, "sample cannot be"),
        (400, POSTER, {"guidance": "nan"}, "between"),
        (400, POSTER, {"max_length": "400"}, "at most"),
        (400, None, {"title": "nm0000138"}, "a person"),
        (404, None, {"title": "tt9999999"}, "No service has a poster"),
        (413, b"x" * (MAX_BYTES + 2**17), {}, "larger than 20 MB"),
        (415, b"not a picture", {}, "not in a format"),
        (422, POSTER[: len(POSTER) // 2], {}, "poster.png"),
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
    response = requests.post(address, json={"title": ID}, timeout=60)
    assert response.status_code == 400
    assert "a file named image" in response.json()["error"]
    response = requests.post(address, data={"image": "text"}, timeout=60)
    assert response.status_code == 400


def test_pictures_stay_in_memory(address: str, monkeypatch: pytest.MonkeyPatch):
    """A file that were written to disk would find no folder to be in."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    large = io.BytesIO()
    Image.effect_noise((1500, 1500), 60).convert("RGB").save(large, "PNG")
    assert large.tell() > 2**21
    assert post(address, large.getvalue()).status_code == 200
