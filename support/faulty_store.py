"""An object store that refuses what a test tells it to refuse, before a store that works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

STATUS = {
    "AccessDenied": 403,
    "ExpiredToken": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "RequestTimeTooSkewed": 403,
    "ServiceUnavailable": 503,
    "SlowDown": 503,
    "Unheard": 409,
}
_OWN = ("connection", "transfer-encoding", "content-length", "server", "date")


@dataclass
class FaultyStore:
    """`fault` is asked with each request's method and path, and says which error it gets, if any.

    The errors are those of `STATUS`, of Amazon's protocol. `asked` are the requests so far.
    """

    url: str = ""
    fault: Callable[[str, str], str | None] = lambda _method, _path: None
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def before(url: str) -> Iterator[FaultyStore]:
    """Serve on a free port what the store at `url` does, but for the faults."""
    store = FaultyStore()
    behind = urlsplit(url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            method, path = self.command, unquote(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            store.asked.append((method, path))
            if code := store.fault(method, path):
                text = f"<Error><Code>{code}</Code><Message>As told.</Message></Error>".encode()
                self._send(STATUS[code], [("Content-Type", "application/xml")], text)
                return
            connection = HTTPConnection(behind, timeout=60)
            connection.request(method, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            data = answer.read()
            kept = [pair for pair in answer.getheaders() if pair[0].lower() not in _OWN]
            length = answer.getheader("Content-Length") if method == "HEAD" else None
            self._send(answer.status, kept, data, length)
            connection.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

        def _send(
            self,
            status: int,
            headers: list[tuple[str, str]],
            body: bytes,
            length: str | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True  # connections that a client keeps are not waited for
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
