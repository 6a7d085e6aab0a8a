"""Connections that go to public addresses only and end at a deadline, for httpcore2.

The host names that a `Fetcher` asks are on a list, but who answers a DNS query can say any address,
another one each time. So a name is resolved once, and the connection is made to one of the
addresses that were looked at (OWASP, Server-Side Request Forgery Prevention). A read timeout starts
anew with every byte; the deadline does not.

httpcore2 leaves connecting, reading, writing and TLS to a `NetworkBackend` and its streams; these
are public (https://github.com/pydantic/httpx2/tree/main/src/httpcore2/docs).
"""

from __future__ import annotations

import ipaddress
import math
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar

import httpcore2

ATTEMPT = 1.0  # seconds at most for an address while there are others to try
RECORD = 16_384  # bytes of a record of TLS, RFC 8446
_T = TypeVar("_T")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Forms of IPv4 and of private addresses that no registry lists as such: RFC 4291, 2765, 8215, 3879.
_OUTDATED = [
    ipaddress.IPv6Network(network)
    for network in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10")
]


class PrivateAddressError(Exception):
    """A name stands for no address that is reachable by everyone."""


class GuardedBackend(httpcore2.NetworkBackend):
    """Connects for one request, until `end` of `time.monotonic`; `allow_private` admits all."""

    def __init__(self, end: float, *, allow_private: bool) -> None:
        self._end, self._allow_private = end, allow_private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of `host` that answers, within `timeout` seconds for all.

        Raises:
            PrivateAddressError: no address is public, and that is not allowed.
            httpcore2.ConnectError: the name is unknown, or no address takes the connection.
            httpcore2.ConnectTimeout: it took too long.
        """
        end = min(self._end, time.monotonic() + (math.inf if timeout is None else timeout))
        source = (local_address, 0) if local_address else None
        found = addresses(host, port, end, self._allow_private)
        for others, address in zip(range(len(found) - 1, -1, -1), found, strict=True):
            # A silent address does not use up the time of those after it, as in RFC 8305.
            share = (end - time.monotonic()) / (others + 1)
            try:
                with _told_as(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                    seconds = _left(end, min(ATTEMPT, share) if others else math.inf)
                    connection = socket.create_connection((address, port), seconds, source)
            except (httpcore2.ConnectTimeout, httpcore2.ConnectError):
                if not others:
                    raise
            else:
                break
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option in socket_options or ():
            connection.setsockopt(*option)
        return _TCPStream(connection, self._end)


class _Stream(httpcore2.NetworkStream):
    """What TLS can be spoken over. That may be TLS itself: to a host, through an https proxy."""

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            return _TLSStream(self, ssl_context, server_hostname, timeout)
        except BaseException as error:
            self.close()
            if isinstance(error, ssl.SSLEOFError):
                raise httpcore2.ConnectError("hung up in the handshake") from error
            raise


class _TCPStream(_Stream):
    """A connection until `end`: no read and no write begins then or lasts longer."""

    def __init__(self, connection: socket.socket, end: float) -> None:
        self._connection, self._end = connection, end

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _told_as(httpcore2.ReadTimeout, httpcore2.ReadError):
            self._connection.settimeout(_left(self._end, timeout))
            return self._connection.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _told_as(httpcore2.WriteTimeout, httpcore2.WriteError):
            while buffer:
                self._connection.settimeout(_left(self._end, timeout))
                buffer = buffer[self._connection.send(buffer) :]

    def close(self) -> None:
        self._connection.close()


class _TLSStream(_Stream):
    """TLS over a stream, so that the deadline of that one bounds the handshake as well.

    The context checks the certificate against `name` in the handshake, which the constructor makes;
    it raises `ssl.SSLError`.
    """

    def __init__(
        self, below: _Stream, context: ssl.SSLContext, name: str | None, timeout: float | None
    ) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._run(self._tls.do_handshake, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._run(partial(self._tls.read, max_bytes), timeout)
        except ssl.SSLEOFError:
            # Many hang up without TLS's goodbye. HTTP knows by the length whether all has come.
            return b""
        except ssl.SSLError as error:
            raise httpcore2.ReadError("broken TLS") from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        while buffer:
            buffer = buffer[self._run(partial(self._tls.write, buffer), timeout) :]

    def close(self) -> None:
        self._below.close()

    def get_extra_info(self, info: str) -> Any:
        return self._tls if info == "ssl_object" else self._below.get_extra_info(info)

    def _run(self, step: Callable[[], _T], timeout: float | None) -> _T:
        """Do a step of TLS, with all the bytes that it wants to send and to see before it is done.

        `timeout` is in seconds, for each of its reads and writes.
        """
        while True:
            result: list[_T] = []
            with suppress(ssl.SSLWantReadError):
                result.append(step())
            self._below.write(self._outgoing.read(), timeout)
            if result:
                return result[0]
            if received := self._below.read(RECORD, timeout):
                self._incoming.write(received)
            else:
                self._incoming.write_eof()


@contextmanager
def _told_as(timeout: type[Exception], failure: type[Exception]) -> Iterator[None]:
    """Raise errors of the system as httpcore2 wants them."""
    try:
        yield
    except TimeoutError as error:
        raise timeout("took too long") from error
    except OSError as error:
        raise failure("the connection failed") from error


def _left(end: float, timeout: float | None) -> float:
    """The seconds until `end`, at most `timeout`. Raises `TimeoutError` when none are left."""
    seconds = min(end - time.monotonic(), math.inf if timeout is None else timeout)
    if seconds <= 0:
        raise TimeoutError
    return seconds


def addresses(name: str, port: int, end: float, allow_private: bool) -> list[str]:
    """The addresses of a host, each once, as the system's resolver orders them.

    IPv6 and IPv4 take turns, as one of both may lead nowhere from here (RFC 8305).

    Raises:
        PrivateAddressError: it has others only than are allowed.
        httpcore2.ConnectError: the name is unknown.
        httpcore2.ConnectTimeout: `end` of `time.monotonic` came first.
    """
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            answers.put(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # the second from names that are none
            answers.put(error)

    # The system's resolver knows no deadline.
    threading.Thread(target=resolve, daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, end - time.monotonic()))
    except queue.Empty:
        raise httpcore2.ConnectTimeout("the name was not resolved in time") from None
    if isinstance(answer, Exception):
        raise httpcore2.ConnectError("the name is unknown") from answer
    found = [str(sockaddr[0]) for *_, sockaddr in answer]
    allowed = [each for each in found if allow_private or is_public(each)]
    if not allowed:
        raise PrivateAddressError
    families: dict[bool, list[str]] = {}
    for each in dict.fromkeys(allowed):
        families.setdefault(":" in each, []).append(each)
    return [each for turn in zip_longest(*families.values()) for each in turn if each]


def is_public(address: str) -> bool:
    """Whether an IP address is reachable by everyone, as the IANA registries have it.

    What carries an IPv4 address in itself (mapped, 6to4, NAT64) is as public as that.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if any(parsed in network for network in _OUTDATED):
            return False
        nat64 = ipaddress.IPv4Address(parsed.packed[-4:]) if parsed in _NAT64 else None
        inner = parsed.ipv4_mapped or parsed.sixtofour or nat64
        if inner is not None:
            return is_public(str(inner))
    return parsed.is_global and not parsed.is_multicast
