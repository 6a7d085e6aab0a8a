"""Answers that leave at once."""

import socket
import sys

import pytest

from poster2plot.server.undelayed import send_at_once


def is_undelayed(connection: socket.socket) -> bool:
    return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no list of what is open")
def test_connections_send_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address), server.accept()[0] as connection:
            assert not is_undelayed(connection)
        send_at_once()
        with socket.create_connection(address) as client, server.accept()[0] as connection:
            assert is_undelayed(connection)
            assert not is_undelayed(client)
