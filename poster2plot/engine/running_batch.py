"""Requests that are decoded together, each for as long as it takes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from poster2plot.engine.engine import Decoding, Engine
from poster2plot.engine.requests import DecodingRequest, settle
from poster2plot.engine.search import grouped


class RunningBatch:
    """The requests of a worker on their way from encoder to outcome; `requests` by poster."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._decoding = Decoding(engine)
        self._began: dict[int, float] = {}  # decoding each poster
        self.requests: dict[int, DecodingRequest] = {}

    def join(
        self, requests: Sequence[DecodingRequest], *, exclusive: bool
    ) -> list[DecodingRequest]:
        """Encode requests and take them in; their futures get the errors of this.

        Returns those that do not fit to the others, having another number of encoder states.
        `exclusive` tells whether no other thread uses the engine now.
        """
        encoded: list[tuple[DecodingRequest, Tensor]] = []
        for request in requests:
            states = self._encode(request, exclusive=exclusive)
            if states is not None:
                encoded.append((request, states))
        if not encoded:
            return []
        first = encoded[0][1]
        fitting: list[tuple[DecodingRequest, Tensor]] = []
        others: list[tuple[DecodingRequest, Tensor]] = []
        for each in encoded:
            fits = self._decoding.fits(each[1]) and each[1].shape == first.shape
            (fitting if fits else others).append(each)
        # Prompts of equal settings go through together.
        for indices in grouped([request.settings for request, _ in fitting]):
            self._join([fitting[i] for i in indices], exclusive=exclusive)
        return [request for request, _ in others]

    def _encode(self, request: DecodingRequest, *, exclusive: bool) -> Tensor | None:
        started = time.perf_counter()
        request.seconds["wait"] = started - request.submitted
        try:
            with self._engine.threads(exclusive=exclusive):
                return request.encode()
        except BaseException as error:
            settle(request.future, error)
            return None
        finally:
            request.seconds["encode"] = time.perf_counter() - started

    def _join(self, encoded: Sequence[tuple[DecodingRequest, Tensor]], *, exclusive: bool) -> None:
        began = time.perf_counter()
        start = [self._engine.decoder_start_token_id]
        posters = self._decoding.join(
            torch.cat([states for _, states in encoded]),
            encoded[0][0].settings,
            [request.prompt or start for request, _ in encoded],
            exclusive=exclusive,
        )
        for poster, (request, _) in zip(posters, encoded, strict=True):
            self.requests[poster], self._began[poster] = request, began

    def step(self, *, exclusive: bool) -> None:
        """Decode a token of each; those that are done or cancelled leave.

        What an `on_step` raises ends its own request, save where there is too little memory.
        """
        decoding = self._decoding
        decoding.step(exclusive=exclusive)
        for poster, hypotheses in decoding.hypotheses.items():
            request = self.requests.pop(poster)
            request.seconds["decode"] = time.perf_counter() - self._began.pop(poster)
            settle(request.future, hypotheses)
        decoding.hypotheses.clear()
        for poster, request in self.requests.items():
            if request.on_step:
                best = decoding.best_hypothesis(poster)
                try:
                    request.on_step(best)
                except MemoryError:  # concerns all; the queue tries with fewer at once
                    raise
                except BaseException as error:
                    settle(request.future, error)
        gone = [poster for poster, request in self.requests.items() if request.future.done()]
        decoding.drop(gone)
        for poster in gone:
            del self.requests[poster], self._began[poster]
