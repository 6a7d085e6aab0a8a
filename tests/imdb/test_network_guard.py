"""Where connections go and when they end."""

import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from poster2plot.imdb.http_client import Fetcher, FetchError, FetchLimits
from poster2plot.imdb.network_guard import is_public
from support.poster_server import Answer, PosterServer

LIMITS = FetchLimits(connect=5, read=5, total=1, retry_pause=0)
GRACE = 1.0  # seconds by which a busy machine may be late


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),  # 127.0.0.1 by 6to4
        ("64:ff9b::101:101", True),  # 1.1.1.1 by NAT64
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b:1::a00:1", False),
        ("::127.0.0.1", False),
        ("::ffff:0:7f00:1", False),
        ("fec0::1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool):
    assert is_public(address) is public


def test_a_private_address_is_not_connected_to(server: PosterServer):
    with pytest.raises(FetchError, match="an address that is not public"):
        Fetcher(schemes={"http"}).get(server.url, max_bytes=1, hosts={server.host})
    assert not server.requests


def test_a_name_that_changes_its_address_gains_nothing(
    server: PosterServer, monkeypatch: pytest.MonkeyPatch
):
    """The resolver says a public address first and this machine's whenever asked again."""
    asked = []

    def resolver(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        address = "192.0.43.8" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    reached = []

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        reached.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(socket, "create_connection", connect)
    fetcher = Fetcher(FetchLimits(retry_pause=100, total=5), schemes={"http"})
    host = f"poster.example:{server.port}"
    with pytest.raises(FetchError, match="could not be reached"):
        fetcher.get(f"http://{host}/", max_bytes=1, hosts={host})
    assert reached == ["192.0.43.8"]
    with pytest.raises(FetchError, match="not public"):
        fetcher.get(f"http://{host}/", max_bytes=1, hosts={host})
    assert reached == ["192.0.43.8"]


@pytest.mark.parametrize(
    "answer", [Answer(drip_head=0.02), Answer(b"x" * 10_000, drip=0.02), Answer(stall=True)]
)
def test_the_deadline_ends_what_trickles(server: PosterServer, answer: Answer):
    server.answers["/x"] = answer
    started = time.monotonic()
    with pytest.raises(FetchError, match="did not answer in time"):
        server.fetcher(LIMITS).get(f"{server.url}/x", max_bytes=10**6, hosts={server.host})
    assert time.monotonic() - started < LIMITS.total + GRACE


def test_a_resolver_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(30))
    started = time.monotonic()
    with pytest.raises(FetchError, match="did not answer in time"):
        Fetcher(LIMITS).get("https://poster.example/", max_bytes=1, hosts={"poster.example"})
    assert time.monotonic() - started < LIMITS.total + GRACE
    release.set()


def test_an_earlier_end_counts(server: PosterServer):
    server.answers["/x"] = Answer(stall=True)
    started = time.monotonic()
    fetcher = server.fetcher().until(started + 0.2)
    with pytest.raises(FetchError, match="did not answer in time"):
        fetcher.get(f"{server.url}/x", max_bytes=1, hosts={server.host})
    assert time.monotonic() - started < 0.2 + GRACE


@pytest.mark.parametrize(
    ("name", "trusted", "accepted"),
    [
        ("IP:127.0.0.1", True, True),
        ("IP:127.0.0.1", False, False),
        ("DNS:other.example", True, False),
    ],
    ids=["good", "nobody vouches", "another host"],
)
def test_certificates_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool, accepted: bool
):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=x", "-addext", f"subjectAltName={name}"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(("127.0.0.1", 0), _Silent) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        host = f"127.0.0.1:{server.server_port}"
        fetcher = Fetcher(allow_private=True)
        try:
            if accepted:
                answer = fetcher.get(f"https://{host}/", max_bytes=10_000, hosts={host})
                assert answer.status == 501  # it knows no GET
            else:
                with pytest.raises(FetchError, match="has no valid certificate"):
                    fetcher.get(f"https://{host}/", max_bytes=1, hosts={host})
        finally:
            server.shutdown()
            thread.join()


def test_who_hangs_up_in_the_handshake_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    def hang_up() -> None:
        with suppress(OSError):
            while True:  # who is hung up on tries again
                connection, _ = listener.accept()
                with connection:
                    connection.recv(10_000)

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up)
        thread.start()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        fetcher = Fetcher(allow_private=True)
        with pytest.raises(FetchError) as caught:
            fetcher.get(f"https://{host}/", max_bytes=1, hosts={host})
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert "in time" not in str(caught.value)


class _Silent(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
