"""The connections of one request, through the proxy and with the certificates of the environment.

Both are as users of requests know them, without which there is no way out of many company networks
(https://requests.readthedocs.io/en/latest/user/advanced/#proxies):

- HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, in capitals or not, else what the system says; NO_PROXY
  holds the names, domains and networks that are reached without.
- REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names a file or a folder of certificates to trust. Without
  them it is SSL_CERT_FILE or SSL_CERT_DIR, or what certifi brings.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]
    getproxies,
    proxy_bypass,
    proxy_bypass_environment,
)

import certifi
import httpcore2

from poster2plot.errors import InputError
from poster2plot.imdb.keys import plain_value
from poster2plot.imdb.network_guard import GuardedBackend


def open_pool(url: httpcore2.URL, end: float, *, allow_private: bool) -> httpcore2.ConnectionPool:
    """The connections for a request of `url`, which end at `end` of `time.monotonic`.

    They go to public addresses only, unless `allow_private`. The address of a proxy is always
    admitted: that is how a company's network is left.

    Raises:
        InputError: a variable of the environment cannot be used; a clause, which names it.
    """
    origin = url.origin
    proxy = _proxy(origin)
    return httpcore2.ConnectionPool(
        ssl_context=_trusted() if origin.scheme == b"https" else None,
        proxy=proxy,
        network_backend=GuardedBackend(end, allow_private=allow_private or proxy is not None),
    )


def check_environment(host: str) -> None:
    """Raise the `InputError` that `open_pool` would for an https URL of `host`."""
    _proxy(httpcore2.Origin(b"https", host.encode(), 443))
    _trusted()


def _proxy(origin: httpcore2.Origin) -> httpcore2.Proxy | None:
    proxies = {name: plain_value(address) for name, address in getproxies().items()}
    scheme = origin.scheme.decode()
    name = scheme if proxies.get(scheme) else "all"
    address = proxies.get(name)
    if not address or _is_bypassed(origin.host.decode(), origin.port, proxies.get("no", "")):
        return None
    variable = f"{name.upper()}_PROXY"
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        _ = parts.port
    except ValueError:
        raise InputError(f"{variable} is not the address of a proxy") from None
    if parts.scheme in ("socks5", "socks5h"):
        if find_spec("socksio") is None:
            raise InputError(f"{variable} is a proxy by SOCKS, which takes the package socksio")
    elif parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{variable} is not the address of a proxy by http, https or socks5")
    auth = None
    if parts.username is not None:
        auth = unquote(parts.username).encode(), unquote(parts.password or "").encode()
    return httpcore2.Proxy(
        httpcore2.URL(scheme=parts.scheme, host=parts.hostname or "", port=parts.port),
        auth=auth,
        ssl_context=_trusted() if parts.scheme == "https" else None,
    )


def _is_bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Whether a host is reached without a proxy; the standard library knows no networks."""
    address = f"{host}:{port}"
    if proxy_bypass_environment(address, {"no": no_proxy}) or proxy_bypass(address):
        return True
    for entry in no_proxy.split(","):
        with suppress(ValueError):  # one of both is a name
            network = ipaddress.ip_network(entry.strip(), strict=False)
            if ipaddress.ip_address(host) in network:
                return True
    return False


def _trusted() -> ssl.SSLContext:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if bundle := plain_value(os.environ.get(name, "")):
            try:
                if Path(bundle).is_dir():
                    return ssl.create_default_context(capath=bundle)
                return ssl.create_default_context(cafile=bundle)
            except OSError:  # no such file, or none of certificates
                raise InputError(f"{name} names no certificates that can be read") from None
    own = "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ
    return ssl.create_default_context(cafile=None if own else certifi.where())
