"""Many threads, one engine: who is decoded with whom, when, and what a failure touches."""

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from poster2plot import GenerationSettings
from poster2plot.engine import Engine
from poster2plot.queueing import LARGEST_BATCH, DecodingQueue, Request
from tests.tiny import tiny_model

SHORT = GenerationSettings(max_length=12)
PATIENCE = 30  # seconds until a hanging test fails


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(tiny_model())


def states(engine: Engine, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return engine.encode(torch.randn(1, 3, 32, 32, generator=generator))


def request(engine: Engine, seed: int, settings=SHORT, on_step=None) -> Request:
    return Request(lambda: states(engine, seed), settings, on_step)


def tokens(plots) -> list[tuple[int, ...]]:
    return [plot.token_ids for plot in plots]


def alone(engine: Engine, seed: int, settings=SHORT) -> list[tuple[int, ...]]:
    return tokens(engine.decode(states(engine, seed), settings)[0])


class Gate:
    """An `on_step` that holds the worker at its first step until opened."""

    def __init__(self) -> None:
        self.reached, self._open = threading.Event(), threading.Event()

    def __call__(self, _) -> None:
        self.reached.set()
        assert self._open.wait(PATIENCE)

    def open(self) -> None:
        self._open.set()


def hold(engine: Engine, queue: DecodingQueue) -> Gate:
    """Occupy the worker until the gate opens."""
    gate = Gate()
    queue.submit([request(engine, 99, on_step=gate)])
    assert gate.reached.wait(PATIENCE)
    return gate


def test_what_waits_with_equal_settings_is_decoded_together(engine: Engine):
    queue, steps = DecodingQueue(engine), []
    gate = hold(engine, queue)
    other = replace(SHORT, num_beams=2)
    asked = [(1, SHORT), (2, other), (3, SHORT), (4, other)]
    requests = [
        request(engine, seed, settings, lambda _, seed=seed: steps.append(seed))
        for seed, settings in asked
    ]
    for each in requests:
        queue.submit([each])
    gate.open()
    for each, (seed, settings) in zip(requests, asked, strict=True):
        assert tokens(each.future.result(PATIENCE)) == alone(engine, seed, settings)
    assert steps[:4] == [1, 3, 1, 3]
    assert steps[-4:] == [2, 4, 2, 4]


def test_no_batch_is_larger_than_the_limit(engine: Engine):
    queue, steps = DecodingQueue(engine), []
    requests = [
        request(engine, seed, on_step=lambda _, seed=seed: steps.append(seed))
        for seed in range(LARGEST_BATCH + 1)
    ]
    queue.submit(requests)
    for each in requests:
        each.future.result(PATIENCE)
    assert steps[: LARGEST_BATCH + 1] == [*range(LARGEST_BATCH), 0]


def test_a_cancelled_request_leaves_the_queue(engine: Engine):
    queue = DecodingQueue(engine)
    gate = hold(engine, queue)
    cancelled, kept = request(engine, 1, on_step=pytest.fail), request(engine, 2)
    queue.submit([cancelled, kept])
    cancelled.future.cancel()
    gate.open()
    assert tokens(kept.future.result(PATIENCE)) == alone(engine, 2)
    with pytest.raises(CancelledError):
        cancelled.future.result(PATIENCE)


def test_a_request_can_be_cancelled_while_it_is_decoded(engine: Engine):
    queue, seen = DecodingQueue(engine), []

    def cancel_at_third(hypothesis) -> None:
        seen.append(len(hypothesis.token_ids))
        if len(seen) == 3:
            cancelled.future.cancel()

    cancelled = request(engine, 1, on_step=cancel_at_third)
    kept = request(engine, 2)
    queue.submit([cancelled, kept])
    assert tokens(kept.future.result(PATIENCE)) == alone(engine, 2)
    assert len(seen) == 3


def broken(*_):
    raise ArithmeticError("broken")


@pytest.mark.parametrize(
    "failing",
    [Request(broken, SHORT), Request(lambda: torch.zeros(1, 17, 32), SHORT, broken)],
    ids=["while read", "while decoded"],
)
def test_a_failing_request_harms_no_other(engine: Engine, failing: Request):
    queue = DecodingQueue(engine)
    failing = replace(failing, future=type(failing.future)())
    others = [request(engine, seed) for seed in (1, 2)]
    queue.submit([others[0], failing, others[1]])
    for seed, other in zip((1, 2), others, strict=True):
        assert tokens(other.future.result(PATIENCE)) == alone(engine, seed)
    with pytest.raises(ArithmeticError, match="broken"):
        failing.future.result(PATIENCE)


def test_many_threads_get_their_own_plots(engine: Engine):
    queue = DecodingQueue(engine)
    settings = [SHORT, replace(SHORT, sample=True, seed=5)]

    def ask(i: int):
        each = request(engine, i, settings[i % 2])
        queue.submit([each])
        return tokens(each.future.result(PATIENCE))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(24)))
    assert found == [alone(engine, i, settings[i % 2]) for i in range(24)]
