"""One guarded HTTP GET: allowed hosts only, bounded in time and in bytes, silent about keys.

API keys travel in queries and headers, so nothing here puts a URL, a header or the text of an
exception of requests (which quotes the URL) into a message, a log record or a chained exception.
"""

from __future__ import annotations

import copy
import logging
import math
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from poster2plot.imdb.network_guard import GuardedAdapter, PrivateAddressError

CHUNK = 65_536  # bytes
MAX_REDIRECTS = 3
USER_AGENT = f"poster2plot python-requests/{requests.__version__}"
_REDIRECTS = {301, 302, 303, 307, 308}
_TRANSIENT = {429, 500, 502, 503, 504}
_DEFAULT_PORTS = {"http": 80, "https": 443}


class FetchError(Exception):
    """A request failed; `reason` completes a sentence that begins with the service's name."""

    def __init__(self, reason: str, *, transient: bool = False, retry_after: str | None = None):
        super().__init__(reason)
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
        for name in ("connection", "connectionpool", "util.retry"):
            logging.getLogger(f"urllib3.{name}").addFilter(_hide_keys)

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
        all_headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip", **(headers or {})}
        try:
            request = requests.Request("GET", url, headers=all_headers, params=params).prepare()
            self._check(request.url or "", hosts)
            # A session for each request keeps no cookies. It takes proxies and the CA bundle from
            # the environment, without which there is no way out of many company networks; ~/.netrc
            # is only read for requests that a session prepares, and this one is not. The adapter
            # sends it, as Session.send would read the body of a redirect, however long it is.
            with requests.Session() as session:
                route = session.merge_environment_settings(request.url, {}, True, None, None)
                timeout = (self.limits.connect, min(self.limits.read, _remaining(end)))
                adapter = GuardedAdapter(end, allow_private=self.allow_private)
                session.mount(request.url or "", adapter)  # which closes it
                with adapter.send(
                    request,
                    stream=True,
                    timeout=timeout,
                    verify=route["verify"] or True,
                    proxies=route["proxies"],
                ) as response:
                    return _read(response, max_bytes, end)
        except PrivateAddressError:
            failure = FetchError("led to an address that is not public")
        except (OSError, HTTPException, urllib3.exceptions.HTTPError, ValueError) as error:
            late = time.monotonic() >= end  # and so it was hung up
            failure = FetchError("did not answer in time") if late else _failure(error)
        # Raised out here, the error has no __context__ that would quote the URL.
        raise failure

    def _check(self, url: str, hosts: Collection[str]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in self.schemes:
            raise FetchError("led to an address that is not secure")
        port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
        if "@" in parts.netloc or f"{parts.hostname}{port}" not in hosts:
            raise FetchError("led to a site that is not allowed")

    def _pause(self, error: FetchError) -> float:
        """Return the seconds to wait before the retry, infinite if they are too many."""
        if error.retry_after is None:
            return self.limits.retry_pause
        seconds = _retry_after(error.retry_after)
        if seconds is None:
            return self.limits.retry_pause
        return seconds if seconds <= self.limits.retry_after else float("inf")


def _read(response: requests.Response, max_bytes: int, end: float) -> tuple[Response, str | None]:
    status = response.status_code
    if status in _TRANSIENT:
        reason = "is too busy" if status == HTTPStatus.TOO_MANY_REQUESTS else f"failed ({status})"
        raise FetchError(reason, transient=True, retry_after=response.headers.get("Retry-After"))
    content_type = response.headers.get("Content-Type", "")
    location = response.headers.get("Location") if status in _REDIRECTS else None
    if location is not None:
        return Response(status, content_type, b""), urljoin(response.url, location)
    body = bytearray()
    # read1 gives what one read brings, so that a body that drips in cannot outlast the deadline,
    # and unpacks no more than CHUNK bytes at once, so that a gzip bomb stops at the cap.
    while chunk := response.raw.read1(CHUNK, decode_content=True):
        body += chunk
        if len(body) > max_bytes:
            raise FetchError(f"sent more than {max_bytes:,} bytes")
        _remaining(end)
    _remaining(end)  # else the end was ours, and what came may be half of it
    return Response(status, content_type, bytes(body)), None


def _remaining(end: float) -> float:
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise FetchError("did not answer in time")
    return seconds


def _failure(error: Exception) -> FetchError:
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return FetchError("did not answer in time")
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return FetchError("has no valid certificate")
    if isinstance(error, requests.ConnectionError | urllib3.exceptions.ProtocolError):
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


def _hide_keys(record: logging.LogRecord) -> bool:
    """Blank the keys in the URLs that urllib3 logs: every one at DEBUG, odd ones at WARNING."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            re.sub(r"(?i)(api_?key=)[^&\s]+", r"\1…", arg) if isinstance(arg, str) else arg
            for arg in record.args
        )
    return True
