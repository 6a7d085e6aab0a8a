"""What fails between here and a file: the machine, the network or a store, in words with a hint."""

from __future__ import annotations

import errno
import socket
from typing import Any

from poster2plot.errors import InputError

# Whose errors are of a store or of the way to it.
_STORE_PACKAGES = (
    "botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "adlfs", "google", "azure",
)  # fmt: skip
_OF_THE_MACHINE = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_HINTS = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the quota of the disk is used up; make room",
    errno.EFBIG: "a file may not grow as large as it has to; raise the limit",
    errno.EROFS: "the disk is read-only; name an output on another",
    errno.EACCES: "it is not permitted; check who may write there",
    errno.EPERM: "it is not permitted; check who may write there",
    errno.EMFILE: "too many files are open; raise `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOMEM: "there is too little memory; close other programs or use fewer processes",
    errno.EIO: "the disk fails; check it",
    errno.ESTALE: "the shared disk went away; mount it again",
}
_EXPIRED = "the credentials for the store have expired", "renew them"
_UNKNOWN = "the store does not know these credentials", "check them"
_REFUSED = "the store does not let these credentials do it", "check what they may do"
_BUSY = "the store is too busy or fails", "wait a while"
_FULL = "the store is full", "make room"
_UNREACHED = "the store or the network cannot be reached", "check the connection"
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and statuses of HTTP, which
# are all that an answer without a body says.
_SAID = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"),
        _EXPIRED,
    ),
    **dict.fromkeys(("InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"), _UNKNOWN),
    "401": _UNKNOWN,
    "400": ("the store refuses the request", "check the credentials, which may have expired"),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "Forbidden", "403"), _REFUSED),
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", "set it"),
    **dict.fromkeys(("NoSuchBucket", "404"), ("there is no such bucket", "check its name")),
    **dict.fromkeys(
        ("InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "TooManyRequests"),
        _BUSY,
    ),
    **dict.fromkeys(("429", "500", "502", "503", "504"), _BUSY),
    **dict.fromkeys(("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "507"), _FULL),
}


class UnreachableError(InputError):
    """The store, the network or the disk fails, which says nothing of the poster."""


def is_failure(error: BaseException, url: str) -> bool:
    """Whether an error in reading a `Place.url` is of what lies between, and not of the file."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return False
    if _of_a_store(error) is not None:  # also of one that a table on a disk names
        return True
    if "://" in url:
        return isinstance(error, PermissionError | ConnectionError | TimeoutError)
    return isinstance(error, OSError) and error.errno in _OF_THE_MACHINE


def raise_failure(error: BaseException, shown: str, url: str) -> None:
    """Raise `UnreachableError` for what is no fault of the file, which is called `shown`.

    Raises `InputError` where it is only that the file may not be read.
    """
    if is_failure(error, url):
        raise UnreachableError(f"{shown!r} cannot be read, as {trouble(error)}.") from error
    if isinstance(error, PermissionError):
        raise InputError(f"{shown!r} may not be read; check who may.") from error


def trouble(error: BaseException) -> str | None:
    """What the machine, the network or a store has, and what helps; None for another error."""
    if (of_store := _of_a_store(error)) is not None:
        return _of_store(of_store)
    if isinstance(error, OSError) and error.errno in _HINTS:
        return _HINTS[error.errno] + (f" ({error.filename})" if error.filename else "")
    if isinstance(error, PermissionError):  # of a store
        return "; ".join(_REFUSED)
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
        return _worded(_UNREACHED, first_line(error))
    return None


def first_line(error: BaseException) -> str:
    """What an error says, without the rest of its lines."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")


def _of_a_store(error: BaseException) -> BaseException | None:
    """The error of a store's package that this is, or that it comes of."""
    found: BaseException | None = error
    while found is not None:
        if type(found).__module__.split(".")[0] in _STORE_PACKAGES:
            return found
        found = found.__cause__
    return None


def _of_store(error: BaseException) -> str:
    """By its code, by its status, or by what kind of error it is."""
    response: Any = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    for said in (code, getattr(error, "status_code", None), getattr(error, "code", None)):
        if str(said) in _SAID:
            return _worded(_SAID[str(said)], str(said))
    name = type(error).__name__
    if any(part in name for part in ("Credential", "Token", "Auth", "Refresh")):
        return _worded(("there are no credentials for the store", "set or renew them"), name)
    if any(part in name for part in ("Connect", "Timeout", "Endpoint", "HTTPClient")):
        return _worded(_UNREACHED, name)
    return _worded(("the store fails", "wait a while"), first_line(error))


def _worded(what: tuple[str, str], detail: str) -> str:
    return f"{what[0]} ({detail}); {what[1]}"
