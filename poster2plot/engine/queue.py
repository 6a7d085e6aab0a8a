"""Requests of many threads for one engine, decoded in dynamic batches.

Threads that all decode on all cores would fight for them. Here one worker decodes on all of them,
or as many workers as the engine allows on one each. Whatever waits with the same settings when a
worker is free becomes its next batch, since a step costs little more for several posters than for
one. Visitors are served round-robin, however many posters one of them brings.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from poster2plot.settings import GenerationSettings

if TYPE_CHECKING:
    from torch import Tensor

    from poster2plot.engine.engine import Engine
    from poster2plot.engine.search import Hypothesis

LARGEST_BATCH = 16  # posters; more gain little and make those that come next wait
_BATCHING_DELAY = (
    0.002  # seconds, for those who ask at the same moment, or again as soon as answered
)


class QueueClosedError(Exception):
    """The queue was closed before a request was done."""


@dataclass(frozen=True, eq=False)
class DecodingRequest:
    """A poster to decode: `encode` makes its encoder states (1, S, width), in a worker's thread.

    `on_step` gets the best hypothesis after each step, in the same thread. The `future` gets the
    hypotheses, best first; to cancel it ends the request, also while it is decoded. `seconds` fills
    with the time that each stage took: wait, encode, decode. `submitted` is of `perf_counter`.
    `prompt` is one of `Decoding`; an empty one is the start token alone.
    """

    encode: Callable[[], Tensor]
    settings: GenerationSettings
    on_step: Callable[[Hypothesis], None] | None = None
    visitor: str = ""
    prompt: Sequence[int] = ()
    future: Future[list[Hypothesis]] = field(default_factory=Future)
    seconds: dict[str, float] = field(default_factory=dict)
    submitted: float = field(default_factory=time.perf_counter)


class DecodingQueue:
    """Decodes requests in fair order, together with those that wait and ask alike.

    Every visitor's first poster comes before anybody's second, and among those the visitor who was
    served longest ago. Whatever goes wrong, each future gets an outcome.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._workers = 0  # that run
        self._busy = 0  # of them with a batch
        self._waiting: list[DecodingRequest] = []
        self._decoding: list[DecodingRequest] = []
        self._closed = False
        self._batches = 0
        self._served: dict[str, int] = {}  # the last batch of each visitor who waits for another
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many requests wait, those not counted that are being decoded."""
        with self._lock:
            return len(self._round_robin())

    def submit(self, requests: Sequence[DecodingRequest]) -> None:
        """Queue requests; their futures get the hypotheses or the error.

        Raises `RuntimeError` where the system has no thread for them.
        """
        with self._lock:
            closed = self._closed
            if not closed:
                self._waiting += requests
                self._start_workers(requests)
        for each in requests if closed else ():
            _settle(each.future, QueueClosedError())

    def _start_workers(self, requests: Sequence[DecodingRequest]) -> None:
        """As many as there is something to do for. The lock must be held."""
        while self._workers < min(
            self._engine.max_concurrent_decodings, self._busy + len(self._waiting)
        ):
            try:
                # Not a daemon: PyTorch aborts a process that ends while one is in its code.
                threading.Thread(target=self._work, name="decoding").start()
            except RuntimeError:
                if self._workers:
                    return  # they do it all, one after the other
                self._waiting = [each for each in self._waiting if each not in requests]
                raise
            self._workers += 1

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more requests."""
        return self._closed

    def close(self, seconds: float) -> None:
        """Take no more requests and end those that wait; return when no other is left.

        Those being decoded have so many seconds. Whatever was ended has a `QueueClosedError`.
        """
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            decoding = [*self._decoding]
        for each in waiting:
            _settle(each.future, QueueClosedError())
        wait_for([each.future for each in decoding], seconds)
        for each in decoding:
            _settle(each.future, QueueClosedError())

    def ahead(self, request: DecodingRequest) -> int:
        """How many requests come before this one; 0 also when it does not wait any more."""
        with self._lock:
            order = self._round_robin()
        return order.index(request) if request in order else 0

    def _work(self) -> None:
        try:
            while True:
                time.sleep(_BATCHING_DELAY)
                if not (batch := self._next_batch()):
                    return
                try:
                    self._decode(batch)
                except BaseException as error:  # of a future's callback, say
                    for each in batch:
                        _settle(each.future, error)
                finally:
                    with self._lock:
                        self._busy -= 1
                        self._decoding = [each for each in self._decoding if each not in batch]
        except BaseException as error:
            # The worker ends, and without another one nobody would be served.
            with self._lock:
                self._workers -= 1
                waiting, self._waiting = self._waiting, []
            for each in waiting:
                _settle(each.future, error)

    def _round_robin(self) -> list[DecodingRequest]:
        """What waits, in the order it is to be served. The lock must be held."""
        turns: Counter[str] = Counter()
        places = {}
        for each in self._waiting:
            if not each.future.cancelled():
                places[each] = (turns[each.visitor], self._served.get(each.visitor, 0))
                turns[each.visitor] += 1
        return sorted(places, key=places.__getitem__)

    def _next_batch(self) -> list[DecodingRequest]:
        """The request whose turn it is and others like it. The worker ends where there is none."""
        with self._lock:
            order = self._round_robin()
            if not order:
                self._waiting = []
                self._workers -= 1
                return []
            # Free workers share what waits.
            size = min(
                LARGEST_BATCH,
                -(-len(order) // (self._engine.max_concurrent_decodings - self._busy)),
            )
            # While others wait, nobody gets a whole batch: all of it ends when its last plot does.
            share = max(1, LARGEST_BATCH // len({each.visitor for each in order}))
            taken: Counter[str] = Counter()
            batch: list[DecodingRequest] = []
            for each in order:
                if each.settings == order[0].settings and taken[each.visitor] < share:
                    taken[each.visitor] += 1
                    batch.append(each)
            batch = batch[:size]
            # Sorting is for this turn only; whose poster came first stays as it was.
            self._waiting = [each for each in self._waiting if each in order and each not in batch]
            self._batches += 1
            self._busy += 1
            self._decoding += batch
            self._served |= dict.fromkeys(taken, self._batches)
            here = {each.visitor for each in self._waiting}
            self._served = {who: when for who, when in self._served.items() if who in here}
            return batch

    def _decode(self, requests: Sequence[DecodingRequest]) -> None:
        encoded, encoder_states = [], []
        for request in requests:
            started = time.perf_counter()
            request.seconds["wait"] = started - request.submitted
            try:
                with self._engine.threads(exclusive=self._busy == 1):
                    encoder_states.append(request.encode())
                encoded.append(request)
            except BaseException as error:
                _settle(request.future, error)
            request.seconds["encode"] = time.perf_counter() - started
        if not encoded:
            return
        try:
            self._run(encoded, encoder_states)
            return
        except BaseException as error:
            if len(encoded) == 1:
                _settle(encoded[0].future, error)
                return
        # One of them did that, or there was not enough memory for all: halves tell which. They
        # come after the handler, whose traceback keeps the memory of the failed batch.
        rest = [request for request in encoded if not request.future.done()]
        half = (len(rest) + 1) // 2
        for part in (rest[:half], rest[half:]):
            if part:
                self._decode(part)

    def _run(self, requests: Sequence[DecodingRequest], encoder_states: Sequence[Tensor]) -> None:
        import torch

        from poster2plot.engine.engine import Decoding

        started = time.perf_counter()
        start = [self._engine.decoder_start_token_id]
        decoding = Decoding(
            self._engine,
            torch.cat(list(encoder_states)),
            requests[0].settings,
            [request.prompt or start for request in requests],
        )
        while decoding.running:
            decoding.step(exclusive=self._busy == 1)
            for poster in decoding.running:
                if on_step := requests[poster].on_step:
                    on_step(decoding.best_hypothesis(poster))
            for poster in [*decoding.hypotheses]:
                requests[poster].seconds["decode"] = time.perf_counter() - started
                _settle(requests[poster].future, decoding.hypotheses.pop(poster))
            gone = [poster for poster in decoding.running if requests[poster].future.done()]
            if gone:
                decoding.drop(gone)


def _settle(future: Future[list[Hypothesis]], outcome: list[Hypothesis] | BaseException) -> None:
    """Set hypotheses or an error, unless the request has been ended meanwhile.

    What would end the thread that waits, such as `SystemExit`, comes as a `RuntimeError`.
    """
    try:
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        elif isinstance(outcome, BaseException):
            ended = RuntimeError(f"decoding ended by {type(outcome).__name__}")
            ended.__cause__ = outcome
            future.set_exception(ended)
        else:
            future.set_result(outcome)
    except InvalidStateError:
        pass
