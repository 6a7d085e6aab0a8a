"""The real application in a process of its own, with poster services on this machine."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from support.poster_server import PosterServer

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class AppServer:
    """A running application."""

    url: str
    process: subprocess.Popen[bytes]


def free_port() -> int:
    """A port of this machine that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def when_it_answers(url: str) -> requests.Response:
    """What a server that is being started answers first, but for 503."""
    with requests.Session() as session:
        retry = Retry(120, backoff_factor=0.1, backoff_max=1, status_forcelist=[503])
        session.mount("http://", HTTPAdapter(max_retries=retry))
        return session.get(url, timeout=60)


@contextmanager
def serve_app(
    services: PosterServer, environment: Mapping[str, str] | None = None
) -> Iterator[AppServer]:
    """Serve the page and the API on a free port, from when they answer until the end.

    `environment` comes on top of that of this process.
    """
    port = free_port()
    command = [sys.executable, "-m", "support.serve_page", str(services.port)]
    options = ["--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}"]
    process = subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        when_it_answers(f"{url}/_stcore/health").raise_for_status()
        yield AppServer(url, process)
    finally:
        process.terminate()
        process.wait()
