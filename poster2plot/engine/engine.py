"""Encoder and decoder of one model, and posters being decoded together."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import VisionEncoderDecoderModel

from poster2plot.engine.beam_search import BeamSearch
from poster2plot.engine.cache import select_posters
from poster2plot.engine.decoder import Decoder
from poster2plot.engine.linear import DTYPES, Precision, lay_out_linears, precisions
from poster2plot.engine.logits_processing import process
from poster2plot.engine.sampling import Sampling
from poster2plot.engine.search import Hypothesis, Search
from poster2plot.settings import GenerationSettings


class Engine:
    """A `VisionEncoderDecoderModel` laid out for inference.

    It takes the model over, which is of no use afterwards: nothing is in memory twice. `precision`
    is one of `precisions(device)`; the default is the first of them. `starts` (vocabulary) tells
    guidance which tokens may begin a word; without it all may.
    """

    def __init__(
        self,
        model: VisionEncoderDecoderModel,
        precision: Precision | None = None,
        starts: Tensor | None = None,
    ) -> None:
        end = model.generation_config.eos_token_id
        self.end = int(end[0] if isinstance(end, list) else end)
        self.start = int(model.generation_config.decoder_start_token_id)
        if starts is None:
            starts = torch.ones(model.config.decoder.vocab_size, dtype=torch.bool)
        self.starts = starts.to(model.device)
        self.precision = precision or precisions(model.device)[0]
        if model.device.type != "cpu":
            model.to(DTYPES[self.precision])
        self._encoder = model.encoder
        self._threads = torch.get_num_threads()
        with torch.inference_mode():
            lay_out_linears(self._encoder, self.precision)
            _return_freed_memory()
            self.decoder = Decoder(model, self.precision)
        _return_freed_memory()
        in_turn = self.precision != "int8" or self._threads == 1
        self._on_one_thread = None if in_turn else self.decoder.on_one_thread()

    @property
    def side_by_side(self) -> int:
        """How many threads may use the engine at once, each of which then computes alone.

        Much of a step is too small to share among cores, and less of many small steps is wasted.
        """
        return 1 if self._on_one_thread is None else self._threads

    @contextmanager
    def threads(self, *, alone: bool) -> Iterator[None]:
        """Let PyTorch in this thread use all cores, or where others use the engine, just one."""
        with _threads(self._threads if alone else 1):
            yield

    def decoder_for(self, *, alone: bool) -> Decoder:
        """The decoder for a thread that has the engine to itself or not."""
        return self.decoder if alone or self._on_one_thread is None else self._on_one_thread

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """The encoder's last hidden states (B, S, width) of pictures (B, 3, height, width)."""
        pixels = pixels.to(self.decoder.dtype)
        # In int8 one by one: the encoder rounds all that goes through together to a common scale.
        batches = pixels.split(1) if self.precision == "int8" else [pixels]
        return torch.cat([self._encoder(batch).last_hidden_state for batch in batches])

    @torch.inference_mode()
    def decode(self, states: Tensor, settings: GenerationSettings) -> list[list[Hypothesis]]:
        """The plots of each poster, best first, from encoder states (B, S, width)."""
        decoding = Decoding(self, states, settings)
        while decoding.running:
            decoding.step()
        return [decoding.results[poster] for poster in range(len(states))]

    @torch.inference_mode()
    def attention(self, states: Tensor, token_ids: Sequence[int]) -> Tensor:
        """How much the choice of each token looked at each encoder state of a poster.

        Weights (T, S), each row of sum 1: the mean of the cross-attention over heads and layers at
        the step that chose the token. `states` are (1, S, width), `token_ids` a hypothesis's.
        """
        inputs = torch.tensor([self.start, *token_ids[:-1]], device=self.decoder.device)
        return self.decoder.attend(inputs, self.decoder.read(states))


class Decoding:
    """Posters that are decoded together; those that are finished leave.

    A poster's plots do not depend on the others.
    """

    @torch.inference_mode()
    def __init__(self, engine: Engine, states: Tensor, settings: GenerationSettings) -> None:
        decoder, count = engine.decoder, len(states)
        self._engine, self._settings = engine, settings
        self.running = list(range(count))
        self.results: dict[int, list[Hypothesis]] = {}
        kind = BeamSearch if settings.num_beams > 1 and not settings.sample else Sampling
        self._search: Search = kind(
            count, settings, engine.start, engine.end, device=decoder.device
        )
        guided = settings.guidance not in (None, 1)
        self._cross_attention = decoder.read(states)
        beams = self._search.tokens.shape[1]
        self._cache = decoder.cache(count, beams, batches=2 if guided else 1)

    @torch.inference_mode()
    def step(self, *, alone: bool = True) -> None:
        """Write one more token of each plot. Call it while there are `running` posters.

        Where the engine allows several threads `side_by_side`, `alone` tells whether there are
        others now.
        """
        # PyTorch's idle threads wait busily, on the cores that the runtime needs, and what it does
        # in a step is too small to share.
        with _threads(1):
            self._step(self._engine.decoder_for(alone=alone))

    def _step(self, decoder: Decoder) -> None:
        engine, search = self._engine, self._search
        logits = decoder.step(search.tokens[..., -1], self._cross_attention, self._cache)
        candidates = process(logits, search.tokens, self._settings, engine.end, engine.starts)
        parents = search.advance(*candidates)
        if parents is not None:
            self._cache.reorder(parents)
        over = search.over().tolist()
        for row, poster in enumerate(self.running):
            if over[row]:
                self.results[poster] = search.results(row)
        if any(over):
            self._keep([row for row, is_over in enumerate(over) if not is_over])

    def best(self, poster: int) -> Hypothesis:
        """The most promising plot so far of a running poster, after the first step."""
        return self._search.best(self.running.index(poster))

    @torch.inference_mode()
    def drop(self, posters: Sequence[int]) -> None:
        """Let these running posters leave without results."""
        self._keep([row for row, poster in enumerate(self.running) if poster not in posters])

    def _keep(self, rows: list[int]) -> None:
        self.running = [self.running[row] for row in rows]
        if self.running:
            index = torch.tensor(rows, device=self._engine.decoder.device)
            self._cross_attention = select_posters(self._cross_attention, index)
            self._cache.keep(index)
            self._search.keep(index)


def _return_freed_memory() -> None:
    """Let the system have what glibc keeps for later: pieces the size of most weights."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads for what this one asks."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
