"""What is wrong with the machine or a store, in one sentence with a hint."""

from __future__ import annotations

import errno
import socket

from poster2plot.batch.catalogues.stores import STORE_PACKAGES

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


def sentence(error: BaseException) -> str | None:
    """What happened and what helps, or None for a fault of this program."""
    if isinstance(error, MemoryError):
        return f"The run stopped: {_HINTS[errno.ENOMEM]}, then start it again to go on."
    if isinstance(error, OSError) and error.errno in _HINTS:
        where = f" ({error.filename})" if error.filename else ""
        return (
            f"The run stopped, as {_HINTS[error.errno]}{where}; then start it again to go on: what "
            "is written stays."
        )
    if isinstance(error, PermissionError):  # of a store
        return (
            f"The run stopped, as the store refuses access ({_first_line(error)}); renew the "
            "credentials, then start it again to go on."
        )
    home = type(error).__module__.split(".")[0]
    if home in STORE_PACKAGES or isinstance(
        error, ConnectionError | TimeoutError | socket.gaierror
    ):
        return (
            f"The run stopped, as the store or the network fails ({_first_line(error)}); check the "
            "connection and the credentials, then start it again to go on."
        )
    if isinstance(error, OSError):
        return (
            f"The run stopped: {_first_line(error)}; then start it again to go on: what is written "
            "stays."
        )
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
