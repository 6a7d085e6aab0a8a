"""Requests of many threads for one engine, decoded together where they wait together.

Threads that decode side by side fight for the same cores. Here one worker decodes; whatever waits
with the same settings when it is free becomes its next batch, since a step costs little more for
several posters than for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from poster2plot.settings import GenerationSettings

if TYPE_CHECKING:
    from torch import Tensor

    from poster2plot.engine import Engine, Hypothesis

LARGEST_BATCH = 16  # posters; more gain little and make those that come next wait


@dataclass(frozen=True, eq=False)
class Request:
    """A poster to decode: how to get its encoder states (1, S, width), and what to tell whom.

    `on_step` gets the best hypothesis after each step, in the worker's thread. To cancel the
    `future` ends the request, also while it is decoded.
    """

    states: Callable[[], Tensor]
    settings: GenerationSettings
    on_step: Callable[[Hypothesis], None] | None = None
    future: Future[list[Hypothesis]] = field(default_factory=Future)


class DecodingQueue:
    """Decodes requests in the order they come, together with those that wait and ask alike."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[Request] = []
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests; their futures get the plots or the error."""
        with self._lock:
            self._waiting += requests
            if self._worker is None and self._waiting:
                # Not a daemon: PyTorch aborts a process that ends while one is in its code.
                self._worker = threading.Thread(target=self._work, name="decoding")
                self._worker.start()

    def _work(self) -> None:
        while batch := self._next_batch():
            self._decode(batch)

    def _next_batch(self) -> list[Request]:
        """The oldest request and others like it. The worker ends where there is none."""
        with self._lock:
            self._waiting = [each for each in self._waiting if not each.future.cancelled()]
            if not self._waiting:
                self._worker = None
                return []
            settings = self._waiting[0].settings
            alike = [each for each in self._waiting if each.settings == settings]
            batch = alike[:LARGEST_BATCH]
            self._waiting = [each for each in self._waiting if each not in batch]
            return batch

    def _decode(self, requests: Sequence[Request]) -> None:
        readable, states = [], []
        for request in requests:
            try:
                states.append(request.states())
                readable.append(request)
            except Exception as error:
                _settle(request.future, error)
        if not readable:
            return
        try:
            self._run(readable, states)
        except Exception as error:
            if len(readable) == 1:
                _settle(readable[0].future, error)
                return
            # One of them did that, so each is tried alone and only that one fails.
            for request in readable:
                if not request.future.done():
                    self._decode([request])

    def _run(self, requests: Sequence[Request], states: Sequence[Tensor]) -> None:
        import torch

        from poster2plot.engine import Decoding

        decoding = Decoding(self._engine, torch.cat(list(states)), requests[0].settings)
        while decoding.running:
            decoding.step()
            for poster in decoding.running:
                if on_step := requests[poster].on_step:
                    on_step(decoding.best(poster))
            for poster in [*decoding.results]:
                _settle(requests[poster].future, decoding.results.pop(poster))
            gone = [poster for poster in decoding.running if requests[poster].future.cancelled()]
            if gone:
                decoding.drop(gone)


def _settle(future: Future[list[Hypothesis]], outcome: list[Hypothesis] | Exception) -> None:
    """Hand over plots or an error, unless the request has been cancelled meanwhile."""
    try:
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
    except InvalidStateError:
        pass
