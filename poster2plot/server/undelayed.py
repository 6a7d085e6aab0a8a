"""Answers that leave at once."""

import socket
from contextlib import suppress
from pathlib import Path

_OPEN = Path("/dev/fd")  # Windows has no such list


def send_at_once() -> None:
    """Have what this process listens with send each piece of an answer when it is written.

    Otherwise the system keeps a piece until the one before has been acknowledged (Nagle's
    algorithm), which takes 40 ms, and the page is many pieces. asyncio switches that off by itself,
    but for sockets like Streamlit's, which do not name their protocol. Connections inherit it.
    """
    for each in [each for each in _OPEN.glob("*") if each.is_socket()]:
        with (
            suppress(OSError),  # not of TCP, or closed by now
            socket.fromfd(int(each.name), socket.AF_INET, socket.SOCK_STREAM) as found,
        ):
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
