"""How often services are asked."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from poster2plot.batch.service_rates import Pace


def test_hosts_are_asked_as_often_as_they_may_be_by_all_workers_together():
    workers = [Pace(2, {"fast": 20.0}, other_hosts=1000.0) for _ in range(2)]
    asked: dict[str, list[float]] = {"fast": [], "other": []}

    def ask(worker: Pace) -> None:
        for _ in range(15):
            for host, times in asked.items():
                worker(host)
                times.append(time.monotonic())

    with ThreadPoolExecutor() as pool:
        list(pool.map(ask, workers))
    for times in asked.values():
        times.sort()
        assert len(times) == 30
    # The clocks of the limiter and of this test round differently.
    assert all(late - early > 0.95 for early, late in zip(times, asked["fast"][20:], strict=False))
    slow = Pace(100, {"slow": 40.0})
    slow("slow")
    began = time.monotonic()
    slow("slow")
    assert time.monotonic() - began > 1.9  # 40 a second for 100 workers: 3 s for one of each


def test_nobody_waits_longer_than_for_the_next_turn(monkeypatch: pytest.MonkeyPatch):
    pace, sleep = Pace(1, {"host": 1.0}), time.sleep
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        sleep(seconds)

    pace("host")
    sleep(0.5)
    monkeypatch.setattr("poster2plot.batch.service_rates.time.sleep", wait)
    pace("host")
    assert waits
    assert max(waits) < 0.6
