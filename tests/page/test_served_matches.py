"""The small posters of what a search found, by HTTP."""

import io

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from poster2plot.page import cached_resources
from poster2plot.page.served_matches import address_of_match, routes
from support.app_page import PICTURED
from support.poster_server import PICTURE, Answer, serve_posters


def test_a_poster_is_fetched_once_and_small(monkeypatch: pytest.MonkeyPatch):
    client = TestClient(Starlette(routes=routes("/posters")))
    with serve_posters() as server:
        monkeypatch.setattr(cached_resources, "services", server.services)
        server.answers = {PICTURE: Answer(PICTURED)}
        address = address_of_match(server.url + PICTURE)
        assert address == address_of_match(server.url + PICTURE)
        for _ in range(2):
            answer = client.get(f"/posters/{address}")
            assert answer.headers["content-type"] == "image/jpeg"
            with Image.open(io.BytesIO(answer.content)) as poster:
                assert max(poster.size) == 160
        assert server.paths == [PICTURE]


@pytest.mark.parametrize("answer", [Answer(b"no picture"), Answer(status=404), Answer(status=500)])
def test_what_a_service_lacks_is_not_there(answer: Answer, monkeypatch: pytest.MonkeyPatch):
    client = TestClient(Starlette(routes=routes()))
    with serve_posters() as server:
        monkeypatch.setattr(cached_resources, "services", server.services)
        server.answers = {PICTURE: answer}
        assert client.get(f"/{address_of_match(server.url + PICTURE)}").status_code == 404


def test_nobody_chooses_what_is_fetched(monkeypatch: pytest.MonkeyPatch):
    client = TestClient(Starlette(routes=routes()))
    with serve_posters() as server:
        monkeypatch.setattr(cached_resources, "services", server.services)
        elsewhere = address_of_match(f"http://localhost:{server.port}{PICTURE}")
        for address in ("matches/nothing.jpg", elsewhere):  # another host than those of pictures
            assert client.get(f"/{address}").status_code == 404
        assert server.paths == []
