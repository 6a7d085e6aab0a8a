"""Many threads, one engine: who is decoded with whom, when, and what a failure touches."""

import threading
import time
from collections import defaultdict
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
import torch

from poster2plot import GenerationSettings
from poster2plot.engine import memory, quantization
from poster2plot.engine import queue as engine_queue
from poster2plot.engine.engine import Engine
from poster2plot.engine.queue import (
    LARGEST_BATCH,
    DecodingQueue,
    QueueClosedError,
)
from poster2plot.engine.requests import DecodingRequest
from poster2plot.engine.search import Hypothesis
from support.toy_model import tiny_model

SHORT = GenerationSettings(max_length=12)
PATIENCE = 30  # seconds until a hanging test fails


@pytest.fixture(scope="module")
def engine() -> Engine:
    """It has one worker, so that the order is known."""
    return Engine(tiny_model(), "fp32")


@pytest.fixture
def wide_engine(two_threads: None, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Two workers decode concurrently, and weights as small as these are in int8 too."""
    monkeypatch.setattr(quantization, "_SMALL", 0)
    return Engine(tiny_model(), "int8")


def encoder_states(engine: Engine, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return engine.encode(torch.randn(1, 3, 32, 32, generator=generator))


def request(engine: Engine, seed: int, settings=SHORT, on_step=None, visitor="") -> DecodingRequest:
    return DecodingRequest(lambda: encoder_states(engine, seed), settings, on_step, visitor)


decoding = request  # where pytest's own fixture has that name


def tokens(plots) -> list[tuple[int, ...]]:
    return [plot.token_ids for plot in plots]


def alone(engine: Engine, seed: int, settings=SHORT) -> list[tuple[int, ...]]:
    return tokens(engine.decode(encoder_states(engine, seed), settings)[0])


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


def test_what_waits_is_decoded_together_whatever_its_settings(engine: Engine):
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
    assert sorted(steps[:4]) == sorted(steps[4:8]) == [1, 2, 3, 4]


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


@pytest.mark.parametrize("scarce", ["rows", "memory"])
def test_what_there_is_no_room_for_waits(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, scarce: str
):
    rows, size = engine.needs(SHORT)
    if scarce == "rows":
        monkeypatch.setattr(engine_queue, "MOST_ROWS", 2 * rows)
    else:
        monkeypatch.setattr(memory, "for_batches", lambda _: 2 * size)
    queue, steps = DecodingQueue(engine), []
    requests = [
        request(engine, seed, on_step=lambda _, seed=seed: steps.append(seed)) for seed in range(4)
    ]
    queue.submit(requests)
    for each in requests:
        each.future.result(PATIENCE)
    assert steps[:4] == [0, 1, 0, 1]


def test_concurrent_workers_share_what_waits(wide_engine: Engine):
    queue, together, met = DecodingQueue(wide_engine), threading.Barrier(2), set()
    decoded: defaultdict[int, list[int]] = defaultdict(list)  # posters by thread

    def on_step(seed: int) -> None:
        worker = threading.get_ident()
        if worker not in met:
            met.add(worker)
            together.wait(PATIENCE)
        if seed not in decoded[worker]:
            decoded[worker].append(seed)

    requests = [
        request(wide_engine, seed, on_step=lambda _, seed=seed: on_step(seed)) for seed in range(8)
    ]
    queue.submit(requests)
    found = [tokens(each.future.result(PATIENCE)) for each in requests]
    assert sorted(decoded.values()) == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert found == [alone(wide_engine, seed) for seed in range(8)]


def test_one_long_plot_leaves_the_other_worker_free(wide_engine: Engine):
    queue = DecodingQueue(wide_engine)
    gate = hold(wide_engine, queue)
    for seed in range(3):
        each = request(wide_engine, seed)
        queue.submit([each])
        assert tokens(each.future.result(PATIENCE)) == alone(wide_engine, seed)
    gate.open()


def test_a_cancelled_request_leaves_the_queue(engine: Engine):
    queue = DecodingQueue(engine)
    gate = hold(engine, queue)
    encoded: list[int] = []
    steps: list[object] = []

    def encode() -> torch.Tensor:
        encoded.append(1)
        return encoder_states(engine, 1)

    cancelled = DecodingRequest(encode, SHORT, steps.append)
    kept = request(engine, 2)
    queue.submit([cancelled, kept])
    cancelled.future.cancel()
    assert (len(queue), queue.ahead(kept)) == (1, 0)
    gate.open()
    assert tokens(kept.future.result(PATIENCE)) == alone(engine, 2)
    assert (encoded, steps) == ([], [])
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
    [
        DecodingRequest(broken, SHORT),
        DecodingRequest(lambda: torch.zeros(1, 17, 32), SHORT, broken),
    ],
    ids=["while encoded", "while decoded"],
)
def test_a_failing_request_harms_no_other(engine: Engine, failing: DecodingRequest):
    queue = DecodingQueue(engine)
    failing = replace(failing, future=type(failing.future)())
    others = [request(engine, seed) for seed in (1, 2)]
    queue.submit([others[0], failing, others[1]])
    for seed, other in zip((1, 2), others, strict=True):
        assert tokens(other.future.result(PATIENCE)) == alone(engine, seed)
    with pytest.raises(ArithmeticError, match="broken"):
        failing.future.result(PATIENCE)


def test_a_failing_callback_does_not_make_the_others_begin_again(engine: Engine):
    queue = DecodingQueue(engine)
    lengths: dict[int, list[int]] = {1: [], 2: [], 3: []}

    def on_step(seed: int, hypothesis: Hypothesis) -> None:
        lengths[seed].append(len(hypothesis.token_ids))
        if seed == 2 and len(lengths[seed]) == 3:
            broken()

    settings = replace(SHORT, num_beams=1)
    requests = {
        seed: request(engine, seed, settings, partial(on_step, seed), "one") for seed in lengths
    }
    queue.submit([*requests.values()])
    for seed in (1, 3):
        assert tokens(requests[seed].future.result(PATIENCE)) == alone(engine, seed, settings)
        assert lengths[seed] == [*range(1, len(lengths[seed]) + 1)]
    with pytest.raises(ArithmeticError, match="broken"):
        requests[2].future.result(PATIENCE)
    assert lengths[2] == [1, 2, 3]


def ends_the_thread(*_):
    raise SystemExit("as some library may")


@pytest.mark.parametrize("kind", ["engine", "wide_engine"])
@pytest.mark.parametrize("where", ["encode", "step", "callback"])
def test_what_ends_a_worker_leaves_nobody_waiting(
    request: pytest.FixtureRequest, kind: str, where: str
):
    """A `BaseException`, which no handler of errors sees, such as a panic of a Rust library."""
    some_engine = request.getfixturevalue(kind)
    queue = DecodingQueue(some_engine)
    failing = DecodingRequest(
        ends_the_thread if where == "encode" else lambda: encoder_states(some_engine, 3),
        SHORT,
        ends_the_thread if where == "step" else None,
    )
    if where == "callback":
        failing.future.add_done_callback(ends_the_thread)
    others = [decoding(some_engine, seed) for seed in (1, 2)]
    queue.submit([others[0], failing, others[1]])
    for seed, other in zip((1, 2), others, strict=True):
        assert tokens(other.future.result(PATIENCE)) == alone(some_engine, seed)
    if where != "callback":
        with pytest.raises(RuntimeError, match="decoding ended by SystemExit"):
            failing.future.result(PATIENCE)
    # And those who come later are served.
    later = decoding(some_engine, 4)
    queue.submit([later])
    assert tokens(later.future.result(PATIENCE)) == alone(some_engine, 4)


def test_a_worker_that_cannot_go_on_ends_those_who_wait(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    queue = DecodingQueue(engine)
    gate = hold(engine, queue)
    waiting = [decoding(engine, seed) for seed in (1, 2)]
    queue.submit(waiting)
    monkeypatch.setattr(engine_queue, "Counter", ends_the_thread)
    gate.open()
    for each in waiting:
        with pytest.raises(RuntimeError, match="SystemExit"):
            each.future.result(PATIENCE)
    monkeypatch.undo()
    later = decoding(engine, 4)
    queue.submit([later])
    assert tokens(later.future.result(PATIENCE)) == alone(engine, 4)


def test_without_a_thread_for_it_a_request_is_refused_and_not_kept(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    def none_left(_: object) -> None:
        raise RuntimeError("can't start new thread")

    queue = DecodingQueue(engine)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError, match="new thread"):
            queue.submit([decoding(engine, 1)])
    assert len(queue) == 0
    later = decoding(engine, 2)
    queue.submit([later])
    assert tokens(later.future.result(PATIENCE)) == alone(engine, 2)


def test_a_closed_queue_ends_who_waits_and_lets_the_others_finish(engine: Engine):
    queue = DecodingQueue(engine)
    gate = hold(engine, queue)
    [[running]] = queue._decoding
    waiting = [decoding(engine, seed) for seed in (1, 2)]
    queue.submit(waiting)
    closing = threading.Thread(target=queue.close, args=(PATIENCE,))
    closing.start()
    for each in waiting:
        with pytest.raises(QueueClosedError):
            each.future.result(PATIENCE)
    assert not running.future.done()
    gate.open()
    assert tokens(running.future.result(PATIENCE)) == alone(engine, 99)
    closing.join(PATIENCE)
    assert not closing.is_alive()
    late = decoding(engine, 3)
    queue.submit([late])
    with pytest.raises(QueueClosedError):
        late.future.result(PATIENCE)


def test_a_closed_queue_does_not_wait_longer_than_it_may(engine: Engine):
    queue = DecodingQueue(engine)
    gate = hold(engine, queue)
    [[running]] = queue._decoding
    queue.close(0.05)
    with pytest.raises(QueueClosedError):
        running.future.result(0)
    gate.open()


@pytest.fixture
def room_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker decodes one poster at a time, so that the order is known."""
    monkeypatch.setattr(engine_queue, "LARGEST_BATCH", 1)


def test_visitors_take_turns(engine: Engine, room_for_one: None):
    queue, served = DecodingQueue(engine), []
    gate = hold(engine, queue)
    greedy = [
        request(engine, i, on_step=lambda _: served.append("greedy"), visitor="greedy")
        for i in range(3)
    ]
    modest = request(engine, 9, on_step=lambda _: served.append("modest"), visitor="modest")
    queue.submit(greedy)
    queue.submit([modest])
    assert [queue.ahead(each) for each in (*greedy, modest)] == [0, 2, 3, 1]
    assert len(queue) == 4
    gate.open()
    for each in (*greedy, modest):
        each.future.result(PATIENCE)
    turns = [who for who, before in zip(served, [None, *served], strict=False) if who != before]
    assert turns == ["greedy", "modest", "greedy"]
    assert (len(queue), queue.ahead(modest)) == (0, 0)


def test_who_was_served_longest_ago_comes_first(engine: Engine, room_for_one: None):
    """A visitor who always has a poster waiting does not keep another from being served."""
    queue, served = DecodingQueue(engine), []
    gate = hold(engine, queue)

    def ask(visitor: str, seed: int) -> DecodingRequest:
        return request(engine, seed, on_step=lambda _: served.append(visitor), visitor=visitor)

    first, second = ask("greedy", 1), ask("greedy", 2)
    late = ask("late", 3)
    first.future.add_done_callback(lambda _: queue.submit([late]))
    queue.submit([first, second])
    gate.open()
    for each in (first, second, late):
        each.future.result(PATIENCE)
    assert served.index("late") < len(served) - 1 - served[::-1].index("greedy")


def test_whoever_has_fewest_posters_in_the_decoder_gets_the_next_place(engine: Engine):
    """All places are taken by one visitor while nobody waits, but not those that get free."""
    queue, begun = DecodingQueue(engine), []
    gate = Gate()

    def ask(visitor: str, seed: int) -> DecodingRequest:
        def on_step(hypothesis: Hypothesis) -> None:
            if len(hypothesis.token_ids) == 1:
                begun.append(visitor)
                gate(hypothesis)

        # Of different lengths, so that places get free one after the other.
        settings = replace(SHORT, max_length=8 + seed, min_length=8 + seed)
        return request(engine, seed, settings, on_step, visitor)

    many = [ask("many", seed) for seed in range(2 * LARGEST_BATCH)]
    queue.submit(many)
    assert gate.reached.wait(PATIENCE)
    late = [ask("late", seed) for seed in range(4)]
    queue.submit(late)
    gate.open()
    for each in (*many, *late):
        each.future.result(PATIENCE)
    assert begun[LARGEST_BATCH : LARGEST_BATCH + 4] == ["late"] * 4


def test_what_is_too_much_for_the_memory_is_decoded_in_parts(engine: Engine):
    together: set[int] = set()  # the posters of this step

    def three_at_most(seed: int) -> None:
        if seed in together:
            together.clear()
        together.add(seed)
        if len(together) > 3:
            together.clear()
            raise MemoryError

    queue = DecodingQueue(engine)
    requests = [
        request(engine, seed, on_step=lambda _, seed=seed: three_at_most(seed)) for seed in range(7)
    ]
    queue.submit(requests)
    found = [tokens(each.future.result(PATIENCE)) for each in requests]
    assert found == [alone(engine, seed) for seed in range(7)]


def test_stages_are_timed(engine: Engine):
    queue = DecodingQueue(engine)
    gate = hold(engine, queue)
    each = request(engine, 1)
    queue.submit([each])
    time.sleep(0.05)
    gate.open()
    each.future.result(PATIENCE)
    in_all = time.perf_counter() - each.submitted
    assert list(each.seconds) == ["wait", "encode", "decode"]
    assert each.seconds["wait"] >= 0.05
    assert each.seconds["encode"] > 0
    assert each.seconds["decode"] > 0
    assert sum(each.seconds.values()) <= in_all


@pytest.fixture(params=["engine", "wide_engine"])
def any_engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue(request.param)
    return found


def test_many_threads_get_their_own_plots(any_engine: Engine):
    queue = DecodingQueue(any_engine)
    settings = [SHORT, replace(SHORT, sample=True, seed=5)]

    def ask(i: int):
        each = request(any_engine, i, settings[i % 2])
        queue.submit([each])
        return tokens(each.future.result(PATIENCE))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(24)))
    assert found == [alone(any_engine, i, settings[i % 2]) for i in range(24)]
