"""One guarded HTTP GET: allowed hosts only, bounded in time and in bytes, silent about keys.

API keys travel in queries and headers, so nothing here puts a URL, a header or the text of an
exception of another library (which may quote them) into a message, a log record or a chained
exception.
"""

from __future__ import annotations

import copy
import logging
import math
import re
import ssl
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote, urlencode, urljoin, urlsplit

import httpcore2

from poster2plot.errors import InputError
from poster2plot.imdb.network_guard import PrivateAddressError
from poster2plot.imdb.proxies_and_certificates import open_pool

CHUNK = 65_536  # bytes
MAX_REDIRECTS = 3
USER_AGENT = f"poster2plot python-httpcore2/{httpcore2.__version__}"
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"  # RFC 3986; others are sent in percent-encoding
_REDIRECTS = {301, 302, 303, 307, 308}
_TRANSIENT = {429, 500, 502, 503, 504, 520, 521, 522, 523, 524}  # from 520 on Cloudflare's own
_DEFAULT_PORTS = {"http": 80, "https": 443}
_asking: ContextVar[bool] = ContextVar("_asking", default=False)  # in this thread


class FetchError(Exception):
    """A request failed; `reason` completes a sentence that begins with the service's name.

    `of_service` tells whether the next request is likely to fail as well: not so where the address
    asked for, or what is there, cannot be used. `in_log` stands in a log for a `reason` that quotes
    the service, whose words may hold what a visitor asked for.
    """

    def __init__(
        self,
        reason: str,
        *,
        transient: bool = False,
        retry_after: str | None = None,
        of_service: bool = True,
        in_log: str | None = None,
    ):
        super().__init__(reason)
        self.in_log = in_log or reason
        self.of_service = of_service
        self.reason = reason
        self.transient = transient
        self.retry_after = retry_after


@dataclass(frozen=True)
class Response:
    """A final answer, of whatever status is not worth a retry; `body` is decoded."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class FetchLimits:
    """All in seconds. `total` spans one `get` with its retry and redirects.

    The connection is closed then, whatever it is at.
    """

    connect: float = 5.0
    read: float = 10.0
    total: float = 20.0
    retry_pause: float = 0.5  # when the server names no Retry-After
    retry_after: float = 5.0  # a server that asks for a longer wait is given up

    def __post_init__(self) -> None:
        if min(self.connect, self.read, self.total) <= 0:
            raise ValueError("connect, read and total must be above 0 seconds")
        if min(self.retry_pause, self.retry_after) < 0:
            raise ValueError("retry_pause and retry_after must not be negative")


class Fetcher:
    """Fetches from hosts that the caller allows; safe to share between threads."""

    def __init__(
        self,
        limits: FetchLimits | None = None,
        *,
        schemes: Collection[str] = frozenset({"https"}),
        allow_private: bool = False,
        pace: Callable[[str], object] | None = None,
    ) -> None:
        """`allow_private` admits hosts with addresses of a private network, or of this machine.

        `pace` gets the host before each request and returns when that may be made; no limit counts
        the time that it takes.
        """
        self.limits = limits or FetchLimits()
        self.pace = pace
        self.schemes = frozenset(schemes)
        self.allow_private = allow_private
        self._end = math.inf
        for name in ("connection", "http11", "proxy", "socks"):
            logging.getLogger(f"httpcore2.{name}").addFilter(_hide_details)

    def until(self, end: float) -> Fetcher:
        """The same, but nothing that it gets takes longer than until `end` of `time.monotonic`."""
        bound = copy.copy(self)
        bound._end = min(self._end, end)
        return bound

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        max_bytes: int,
        hosts: Collection[str],
    ) -> Response:
        """Fetch `url`, with at most one retry and three redirects.

        `hosts` holds exact names, with `:port` unless the port is the scheme's own; every
        redirect is held to it, and `headers` stay behind when a redirect leaves the origin.

        Raises:
            FetchError: no usable answer within the limits, or more than `max_bytes` of it.
        """
        end = min(time.monotonic() + self.limits.total, self._end)
        hops, retried = 0, False
        while True:
            if self.pace:
                began = time.monotonic()
                self.pace(urlsplit(url).netloc)
                end += time.monotonic() - began
            try:
                answer, target = self._exchange(url, headers, params, max_bytes, hosts, end)
            except FetchError as error:
                pause = self._pause(error)
                if retried or not error.transient or pause > end - time.monotonic():
                    raise
                retried = True
                time.sleep(pause)
                continue
            if target is None:
                return answer
            if hops == MAX_REDIRECTS:
                raise FetchError("redirected too often")
            hops += 1
            same_origin = urlsplit(target)[:2] == urlsplit(url)[:2]
            url, headers, params = target, headers if same_origin else None, None

    def _exchange(
        self,
        url: str,
        headers: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        max_bytes: int,
        hosts: Collection[str],
        end: float,
    ) -> tuple[Response, str | None]:
        """Make one request; return the answer, and where it redirects to, if it does."""
        ours = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"}
        seconds = {"connect": self.limits.connect, "read": self.limits.read}
        try:
            address = self._address(url, params, hosts)
            sent = [
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in (ours | dict(headers or {})).items()
            ]
            # Each request has its own connection. httpcore2 knows neither cookies nor ~/.netrc, and
            # what comes of the environment comes by `open_pool`.
            with (
                _hidden_details(),
                open_pool(address, end, allow_private=self.allow_private) as pool,
                pool.stream(
                    "GET",
                    address,
                    headers=sent,
                    extensions={"timeout": seconds | {"write": self.limits.read}},
                ) as response,
            ):
                return _read(response, url, max_bytes)
        except FetchError:
            raise
        except PrivateAddressError:
            failure = FetchError("led to an address that is not public")
        except InputError as error:  # of the environment
            failure = FetchError(f"could not be asked, as {error}")
        except Exception as error:  # whatever it is, it may quote a key
            failure = _failure(error)
        # Raised out here, the error has no __context__ that would quote the URL.
        raise failure

    def _address(
        self, url: str, params: Mapping[str, str] | None, hosts: Collection[str]
    ) -> httpcore2.URL:
        """Take a URL apart, check it, and give its parts on: nobody parses it another way."""
        parts = urlsplit(url)
        if parts.scheme not in self.schemes:
            raise FetchError("led to an address that is not secure", of_service=False)
        port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
        if "@" in parts.netloc or f"{parts.hostname}{port}" not in hosts:
            raise FetchError("led to a site that is not allowed", of_service=False)
        query = "&".join(filter(None, (parts.query, urlencode(params or {}))))
        return httpcore2.URL(
            scheme=parts.scheme,
            host=parts.hostname or "",
            port=parts.port,
            target=quote((parts.path or "/") + (f"?{query}" if query else ""), _URL_CHARACTERS),
        )

    def _pause(self, error: FetchError) -> float:
        """Return the seconds to wait before the retry, infinite if they are too many."""
        if error.retry_after is None:
            return self.limits.retry_pause
        seconds = _retry_after(error.retry_after)
        if seconds is None:
            return self.limits.retry_pause
        return seconds if seconds <= self.limits.retry_after else float("inf")


def _read(response: httpcore2.Response, url: str, max_bytes: int) -> tuple[Response, str | None]:
    def header(name: bytes) -> str | None:
        values = (value for each, value in response.headers if each.lower() == name)
        value = next(values, None)
        return None if value is None else value.decode("latin-1")

    status = response.status
    if status in _TRANSIENT:
        reason = "is too busy" if status == HTTPStatus.TOO_MANY_REQUESTS else f"failed ({status})"
        raise FetchError(reason, transient=True, retry_after=header(b"retry-after"))
    content_type = header(b"content-type") or ""
    location = header(b"location") if status in _REDIRECTS else None
    if location is not None:
        return Response(status, content_type, b""), urljoin(url, location)
    chunks: Iterable[bytes] = response.iter_stream()
    encoding = (header(b"content-encoding") or "").strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        chunks = _unpacked(chunks, encoding)
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise FetchError(f"sent more than {max_bytes:,} bytes", of_service=False)
    return Response(status, content_type, bytes(body)), None


def _unpacked(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Unpack gzip or deflate, no more than CHUNK bytes at once, so that a bomb stops at the cap.

    What is neither is passed on: some proxies unpack a body and leave the header.
    """
    unpacker, form = None, 0
    for packed in chunks:
        while packed:
            if not form:
                form = _window_bits(packed, encoding)
            if form == _PLAIN:
                yield packed
                break
            if unpacker is None:
                unpacker = zlib.decompressobj(form)
            while piece := unpacker.decompress(packed, CHUNK):
                yield piece
                packed = unpacker.unconsumed_tail
            packed = unpacker.unused_data  # gzip files may follow each other, RFC 1952
            if unpacker.eof:
                unpacker = None
    if unpacker is not None:
        raise ValueError("the end is missing")


_PLAIN = -1  # none of zlib's numbers


def _window_bits(packed: bytes, encoding: str) -> int:
    """How zlib is to read what begins so; `_PLAIN` where it is not packed."""
    if encoding != "deflate":
        return 16 + zlib.MAX_WBITS if packed[:1] == b"\x1f" else _PLAIN
    if packed[:1] == b"\x78":
        return zlib.MAX_WBITS
    # Some send deflate without zlib's head; JSON, markup and pictures begin otherwise.
    return (
        _PLAIN if packed[:1] in (b"{", b"[", b"<", b"\xef", b"\xff", b"\x89") else -zlib.MAX_WBITS
    )


def _failure(error: Exception) -> FetchError:
    if isinstance(error, httpcore2.TimeoutException):
        return FetchError("did not answer in time")
    if isinstance(error, ssl.SSLError):
        return FetchError("has no valid certificate")
    unreached = httpcore2.NetworkError | httpcore2.RemoteProtocolError | httpcore2.ProxyError
    if isinstance(error, unreached):
        return FetchError("could not be reached", transient=True)
    return FetchError("could not be asked or gave a broken answer")


def _retry_after(value: str) -> float | None:
    """Read the seconds to wait from a Retry-After header: a number of them, or a date."""
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:  # "-0000": a time in UTC whose origin is unknown
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - time.time())


@contextmanager
def _hidden_details() -> Iterator[None]:
    token = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(token)


def _hide_details(record: logging.LogRecord) -> bool:
    """Leave of what httpcore2 logs the event's name: the rest quotes headers, keys among them.

    Other users of httpcore2 in this process keep what it logs for them.
    """
    if _asking.get():
        record.msg, record.args = str(record.msg).partition(" ")[0], ()
    return True
