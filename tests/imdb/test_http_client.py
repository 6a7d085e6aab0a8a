import gzip
import logging
import random
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpcore2
import pytest

from poster2plot.imdb.http_client import Fetcher, FetchError, FetchLimits, Response
from support.poster_server import LIMITS, Answer, PosterServer, serve_posters

KEY = "0123456789abcdef-planted"


@pytest.fixture
def other() -> Iterator[PosterServer]:
    with serve_posters() as running:
        yield running


def get(
    server: PosterServer,
    path: str = "/x",
    *,
    limits: FetchLimits = LIMITS,
    max_bytes: int = 1000,
    hosts: set[str] | None = None,
) -> Response:
    return server.fetcher(limits).get(
        server.url + path,
        headers={"Authorization": f"Bearer {KEY}"},
        params={"api_key": KEY},
        max_bytes=max_bytes,
        hosts=hosts or {server.host},
    )


def fail(server: PosterServer, path: str = "/x", **options: Any) -> str:
    with pytest.raises(FetchError) as caught:
        get(server, path, **options)
    return caught.value.reason


def moved(target: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"Location": target})


def test_the_answer_has_status_type_and_body(server: PosterServer) -> None:
    server.answers["/x"] = Answer(b"hello", headers={"Content-Type": "text/plain"})
    assert get(server) == Response(200, "text/plain", b"hello")
    request = server.requests[0]
    assert request.query == {"api_key": [KEY]}
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["User-Agent"].startswith("poster2plot ")


def test_what_its_pace_takes_is_not_the_services_time(server: PosterServer) -> None:
    server.answers["/x"] = [Answer(b"", 503), Answer(b"hello")]
    hosts = []

    def pace(host: str) -> None:
        hosts.append(host)
        time.sleep(0.6)

    limits = FetchLimits(total=0.5, retry_pause=0)
    fetcher = Fetcher(limits, schemes={"http"}, allow_private=True, pace=pace)
    answer = fetcher.get(f"{server.url}/x", max_bytes=1000, hosts={server.host})
    assert answer.body == b"hello"
    assert hosts == [server.host] * 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 501])
def test_other_statuses_are_answers_and_are_not_retried(server: PosterServer, status: int) -> None:
    server.answers["/x"] = Answer(b"no", status)
    assert get(server) == Response(status, "", b"no")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_trouble_is_retried_once(server: PosterServer, status: int) -> None:
    server.answers["/x"] = [Answer(status=status), Answer(b"ok")]
    assert get(server).body == b"ok"
    server.answers["/x"] = Answer(status=status)
    server.requests.clear()
    assert fail(server) == ("is too busy" if status == 429 else f"failed ({status})")
    assert len(server.requests) == 2


def test_a_dropped_connection_is_retried_once(server: PosterServer) -> None:
    server.answers["/x"] = [Answer(hang_up=True), Answer(b"ok")]
    assert get(server).body == b"ok"
    server.answers["/x"] = Answer(hang_up=True)
    server.requests.clear()
    assert fail(server) == "could not be reached"
    assert len(server.requests) == 2


def test_a_closed_port_cannot_be_reached(server: PosterServer) -> None:
    with socket.socket() as reserved:  # bound, so that no one else can listen there
        reserved.bind(("127.0.0.1", 0))
        closed = replace(server, port=reserved.getsockname()[1])
        assert fail(closed) == "could not be reached"


def http_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def test_retry_after_is_waited_for(server: PosterServer) -> None:
    server.answers["/x"] = [Answer(status=429, headers={"Retry-After": "1"}), Answer(b"ok")]
    start = time.monotonic()
    assert get(server).body == b"ok"
    assert time.monotonic() - start >= 1


PAST, FUTURE = (pytest.param(http_date(each), id=f"{each} s from now") for each in (-60, 3600))


@pytest.mark.parametrize(
    "value", ["0", PAST, "Fri, 31 Dec 1999 23:59:59 -0000", "soon", "-5", "١", "Fri, 99"]
)
def test_a_past_or_senseless_retry_after_costs_no_wait(server: PosterServer, value: str) -> None:
    headers = {"Retry-After": value.encode().decode("latin-1")}
    server.answers["/x"] = [Answer(status=503, headers=headers), Answer(b"ok")]
    start = time.monotonic()
    assert get(server).body == b"ok"
    assert time.monotonic() - start < 0.9


@pytest.mark.parametrize("value", ["2", "86400", "9" * 9, FUTURE])
def test_a_long_retry_after_is_not_waited_for(server: PosterServer, value: str) -> None:
    server.answers["/x"] = Answer(status=429, headers={"Retry-After": value})
    start = time.monotonic()
    assert fail(server) == "is too busy"
    assert time.monotonic() - start < 2  # the shortest of them
    assert len(server.requests) == 1


def test_a_wait_beyond_the_deadline_is_not_begun(server: PosterServer) -> None:
    server.answers["/x"] = Answer(status=429, headers={"Retry-After": "1"})
    assert fail(server, limits=FetchLimits(total=0.5)) == "is too busy"
    assert len(server.requests) == 1


def test_a_silent_server_times_out_without_a_retry(server: PosterServer) -> None:
    server.answers["/x"] = Answer(stall=True)
    assert fail(server, limits=FetchLimits(read=0.1)) == "did not answer in time"
    assert len(server.requests) == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_drips_cannot_outlast_the_deadline(server: PosterServer, chunked: bool) -> None:
    server.answers["/x"] = (
        Answer(b"1\r\nx\r\n" * 500, drip=0.02, headers={"Transfer-Encoding": "chunked"})
        if chunked
        else Answer(b"x" * 500, drip=0.02, headers={"Content-Length": "500"})
    )
    start = time.monotonic()
    reason = fail(server, limits=FetchLimits(read=1, total=0.3))
    assert reason == "did not answer in time"
    assert time.monotonic() - start < 1.5


def test_the_cap_counts_bytes_whatever_the_header_says(server: PosterServer) -> None:
    server.answers["/x"] = Answer(b"x" * 1000)
    assert len(get(server).body) == 1000
    server.answers["/x"] = Answer(b"x" * 1001)
    assert fail(server) == "sent more than 1,000 bytes"
    endless = b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"
    server.answers["/x"] = Answer(endless, headers={"Transfer-Encoding": "chunked"})
    assert fail(server) == "sent more than 1,000 bytes"


def test_gzip_is_unpacked_and_a_bomb_is_not(server: PosterServer) -> None:
    packed = {"Content-Encoding": "gzip"}
    server.answers["/x"] = Answer(gzip.compress(b"hello"), headers=packed)
    assert get(server).body == b"hello"
    server.answers["/x"] = Answer(gzip.compress(b"hel") + gzip.compress(b"lo"), headers=packed)
    assert get(server).body == b"hello"
    long = random.Random(0).randbytes(300_000).hex().encode()
    server.answers["/x"] = Answer(gzip.compress(long), headers=packed)
    assert get(server, max_bytes=len(long)).body == long
    server.answers["/x"] = Answer(gzip.compress(b"hello")[:-9], headers=packed)
    assert fail(server) == "could not be asked or gave a broken answer"
    server.answers["/x"] = Answer(gzip.compress(bytes(50_000_000)), headers=packed)
    assert fail(server, max_bytes=100_000) == "sent more than 100,000 bytes"
    server.answers["/x"] = Answer(b"\x1f not gzip", headers=packed)
    assert fail(server) == "could not be asked or gave a broken answer"


def test_a_body_shorter_than_it_claims_is_a_failure(server: PosterServer) -> None:
    server.answers["/x"] = Answer(b"half", headers={"Content-Length": "8"})
    assert fail(server) == "could not be reached"
    server.answers["/x"] = Answer(b"too long", headers={"Content-Length": "3"})
    assert get(server).body == b"too"


def test_redirects_are_followed_without_the_query(server: PosterServer) -> None:
    server.answers |= {
        "/x": moved("/a", 301),
        "/a": moved(f"{server.url}/b", 307),
        "/b": moved("c", 308),
        "/c": Answer(b"ok"),
    }
    assert get(server).body == b"ok"
    assert [request.query for request in server.requests[1:]] == [{}, {}, {}]
    assert all("Authorization" in request.headers for request in server.requests)


def test_a_loop_ends_after_three_redirects(server: PosterServer) -> None:
    server.answers["/x"] = moved("/x")
    assert fail(server) == "redirected too often"
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://localhost:{port}/x", "led to a site that is not allowed"),
        ("http://127.0.0.1/x", "led to a site that is not allowed"),
        ("http://{host}@evil.example/", "led to a site that is not allowed"),
        ("http://user@{host}/ok", "led to a site that is not allowed"),
        ("http://evil.example\\@{host}/ok", "led to a site that is not allowed"),
        ("//169.254.169.254/latest", "led to a site that is not allowed"),
        ("https://{host}/x", "led to an address that is not secure"),
        ("file:///etc/passwd", "led to an address that is not secure"),
        ("ftp://{host}/x", "led to an address that is not secure"),
        ("http://[", "could not be asked or gave a broken answer"),
        ("http://{host}:notaport/", "could not be asked or gave a broken answer"),
    ],
)
def test_a_redirect_is_held_to_hosts_and_schemes(
    server: PosterServer, target: str, reason: str
) -> None:
    server.answers["/x"] = moved(target.format(host=server.host, port=server.port))
    assert fail(server) == reason
    assert len(server.requests) == 1


def test_headers_stay_behind_when_a_redirect_leaves_the_host(
    server: PosterServer, other: PosterServer
) -> None:
    server.answers["/x"] = moved(f"{other.url}/y")
    other.answers["/y"] = Answer(b"ok")
    assert get(server, hosts={server.host, other.host}).body == b"ok"
    assert KEY not in str(other.requests)


def test_the_body_of_a_redirect_is_not_read(server: PosterServer) -> None:
    server.answers["/x"] = Answer(b"x" * 200, 302, {"Location": "/y"}, drip=0.05)
    server.answers["/y"] = Answer(b"ok")
    assert get(server).body == b"ok"


def test_cookies_are_not_kept(server: PosterServer) -> None:
    server.answers["/x"] = Answer(
        status=302, headers={"Location": "/y", "Set-Cookie": "id=1; Path=/"}
    )
    server.answers["/y"] = Answer(b"ok")
    get(server)
    assert "Cookie" not in server.requests[1].headers


def test_only_https_and_listed_hosts_by_default(server: PosterServer) -> None:
    with pytest.raises(FetchError, match="not secure"):
        Fetcher().get(server.url, max_bytes=1, hosts={server.host})
    with pytest.raises(FetchError, match="not allowed"):
        Fetcher().get("https://127.0.0.1:1/", max_bytes=1, hosts={"127.0.0.1"})
    assert server.requests == []


def test_netrc_is_not_read_and_a_proxy_is_used(
    server: PosterServer, other: PosterServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.answers["/x"] = Answer(b"direct")
    server.fetcher().get(f"{server.url}/x", max_bytes=10, hosts={server.host})
    assert "Authorization" not in server.requests[0].headers

    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", other.url)
    other.answers["/x"] = Answer(b"by proxy")
    assert get(server).body == b"by proxy"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=429),
        Answer(status=500),
        Answer(stall=True),
        Answer(hang_up=True),
        Answer(b"half", headers={"Content-Length": "8"}),
        Answer(b"x" * 2000),
        Answer(b"\x1fjunk", headers={"Content-Encoding": "gzip"}),
        moved("http://["),
        moved(f"http://evil.example/?api_key={KEY}"),
        moved("/x"),
    ],
)
def test_a_key_is_never_told(
    server: PosterServer, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers["/x"] = answer
    with pytest.raises(FetchError) as caught:
        get(server, limits=FetchLimits(read=0.1, retry_pause=0))
    assert KEY not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "httpcore2" in caplog.text
    assert KEY not in caplog.text


def test_what_httpcore2_logs_of_a_good_answer_hides_the_key(
    server: PosterServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = {"Link": f"</x?api_key={KEY}>"}  # httpcore2 quotes it
    server.answers["/x"] = Answer(b"ok", headers=headers)
    assert get(server).status == 200
    assert "receive_response_headers.complete" in caplog.text
    assert KEY not in caplog.text
    # What it does for others is logged as ever.
    with httpcore2.ConnectionPool() as pool:
        pool.request("GET", f"{server.url}/x")
    assert KEY in caplog.text


def test_a_header_that_is_none_is_a_failure(
    server: PosterServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = {"A": f"b\r\nno colon here {KEY}"}
    server.answers["/x"] = Answer(b"ok", headers=headers)
    assert fail(server) == "could not be reached"
    assert KEY not in caplog.text


@pytest.mark.parametrize("key", ["line\nbreak", "ключ"])
def test_a_key_that_fits_no_header_is_not_told_either(
    server: PosterServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(FetchError) as caught:
        server.fetcher().get(
            server.url, headers={"Authorization": key}, max_bytes=1, hosts={server.host}
        )
    assert key not in "".join(traceback.format_exception(caught.value))
    assert "line" not in caplog.text
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "limits", [{"connect": 0}, {"read": 0}, {"total": -1}, {"retry_pause": -1}]
)
def test_senseless_limits_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        FetchLimits(**limits)
