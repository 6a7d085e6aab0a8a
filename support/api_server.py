"""The HTTP API in this process, on a free port."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import requests
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute


@contextmanager
def serve_routes(routes: Sequence[BaseRoute]) -> Iterator[str]:
    """Serve routes while the block runs, and give their URL."""
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="critical"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # who comes before the server is ready waits
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def post(address: str, image: bytes | None = None, **fields: str) -> requests.Response:
    """Send a form."""
    files: dict[str, tuple[str | None, str | bytes]]
    files = {name: (None, text) for name, text in fields.items()}
    if image is not None:
        files["image"] = ("poster.png", image)
    return requests.post(address, files=files, timeout=60)
