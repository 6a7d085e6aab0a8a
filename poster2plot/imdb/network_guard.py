"""Connections that go to public addresses only and end at a deadline, for requests.

The host names that a `Fetcher` asks are on a list, but who answers a DNS query can say any address,
another one each time. So a name is resolved once, and the connection is made to one of the
addresses that were looked at (OWASP, Server-Side Request Forgery Prevention). A read timeout starts
anew with every byte; the deadline does not.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Forms of IPv4 and of private addresses that no registry lists as such: RFC 4291, 2765, 8215, 3879.
_OUTDATED = [
    ipaddress.IPv6Network(network)
    for network in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10")
]


class PrivateAddressError(Exception):
    """A name stands for no address that is reachable by everyone."""


class GuardedAdapter(HTTPAdapter):
    """Sends one request. `end` is of `time.monotonic`.

    `allow_private` admits every address. The address of a proxy from the environment is always
    admitted: that is how a company's network is left. Requests raise `PrivateAddressError`.
    """

    def __init__(self, end: float, *, allow_private: bool) -> None:
        self._end, self._allow_private = end, allow_private
        self._watches: list[tuple[threading.Timer, socket.socket]] = []
        super().__init__()

    def get_connection_with_tls_context(self, request: Any, *args: Any, **options: Any) -> Any:
        """The connection pool of a request, whose connections are guarded."""
        pool: Any = super().get_connection_with_tls_context(request, *args, **options)
        proxy = select_proxy(request.url, options.get("proxies"))
        pool.ConnectionCls = self._guarded(pool.ConnectionCls, self._allow_private or bool(proxy))
        return pool

    def close(self) -> None:
        """Close the connections; nothing is watched any more."""
        for watch, connection in self._watches:
            watch.cancel()
            connection.close()
        super().close()

    def _guarded(self, base: type[HTTPConnection], allow_private: bool) -> type[HTTPConnection]:
        watch, end = self._watch, self._end

        class Guarded(base):  # type: ignore[misc, valid-type]
            _dns_host: str

            def _new_conn(self) -> socket.socket:
                name: str = self._dns_host
                try:
                    for address in addresses(name, self.port, end, allow_private):
                        # The certificate is checked against the name, which is put back in time.
                        self._dns_host = address
                        with suppress(NewConnectionError):
                            return watch(super()._new_conn())
                finally:
                    self._dns_host = name
                raise NewConnectionError(self, "no address answers")

        return Guarded

    def _watch(self, connection: socket.socket) -> socket.socket:
        """Hang up at the deadline, through a copy that TLS does not take away."""
        copy = connection.dup()

        def hang_up() -> None:
            with suppress(OSError):
                copy.shutdown(socket.SHUT_RDWR)

        watch = threading.Timer(max(0.0, self._end - time.monotonic()), hang_up)
        watch.daemon = True
        watch.start()
        self._watches.append((watch, copy))
        return connection


def addresses(name: str, port: int, end: float, allow_private: bool) -> list[str]:
    """The addresses of a host.

    Raises `PrivateAddressError` if it has others only than are allowed, and
    `urllib3.exceptions.ConnectTimeoutError` when `end` comes first.
    """
    answers: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            answers.put(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except OSError as error:
            answers.put(error)

    # The system's resolver knows no deadline.
    threading.Thread(target=resolve, daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, end - time.monotonic()))
    except queue.Empty:
        raise urllib3.exceptions.ConnectTimeoutError("the name was not resolved in time") from None
    if isinstance(answer, OSError):
        raise answer
    found = [str(sockaddr[0]) for *_, sockaddr in answer]
    allowed = [each for each in found if allow_private or is_public(each)]
    if not allowed:
        raise PrivateAddressError
    return allowed


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
