"""The real application in a process of its own, with poster services on this machine."""

import socket
import subprocess
import sys
from collections.abc import Iterator
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


@contextmanager
def serve_app(services: PosterServer) -> Iterator[AppServer]:
    """Serve the page and the API on a free port, from when they answer until the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "support.serve_page", str(services.port)]
    options = ["--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}"]
    process = subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        with requests.Session() as session:
            retry = Retry(60, backoff_factor=0.1, backoff_max=1)
            session.mount("http://", HTTPAdapter(max_retries=retry))
            session.get(f"{url}/_stcore/health", timeout=60).raise_for_status()
        yield AppServer(url, process)
    finally:
        process.terminate()
        process.wait()
