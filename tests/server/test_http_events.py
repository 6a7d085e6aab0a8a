"""A plot as it grows, read from a real server."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from poster2plot import Poster2Plot, read_image
from poster2plot.errors import QueueFullError
from poster2plot.server.http_api import routes
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.api_server import serve_routes
from support.drawn_posters import draw_poster, encode
from support.poster_server import PosterServer

POSTER = encode(draw_poster())
ACCEPT = {"Accept": "text/event-stream"}


def events(answer: requests.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in answer.iter_lines(decode_unicode=True):
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def stream(address: str, **form: str) -> requests.Response:
    return requests.post(
        address,
        files={"image": ("a.png", POSTER)},
        data=form,
        headers=ACCEPT,
        stream=True,
        timeout=60,
    )


class Held:
    """The model is kept busy with another's poster until `go_on`."""

    def __init__(self, p2p: Poster2Plot) -> None:
        self._go_on, reached = threading.Event(), threading.Event()

        def pause(*_: object) -> None:
            reached.set()
            assert self._go_on.wait(30)

        [self._request] = p2p.submit([draw_poster("navy")], on_step=pause, visitor="another")
        assert reached.wait(30)

    def go_on(self) -> None:
        self._go_on.set()
        self._request.result(30)


@pytest.fixture
def held(tiny: Poster2Plot) -> Iterator[Held]:
    held = Held(tiny)
    yield held
    held.go_on()


def test_the_place_in_the_queue_then_the_text_then_the_record(
    address: str, tiny: Poster2Plot, held: Held
):
    with stream(address, num_beams="2") as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        told = events(answer)
        assert next(told) == ("queue", {"ahead": 0})
        held.go_on()
        rest = list(told)
    assert [name for name, _ in rest].count("record") == 1
    name, record = rest[-1]
    assert name == "record"
    assert {name for name, _ in rest[:-1]} <= {"queue", "text"}
    assert record["plot"] == requests.post(
        address, files={"image": POSTER}, data={"num_beams": "2"}, timeout=60
    ).json()["plot"]  # fmt: skip
    assert record["source"] == "a.png"


def test_the_text_grows(services: PosterServer, tiny: Poster2Plot):
    """Each step waits until the text before it has been told."""
    service = PlotService(tiny)
    told_of, submit = threading.Event(), service.p2p.submit

    with serve_routes(routes(lambda: service, services.finder)) as url:
        steps = 0

        def slow(*arguments: Any, on_step: Any, **options: Any) -> Any:
            def step(i: int, text: str) -> None:
                nonlocal steps
                on_step(i, text)
                steps += 1
                if steps in (3, 6):
                    told_of.clear()
                    assert told_of.wait(30)

            return submit(*arguments, on_step=step, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(service.p2p, "submit", slow)
            with stream(f"{url}/api/v1/plot", num_beams="1") as answer:
                texts = []
                for name, data in events(answer):
                    if name == "text":
                        texts.append(data["text"])
                        told_of.set()
    assert len(texts) >= 2
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))


def test_what_is_wrong_before_the_first_event_is_a_status(address: str):
    answer = stream(address, num_beams="99")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("num_beams")


def test_what_fails_later_is_the_last_event(
    address: str, service: PlotService, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(service.p2p, "tokenizer", None)
        told = list(events(stream(address)))
    assert told[-1] == (
        "error", {"error": "The plot could not be written; try again later.", "status": 500}
    )  # fmt: skip


def test_what_a_shutdown_ends_has_its_seconds(tiny_folder: Path, services: PosterServer):
    own = Poster2Plot.from_pretrained(tiny_folder, "cpu", precision="fp32")
    before = Held(own)
    with (
        serve_routes(routes(lambda: PlotService(own), services.finder)) as url,
        stream(f"{url}/api/plot") as answer,
    ):
        told = events(answer)
        assert next(told)[0] == "queue"
        own.close(0)
        name, error = list(told)[-1]
    with pytest.raises(QueueFullError):
        before.go_on()
    assert (name, error["status"]) == ("error", 503)
    assert error["retry_after"] > 0


def test_who_hangs_up_is_not_written_for_and_is_present_no_more(
    tiny: Poster2Plot, services: PosterServer, held: Held
):
    service = PlotService(tiny, Limits(at_once=1))
    with serve_routes(routes(lambda: service, services.finder)) as url:
        with stream(f"{url}/api/plot") as answer:
            told = events(answer)  # to let go of it would close the connection
            assert next(told)[0] == "queue"
            assert stream(f"{url}/api/plot").status_code == 429
        deadline = time.monotonic() + 30
        labels = {"face": "api", "outcome": "cancelled"}
        while not service.metrics.registry.get_sample_value("poster2plot_posters_total", labels):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        held.go_on()
        while (answer := stream(f"{url}/api/plot")).status_code == 429:
            assert time.monotonic() < deadline
        assert list(events(answer))[-1][0] == "record"


def test_a_streamed_plot_is_the_librarys(address: str, tiny: Poster2Plot):
    [[best]] = tiny.generate([read_image(POSTER)])
    assert list(events(stream(address)))[-1][1]["plot"] == best.text


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("application/json, text/event-stream;q=0", False),
        ("text/event-stream; Q=0.000", False),
        ("text/event-stream;q=0.1", True),
        ("text/event-stream;q=0, text/event-stream;q=1", True),
        ("text/event-stream; charset=utf-8", True),
        ("text/*", False),
    ],
)
def test_events_come_to_who_accepts_them(address: str, accept: str, streams: bool):
    answer = requests.post(address, files={"image": POSTER}, headers={"Accept": accept}, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream") == streams
