"""A process that is told to end, as the operating system sees it."""

import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from poster2plot.server.shutdown import DRAIN_SECONDS, LEFT_SECONDS
from support.app_server import serve_app, when_it_answers
from support.drawn_posters import draw_poster, encode
from support.poster_server import serve_posters
from support.toy_model import save_tiny_model

PATIENCE = 60  # seconds until a hanging test fails
SCRIPT = """
import os, signal, sys, threading, time
from poster2plot.server.shutdown import drain_on_signals

assert "torch" not in sys.modules
ended = threading.Event()

def say(text):
    os.write(1, f"{text}\\n".encode())  # whole lines, whichever thread speaks

def as_a_web_server(number, frame):
    say("stops to listen")
    ended.set()

def close(seconds):
    say(f"closes in {seconds}")
    if MODE == "hangs":
        time.sleep(600)

MODE = sys.argv[1]
signal.signal(signal.SIGTERM, as_a_web_server)
drain_on_signals(close, seconds=0.2, left=0.3 if MODE == "hangs" else 60)
say("ready")
while not ended.wait(0.1):  # a web server looks up now and then
    pass
if MODE == "hangs":
    time.sleep(600)
time.sleep(0.1)
say("ends")
"""


@pytest.mark.parametrize("mode", ["ends by itself", "hangs"])
@pytest.mark.parametrize("signals", [1, 2])  # two of an impatient host
def test_a_signal_drains_and_ends_within_a_bounded_time(mode: str, signals: int):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, mode], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    lines = said.splitlines()
    assert lines.count("closes in 0.2") == 1
    assert "stops to listen" in lines
    assert ("ends" in lines) == (mode != "hangs")
    assert time.monotonic() - began < PATIENCE / 2


class KeptOpen:
    """One connection, which is never opened again."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
        self._connection.connect()
        self._connection.auto_open = 0

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str, str]:
        """The status, `Retry-After` and the text of the answer."""
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, answer.getheader("Retry-After", ""), answer.read().decode()

    def close(self) -> None:
        self._connection.close()


def test_a_server_that_drains_says_so_and_ends_what_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("POSTER2PLOT_MODEL", str(save_tiny_model(tmp_path / "model", positions=256)))
    settings = {"num_beams": "16", "max_length": "256", "min_length": "256", "guidance": "2"}
    with ExitStack() as stack:
        services = stack.enter_context(serve_posters())
        server = stack.enter_context(serve_app(services))
        when_it_answers(f"{server.url}/api/ready").raise_for_status()
        probe, client = (stack.enter_context(closing(KeptOpen(server.url))) for _ in range(2))
        with requests.post(
            f"{server.url}/api/plot",
            files={"image": encode(draw_poster())},
            data=settings,
            headers={"Accept": "text/event-stream"},
            stream=True,
            timeout=PATIENCE,
        ) as writing:
            lines = writing.iter_lines(1, decode_unicode=True)
            assert "event: text" in lines  # it is being written
            server.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            while probe.ask("GET", "/api/ready")[0] == 200:
                pass
            late = stack.enter_context(closing(KeptOpen(server.url)))
            for ask in (probe.ask, late.ask):
                status, after, said = ask("GET", "/api/v1/ready")
                assert (status, int(after) > 0) == (503, True)
                assert "shutting down" in said
            status, after, said = client.ask("POST", "/api/plot", '{"title": "tt1375666"}')
            assert (status, int(after) > 0) == (503, True)
            assert "shutting down" in said
            assert client.ask("GET", "/api/live")[0] == 200
            rest = list(lines)
        assert "event: record" in rest
        record = json.loads(rest[rest.index("event: record") + 1].removeprefix("data: "))
        assert record["plot"]
        server.process.wait(PATIENCE)
        assert time.monotonic() - began < DRAIN_SECONDS + LEFT_SECONDS + 1
        assert services.requests == []
