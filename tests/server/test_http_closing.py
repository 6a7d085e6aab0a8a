"""Who is not in the queue yet when the server shuts down."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from poster2plot import Poster2Plot
from poster2plot.server.http_api import routes
from poster2plot.server.service import PlotService
from support.api_server import post, serve_routes
from support.poster_server import (
    ID,
    MOVIE,
    SERIES,
    Answer,
    PosterServer,
    catalogue,
    serve_posters,
)

SOON = 5  # seconds; the services here take ten


@pytest.fixture
def own(tiny_folder: Path) -> Poster2Plot:
    """A model that a test may close."""
    return Poster2Plot.from_pretrained(tiny_folder, "cpu", precision="fp32")


@pytest.fixture
def slow() -> Iterator[PosterServer]:
    """Services that take each request and say nothing."""
    paths = (MOVIE, SERIES, catalogue("movie", "the sea"), catalogue("series", "the sea"))
    with serve_posters() as server:
        server.answers = {path: Answer(stall=True) for path in paths}
        yield server


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_told(answer: requests.Response, began: float) -> None:
    assert time.monotonic() - began < SOON
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "shutting down" in answer.json()["error"]


def test_who_waits_for_a_look_up_is_told(own: Poster2Plot, slow: PosterServer):
    with (
        ThreadPoolExecutor() as threads,
        serve_routes(routes(lambda: PlotService(own), slow.finder)) as url,
    ):
        plot = threads.submit(post, f"{url}/api/plot", title=ID)
        plots = threads.submit(post, f"{url}/api/plots", title=ID)
        titles = threads.submit(requests.get, f"{url}/api/titles?q=the+sea", timeout=60)
        until(lambda: len(slow.requests) >= 3)
        began = time.monotonic()
        own.close(0)
        assert_told(plot.result(30), began)
        assert_told(titles.result(30), began)
        [result] = plots.result(30).json()["results"]
        assert result["status"] == 503
        assert time.monotonic() - began < SOON
        slow.closing.set()


def test_who_still_sends_is_told(own: Poster2Plot, services: PosterServer):
    with serve_routes(routes(lambda: PlotService(own), services.finder)) as url:
        host, port = url.removeprefix("http://").split(":")
        requests.get(f"{url}/api/health", timeout=60)
        with socket.create_connection((host, int(port)), timeout=SOON) as connection:
            connection.sendall(
                b"POST /api/plot HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
                b"Content-Type: application/json\r\n\r\n{"
            )
            time.sleep(0.5)
            own.close(0)
            assert b" 503 " in connection.recv(1000).splitlines()[0]


def test_who_waits_for_the_model_is_told(services: PosterServer):
    loading, go_on, closing = threading.Event(), threading.Event(), threading.Event()

    def load() -> PlotService:
        loading.set()
        assert go_on.wait(30)
        raise AssertionError("nobody waits for it")

    api = routes(load, services.finder, is_closing=closing.is_set)
    with ThreadPoolExecutor() as threads, serve_routes(api) as url:
        asked: list[Future[requests.Response]]
        asked = [
            threads.submit(post, f"{url}/api/plot", title=ID),
            threads.submit(requests.get, f"{url}/api/health", timeout=60),
        ]
        assert loading.wait(30)
        began = time.monotonic()
        closing.set()
        for each in asked:
            assert_told(each.result(30), began)
        go_on.set()
