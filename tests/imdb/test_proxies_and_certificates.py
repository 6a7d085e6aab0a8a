"""Proxies and certificates of the environment, and TLS through a proxy and against the clock."""

import base64
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpcore2
import pytest

from poster2plot import PosterFinder
from poster2plot.imdb.http_client import Fetcher, FetchError, FetchLimits
from poster2plot.imdb.network_guard import ATTEMPT, addresses
from poster2plot.imdb.proxies_and_certificates import open_pool
from support.poster_server import Answer, PosterServer

LIMITS = FetchLimits(connect=5, read=5, total=1, retry_pause=100)
GRACE = 1.0  # seconds by which a busy machine may be late
HOST = "poster.example:443"  # which no resolver knows: only a proxy leads there


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key, and a certificate for the proxy and for the host behind it."""
    folder = tmp_path_factory.mktemp("keys")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1,DNS:poster.example"),
            *("-keyout", folder / "key.pem", "-out", folder / "certificate.pem"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Proxies and certificates are a test's own."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "40000")
        self.end_headers()
        self.wfile.write(b"0123456789" * 4_000)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server(keys: Path) -> Iterator[int]:
    """A server by https; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "certificate.pem", keys / "key.pem")
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def proxy(keys: Path, behind: int, scheme: str, heard: list[bytes]) -> Iterator[int]:
    """A proxy that leads each CONNECT to the port `behind`; its port. It takes one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "certificate.pem", keys / "key.pem")

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            if scheme == "https":
                client = context.wrap_socket(client, server_side=True)
            with client, socket.create_connection(("127.0.0.1", behind), 5) as target:
                heard.append(client.recv(65_536))
                client.sendall(b"HTTP/1.1 200 go on\r\n\r\n")
                back = threading.Thread(target=pump, args=(target, client))
                back.start()
                pump(client, target)
                back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@contextmanager
def dripping_server() -> Iterator[int]:
    """A server whose TLS handshake comes byte by byte; its port."""
    closing = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            with client:
                client.recv(65_536)
                client.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KB follows
                while not closing.wait(0.02):
                    client.sendall(b"\x02")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        closing.set()
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_is_reached_through_a_proxy_and_its_certificate_is_checked(
    keys: Path, environment: pytest.MonkeyPatch, scheme: str
) -> None:
    """The name is the proxy's to resolve, and the proxy's own address is always admitted."""
    environment.setenv("REQUESTS_CA_BUNDLE", str(keys / "certificate.pem"))
    for host, reason in ((HOST, None), ("other.example:443", "has no valid certificate")):
        heard: list[bytes] = []
        with web_server(keys) as behind, proxy(keys, behind, scheme, heard) as port:
            environment.setenv("HTTPS_PROXY", f"'{scheme}://me:p%40ss@127.0.0.1:{port}'")
            ask: dict[str, Any] = {"max_bytes": 50_000, "hosts": {host.partition(":")[0]}}
            fetcher = Fetcher(FetchLimits(retry_pause=100))
            if reason is None:
                answer = fetcher.get(f"https://{host}/", **ask)
                assert answer.body == b"0123456789" * 4_000
            else:
                with pytest.raises(FetchError, match=reason):
                    fetcher.get(f"https://{host}/", **ask)
        assert heard[0].startswith(f"CONNECT {host} ".encode())
        assert base64.b64encode(b"me:p@ss") in heard[0]


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "a folder"])
def test_certificates_of_the_environment_are_trusted(
    keys: Path, tmp_path: Path, environment: pytest.MonkeyPatch, name: str
) -> None:
    bundle = keys / "certificate.pem"
    if name == "a folder":
        hashed = ["openssl", "x509", "-noout", "-hash", "-in", str(bundle)]
        stem = subprocess.run(hashed, check=True, capture_output=True, text=True).stdout.strip()
        (tmp_path / f"{stem}.0").write_bytes(bundle.read_bytes())
        name, bundle = "REQUESTS_CA_BUNDLE", tmp_path
    with web_server(keys) as port:
        host = f"127.0.0.1:{port}"
        fetcher = Fetcher(allow_private=True)
        ask: dict[str, Any] = {"max_bytes": 50_000, "hosts": {host}}
        with pytest.raises(FetchError, match="has no valid certificate"):
            fetcher.get(f"https://{host}/", **ask)
        environment.setenv(name, f'"{bundle}"')
        assert fetcher.get(f"https://{host}/", **ask).status == 200
        environment.setenv(name, str(tmp_path / "missing"))
        with pytest.raises(FetchError, match=f"not be asked, as {name} names no certificates"):
            fetcher.get(f"https://{host}/", **ask)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "socks4://secret@127.0.0.1:1080"),
        ("HTTPS_PROXY", "http://secret@127.0.0.1:x"),
        ("ALL_PROXY", "http://"),
        ("REQUESTS_CA_BUNDLE", __file__),
        ("CURL_CA_BUNDLE", "/nowhere/secret.pem"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(FetchError, match=f"could not be asked, as {name} ") as caught:
        Fetcher().get("https://poster.example/", max_bytes=1, hosts={"poster.example"})
    PosterFinder.from_environment()
    [record] = caplog.records
    assert f"No poster service can be asked, as {name} " in record.getMessage()
    assert "secret" not in caplog.text + str(caught.value)


@pytest.mark.skipif(find_spec("socksio") is not None, reason="SOCKS can be spoken here")
def test_socks_takes_a_package(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", "socks5h://127.0.0.1:1080")
    with pytest.raises(FetchError, match="HTTPS_PROXY is a proxy by SOCKS"):
        Fetcher().get("https://poster.example/", max_bytes=1, hosts={"poster.example"})


@pytest.mark.parametrize("through", [None, "http", "https"])
def test_the_deadline_ends_a_handshake_that_drips(
    keys: Path, environment: pytest.MonkeyPatch, through: str | None
) -> None:
    environment.setenv("REQUESTS_CA_BUNDLE", str(keys / "certificate.pem"))
    with ExitStack() as servers:
        port = servers.enter_context(dripping_server())
        host = f"127.0.0.1:{port}"
        if through is not None:
            port = servers.enter_context(proxy(keys, port, through, []))
            environment.setenv("ALL_PROXY", f"{through}://127.0.0.1:{port}")
        started = time.monotonic()
        with pytest.raises(FetchError, match="did not answer in time"):
            Fetcher(LIMITS, allow_private=True).get(f"https://{host}/", max_bytes=1, hosts={host})
        assert LIMITS.total <= time.monotonic() - started < LIMITS.total + GRACE


def test_a_silent_address_is_left_for_the_next(environment: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("192.0.2.1", "127.0.0.1")
        ]
        waited = []

        def connect(
            address: tuple[str, int], timeout: float, source: object = None
        ) -> socket.socket:
            waited.append((address[0], round(timeout)))
            if address[0] == "192.0.2.1":
                raise TimeoutError
            return socket.socket()

        environment.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        environment.setattr(socket, "create_connection", connect)
        url = httpcore2.URL(scheme="http", host="poster.example", port=port, target="/")
        with (
            open_pool(url, time.monotonic() + 20, allow_private=True) as pool,
            pytest.raises(httpcore2.NetworkError),  # the socket of `connect` leads nowhere
        ):
            pool.request("GET", url, extensions={"timeout": {"connect": 5}})
        assert waited == [("192.0.2.1", round(ATTEMPT)), ("127.0.0.1", 5)]


@pytest.mark.parametrize("silent", ["2001:db8::", "192.0.2."], ids=["IPv6", "IPv4"])
def test_many_silent_addresses_are_left_for_a_good_one(
    server: PosterServer, environment: pytest.MonkeyPatch, silent: str
) -> None:
    """Also one that is named twice, and refuses: the last is not known by what it is."""
    found: list[tuple[Any, ...]] = [
        (
            socket.AF_INET6 if ":" in address else socket.AF_INET,
            socket.SOCK_STREAM,
            6,
            "",
            (address,),
        )
        for address in (*(f"{silent}{each}" for each in range(1, 9)), "127.0.0.2", "127.0.0.1")
    ]
    found[-1:-1] = found[-2:-1]
    tried = []

    def connect(address: tuple[str, int], timeout: float, source: object = None) -> socket.socket:
        tried.append(address[0])
        if address[0].startswith(silent):
            time.sleep(timeout)
            raise TimeoutError
        if address[0] == "127.0.0.2":
            raise ConnectionRefusedError
        connection = socket.socket()
        connection.connect(address)
        return connection

    environment.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    environment.setattr(socket, "create_connection", connect)
    server.answers["/x"] = Answer(b"here")
    host = f"poster.example:{server.port}"
    answer = server.fetcher().get(f"http://{host}/x", max_bytes=10, hosts={host})
    assert answer.body == b"here"
    assert tried.count("127.0.0.2") == 1
    if ":" in silent:
        assert tried == [f"{silent}1", "127.0.0.2", f"{silent}2", "127.0.0.1"]


def test_an_address_that_is_named_twice_does_not_end_the_search(
    environment: pytest.MonkeyPatch,
) -> None:
    named = ("192.0.2.1", "192.0.2.2", "192.0.2.1")
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in named]
    environment.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    listed = addresses("poster.example", 443, time.monotonic() + 10, allow_private=True)
    assert listed == ["192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize("name", ["x" * 70 + ".example", "nowhere.invalid"])
def test_a_name_that_is_none_cannot_be_reached(name: str) -> None:
    with pytest.raises(httpcore2.ConnectError):
        addresses(name, 443, time.monotonic() + 10, allow_private=True)


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("", False),
        ("*", True),
        ("example", True),
        (".example", True),
        ("poster.example:443", True),
        ("poster.example:80", False),
        ("other.example, poster.example", True),
        ('"other.example, poster.example"', True),
        ("'poster.example'\n", True),
        ("ter.example", False),
        ("10.0.0.0/8", False),
    ],
)
def test_no_proxy_names_hosts(environment: pytest.MonkeyPatch, no_proxy: str, direct: bool) -> None:
    assert reaches("poster.example", no_proxy, environment) is direct


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [("10.1.2.3", True), ("10.0.0.0/8", True), ("192.168.0.0/16, 10.1.2.4/31", False)],
)
def test_no_proxy_names_networks(
    environment: pytest.MonkeyPatch, no_proxy: str, direct: bool
) -> None:
    assert reaches("10.1.2.3", no_proxy, environment) is direct


def reaches(host: str, no_proxy: str, environment: pytest.MonkeyPatch) -> bool:
    """Whether a host is asked itself, and not the proxy."""
    asked = []

    def connect(address: tuple[str, int], *_: object) -> socket.socket:
        asked.append(address[1])
        raise ConnectionRefusedError

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]
    environment.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    environment.setattr(socket, "create_connection", connect)
    environment.setenv("https_proxy", "proxy.example:3128")  # no scheme is http
    environment.setenv("no_proxy", no_proxy)
    url = httpcore2.URL(scheme="https", host=host, target="/")
    with (
        open_pool(url, time.monotonic() + 5, allow_private=True) as pool,
        pytest.raises(httpcore2.ConnectError),
    ):
        pool.request("GET", url)
    [port] = asked
    return {443: True, 3128: False}[port]
