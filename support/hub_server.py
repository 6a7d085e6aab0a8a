"""A stand-in for the Hub on localhost, for the real client of huggingface_hub.

It serves files as huggingface.co does, HEAD and GET of `/{owner}/{name}/resolve/{revision}/{file}`,
ranges of them too, and refuses with the same error codes.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """What the server answers; a test may change it at any time.

    `repositories` maps the id of a model to its folder, which is its state at `main` and at every
    commit of 40 digits. `failing` is the status of every answer, `failing_after` the number of
    requests before each is answered with 500, and `delay` the seconds before an answer, which waits
    until `answering` is set. The next body longer than `hang_up_after` bytes ends there; `ranges`
    are those that were asked for.
    """

    url: str
    repositories: Mapping[str, Path]
    gated: set[str] = field(default_factory=set)
    failing: int | None = None
    failing_after: int | None = None
    delay: float = 0
    answering: Event = field(default_factory=Event)
    hang_up_after: int | None = None
    ranges: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def serve_hub(repositories: Mapping[str, Path]) -> Iterator[Hub]:
    """Serve `repositories` (id → folder) on a free port of localhost."""
    server = _Server(("127.0.0.1", 0), _Handler)
    hub = server.hub = Hub(f"http://127.0.0.1:{server.server_port}", repositories)
    hub.answering.set()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.answering.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    hub: Hub


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        hub.answering.wait()
        time.sleep(hub.delay)
        repo, _, rest = path[1:].partition("/resolve/")
        revision, _, name = rest.partition("/")
        if hub.failing_after is not None and len(hub.requests) > hub.failing_after:
            hub.failing = HTTPStatus.INTERNAL_SERVER_ERROR
        if hub.failing is not None:
            self._answer(hub.failing)
        elif repo not in hub.repositories:
            self._refuse(HTTPStatus.NOT_FOUND, "RepoNotFound")
        elif repo in hub.gated:
            self._refuse(HTTPStatus.FORBIDDEN, "GatedRepo")
        elif revision != "main" and len(revision) != 40:
            self._refuse(HTTPStatus.NOT_FOUND, "RevisionNotFound")
        else:
            commit = hashlib.sha1(repo.encode()).hexdigest() if revision == "main" else revision
            self._send_file(hub.repositories[repo] / name, commit)

    do_HEAD = do_GET  # noqa: N815

    def _send_file(self, file: Path, commit: str) -> None:
        headers = {"X-Repo-Commit": commit}
        if not file.is_file():
            self._refuse(HTTPStatus.NOT_FOUND, "EntryNotFound", headers)
            return
        data = file.read_bytes()
        headers["ETag"] = f'"{hashlib.sha1(data).hexdigest()}"'
        asked = self.headers.get("Range")
        if asked is None:
            self._answer(HTTPStatus.OK, headers, data)
            return
        self.server.hub.ranges.append(asked)
        begin = int(asked.removeprefix("bytes=").partition("-")[0])
        headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        self._answer(HTTPStatus.PARTIAL_CONTENT, headers, data[begin:])

    def _refuse(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        self._answer(status, {**(headers or {}), "X-Error-Code": code})

    def _answer(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        hub = self.server.hub
        if self.command == "GET":
            if hub.hang_up_after is not None and len(body) > hub.hang_up_after:
                body, hub.hang_up_after = body[: hub.hang_up_after], None
                self.close_connection = True
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""
