"""Requests of many threads for one engine, decoded in continuous batches.

Threads that all decode on all cores would fight for them. Here one worker decodes on all of them,
or as many workers as the engine allows on one each. A worker's posters go through the decoder
together, since a step costs less for several at once. Whatever their settings, they join before a
step and leave after it, as the sequences of Orca do (Yu et al. 2022, "A distributed serving system
for transformer-based generative models", OSDI). Visitors are served round-robin, however many
posters one of them brings.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import wait as wait_for
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from poster2plot.engine.requests import DecodingRequest, settle

if TYPE_CHECKING:
    from poster2plot.engine.engine import Engine

LARGEST_BATCH = 16  # posters; more gain little and make each other wait
MOST_ROWS = 128  # of them, texts with a poster and without
_BATCHING_DELAY = (
    0.002  # seconds, for those who ask at the same moment, or again as soon as answered
)
_HESITATION = 0.1  # seconds for which a worker leaves a poster to another with fewer, if that can


class QueueClosedError(Exception):
    """The queue was closed before a request was done."""


class _Load(NamedTuple):
    """What a worker has to decode, or what a request adds to it."""

    posters: int
    rows: int
    size: int  # in bytes

    @classmethod
    def of(cls, requests: Iterable[DecodingRequest], engine: Engine) -> _Load:
        load = cls(0, 0, 0)
        for each in requests:
            load = load.with_more(cls(1, *engine.needs(each.settings)))
        return load

    def with_more(self, other: _Load) -> _Load:
        return _Load(*map(sum, zip(self, other, strict=True)))

    def has_room(self, other: _Load, memory: int) -> bool:
        """Whether there is room for the other one, too; a single poster always has some."""
        both = self.with_more(other)
        fits = both.posters <= LARGEST_BATCH and both.rows <= MOST_ROWS and both.size <= memory
        return fits or not self.posters


class DecodingQueue:
    """Decodes requests in fair order, all that there is room for at once.

    A visitor with fewer posters before and in the decoder comes first, and among equals the one who
    was served longest ago. Whatever goes wrong, each future gets an outcome.
    """

    def __init__(self, engine: Engine) -> None:
        from poster2plot.engine.memory import for_batches

        self._engine = engine
        self._workers = 0  # that run
        self._waiting: list[DecodingRequest] = []
        self._decoding: list[list[DecodingRequest]] = []  # of each worker that has any
        self._memory = for_batches(engine.decoder.device) // engine.max_concurrent_decodings
        self._closed = False
        self._turns = 0
        self._served: dict[str, int] = {}  # the last turn of each visitor who waits for another
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
            settle(each.future, QueueClosedError())

    def _start_workers(self, requests: Sequence[DecodingRequest]) -> None:
        """As many as there is something to do for. The lock must be held."""
        while self._workers < min(
            self._engine.max_concurrent_decodings, len(self._decoding) + len(self._waiting)
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
            decoding = [*chain.from_iterable(self._decoding)]
        for each in waiting:
            settle(each.future, QueueClosedError())
        wait_for([each.future for each in decoding], seconds)
        for each in decoding:
            settle(each.future, QueueClosedError())

    def ahead(self, request: DecodingRequest) -> int:
        """How many requests come before this one; 0 also when it does not wait any more."""
        with self._lock:
            order = self._round_robin()
        return order.index(request) if request in order else 0

    def _work(self) -> None:
        try:
            while True:
                time.sleep(_BATCHING_DELAY)
                own: list[DecodingRequest] = []
                if not self._admit(own):
                    return
                try:
                    self._decode(own, [*own], admits=True)
                except BaseException as error:  # of a future's callback, say
                    for each in own:
                        settle(each.future, error)
                finally:
                    with self._lock:
                        self._decoding = [each for each in self._decoding if each is not own]
        except BaseException as error:
            # The worker ends, and without another one nobody would be served.
            with self._lock:
                self._workers -= 1
                waiting, self._waiting = self._waiting, []
            for each in waiting:
                settle(each.future, error)

    def _round_robin(self) -> list[DecodingRequest]:
        """What waits, in the order it is to be served. The lock must be held."""
        turns = Counter(each.visitor for each in chain.from_iterable(self._decoding))
        places = {}
        for each in self._waiting:
            if not each.future.cancelled():
                places[each] = (turns[each.visitor], self._served.get(each.visitor, 0))
                turns[each.visitor] += 1
        return sorted(places, key=places.__getitem__)

    def _admit(self, own: list[DecodingRequest]) -> list[DecodingRequest]:
        """Those whose turn it is with the worker that decodes its `own`; they are added to these.

        A worker that has none and gets none ends.
        """
        with self._lock:
            if own and (not self._waiting or len(own) >= LARGEST_BATCH):
                return []  # as in most steps
            order, begins = self._round_robin(), not own
            if begins and not order:
                self._waiting = []
                self._workers -= 1
                return []
            # The other workers take their share: those that decode, and those that are about to.
            others = [each for each in self._decoding if each is not own]
            idle = self._workers - len(others) - 1
            loads = [_Load.of(each, self._engine) for each in (own, *others, *([],) * idle)]
            taken: list[DecodingRequest] = []
            for each in order:
                more = _Load.of([each], self._engine)
                room = [i for i, load in enumerate(loads) if load.has_room(more, self._memory)]
                if not room:
                    break
                least = min(room, key=lambda i: loads[i].rows)
                if 0 in room and time.perf_counter() - each.submitted > _HESITATION:
                    least = 0
                loads[least] = loads[least].with_more(more)
                if least == 0:
                    taken.append(each)
            if begins and taken:
                self._decoding.append(own)
            own += taken
            # Sorting is for this turn only; whose poster came first stays as it was.
            gone = set(taken)
            waiting = set(order) - gone
            self._waiting = [each for each in self._waiting if each in waiting]
            self._turns += 1
            self._served |= {each.visitor: self._turns for each in taken}
            here = {each.visitor for each in self._waiting}
            self._served = {who: when for who, when in self._served.items() if who in here}
            return taken

    def _decode(
        self, own: list[DecodingRequest], requests: Sequence[DecodingRequest], *, admits: bool
    ) -> None:
        """Decode requests of a worker's `own`; with `admits`, others join them meanwhile."""
        batch = [*requests]
        try:
            later = self._run(own, batch, admits=admits)
        except BaseException as error:
            if len(batch) == 1:
                settle(batch[0].future, error)
                return
        else:
            if later:
                self._decode(own, later, admits=admits)
            return
        # One of them did that, or there was not enough memory for all: halves tell which. They
        # come after the handler, whose traceback keeps the memory of the failed batch.
        rest = [request for request in batch if not request.future.done()]
        half = (len(rest) + 1) // 2
        for part in (rest[:half], rest[half:]):
            if part:
                self._decode(own, part, admits=False)

    def _run(
        self, own: list[DecodingRequest], batch: list[DecodingRequest], *, admits: bool
    ) -> list[DecodingRequest]:
        """Decode a batch and, with `admits`, those that join it and are in it then.

        Returns those that cannot be in it, since their encoder states are of another number.
        """
        from poster2plot.engine.running_batch import RunningBatch

        running, joining = RunningBatch(self._engine), [*batch]
        later: list[DecodingRequest] = []
        while True:
            later += running.join(joining, exclusive=self._is_alone)
            if not running.requests:
                return later
            running.step(exclusive=self._is_alone)
            with self._lock:
                own[:] = [each for each in own if not each.future.done()]
            # After those that must wait for the end of this batch, nobody joins it.
            joining = self._admit(own) if admits and own and not later else []
            if joining:
                batch[:] = [*own]

    @property
    def _is_alone(self) -> bool:
        """Whether no other worker decodes."""
        return len(self._decoding) == 1
