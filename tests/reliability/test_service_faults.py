"""A slice of `python -m reliability.services`: the faults that take no time, at every hop."""

import socket
from collections.abc import Iterator

import pytest

from reliability.services import (
    FAULTS,
    GRACE,
    HOPS,
    SEARCH_HOPS,
    SECONDS,
    Outcome,
    heard_connections,
    look_up,
    search,
)
from support.poster_server import PosterServer, serve_posters

QUICK = {name: fault for family in FAULTS.values() for name, fault in family.items()}
for _slow in ("silence", "a header that never ends", "a body that drips", "429"):
    del QUICK[_slow]


@pytest.fixture(scope="module")
def server() -> Iterator[PosterServer]:
    with serve_posters() as running:
        yield running


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("fault", QUICK)
def test_a_fault_ends_in_time_and_leads_nowhere(server: PosterServer, hop: str, fault: str):
    is_harmless(look_up(server, HOPS[hop], QUICK[fault]))


@pytest.mark.parametrize("fault", QUICK)
def test_a_search_goes_on_without_the_service_that_fails(server: PosterServer, fault: str):
    for hop in SEARCH_HOPS.values():
        outcome = search(server, [hop], QUICK[fault])
        is_harmless(outcome)
        assert outcome.end == "match", hop
    outcome = search(server, SEARCH_HOPS.values(), QUICK[fault])
    is_harmless(outcome)
    assert outcome.end in ("no match", "PosterServiceError")


def test_a_connection_that_leads_elsewhere_is_heard(server: PosterServer):
    with heard_connections() as addresses:
        socket.create_connection(("localhost", server.port)).close()
    assert ("127.0.0.1", server.port) in addresses


def is_harmless(outcome: Outcome) -> None:
    assert not outcome.end.startswith("!")
    assert outcome.seconds < SECONDS + GRACE
    assert not outcome.strays
    assert not outcome.leaks
