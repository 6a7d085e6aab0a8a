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
from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.lexicon import Lexicon
from poster2plot.engine.linear import DTYPES, Precision, precisions, prepack_linears
from poster2plot.engine.logits_processing import process_logits
from poster2plot.engine.sampling import Sampling
from poster2plot.engine.search import Hypothesis, Prompts, Search
from poster2plot.settings import GenerationSettings


class Engine:
    """A `VisionEncoderDecoderModel` laid out for inference.

    It takes the model over, which is of no use afterwards: nothing is in memory twice. `precision`
    is one of `precisions(device)`; the default is the first of them. `word_starts` (vocabulary),
    boolean, tells guidance which tokens may begin a word; without it all may. A `lexicon` has
    the words to write with; without it there is no limit. `rules` are those of the model's
    generation config, and raise `ValueError` where it cannot be followed.
    """

    def __init__(
        self,
        model: VisionEncoderDecoderModel,
        precision: Precision | None = None,
        word_starts: Tensor | None = None,
        lexicon: Lexicon | None = None,
    ) -> None:
        self.rules = GenerationRules.of(model.generation_config, model.config.decoder.vocab_size)
        self.decoder_start_token_id = int(model.generation_config.decoder_start_token_id)
        if word_starts is None:
            word_starts = torch.ones(model.config.decoder.vocab_size, dtype=torch.bool)
        self.word_starts = word_starts.to(model.device)
        self.lexicon = lexicon
        self.precision = precision or precisions(model.device)[0]
        if model.device.type != "cpu":
            model.to(DTYPES[self.precision])
        self._encoder = model.encoder
        self._threads = torch.get_num_threads()
        with torch.inference_mode():
            prepack_linears(self._encoder, self.precision)
            _return_freed_memory()
            self.decoder = Decoder(model, self.precision)
        _return_freed_memory()
        concurrent = self.precision == "int8" and self._threads > 1
        self._single_threaded = self.decoder.single_threaded() if concurrent else None

    @property
    def max_concurrent_decodings(self) -> int:
        """How many threads may decode at once, each of which then computes on one core.

        Much of a step is too small to share among cores, so that concurrent decoding wastes less.
        """
        return 1 if self._single_threaded is None else self._threads

    @contextmanager
    def threads(self, *, exclusive: bool) -> Iterator[None]:
        """Let PyTorch use all cores for this thread if it is the only one, else a single core."""
        with _threads(self._threads if exclusive else 1):
            yield

    def decoder_for(self, *, exclusive: bool) -> Decoder:
        """The multi-threaded decoder for a thread that is the only one, else the other."""
        return self.decoder if exclusive else self._single_threaded or self.decoder

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """The encoder's last hidden states (B, S, width) of pictures (B, 3, height, width)."""
        pixels = pixels.to(self.decoder.dtype)
        # In int8 one by one: the encoder rounds all that goes through together to a common scale.
        batches = pixels.split(1) if self.precision == "int8" else [pixels]
        return torch.cat([self._encoder(batch).last_hidden_state for batch in batches])

    @torch.inference_mode()
    def decode(
        self,
        encoder_states: Tensor,
        settings: GenerationSettings,
        prompts: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis]]:
        """The hypotheses of each poster, best first, from encoder states (B, S, width).

        `prompts` are those of `Decoding`.
        """
        decoding = Decoding(self, encoder_states, settings, prompts)
        while decoding.running:
            decoding.step()
        return [decoding.hypotheses[poster] for poster in range(len(encoder_states))]

    @torch.inference_mode()
    def cross_attention_weights(
        self,
        encoder_states: Tensor,
        token_ids: Sequence[int],
        prompt: Sequence[int] | None = None,
    ) -> Tensor:
        """Cross-attention weights (T, S) of a hypothesis's T tokens over a poster's encoder states.

        Those of the step that chose each token, their mean over heads and layers; each row sums to
        1. `encoder_states` are (1, S, width); `prompt` is that of the hypothesis.
        """
        prompt = prompt or [self.decoder_start_token_id]
        weights = self.decoder.cross_attention_weights(
            torch.tensor([*prompt, *token_ids[:-1]], device=self.decoder.device),
            self.decoder.cross_attention_cache(encoder_states),
        )
        return weights[len(prompt) - 1 :]


class Decoding:
    """Decoding of a batch of posters, step by step; those that are finished leave it.

    `encoder_states` are (B, S, width). `prompts` are the token ids that each poster's decoder goes
    on from, the start token first; without them it is that alone. The unconditional batch of
    guidance sees none of a prompt but the start token. `running` are the indices of the posters
    still in the batch, `hypotheses` those of finished ones, best first. No poster's hypotheses
    depend on the others.
    """

    @torch.inference_mode()
    def __init__(
        self,
        engine: Engine,
        encoder_states: Tensor,
        settings: GenerationSettings,
        prompts: Sequence[Sequence[int]] | None = None,
    ) -> None:
        decoder, count = engine.decoder, len(encoder_states)
        self._engine, self._settings = engine, settings
        self.running = list(range(count))
        self.hypotheses: dict[int, list[Hypothesis]] = {}
        kind = BeamSearch if settings.num_beams > 1 and not settings.sample else Sampling
        start = engine.decoder_start_token_id
        given = Prompts.of(prompts or [[start]] * count, decoder.device)
        self._search: Search = kind(given, settings, engine.rules)
        ends = given.lengths + engine.rules.most_tokens(settings, given.lengths)
        self._processors = [
            engine.rules.processors(prompt=prompt, longest=end, device=decoder.device)
            for prompt, end in zip(given.lengths.tolist(), ends.tolist(), strict=True)
        ]
        self._prompt = given.tokens.shape[1]
        self._guided = settings.guidance not in (None, 1)
        self._cross_attention = decoder.cross_attention_cache(encoder_states)
        # The last token of a prompt is the first step's.
        with _threads(1):
            self._cache = decoder.prefill(
                given.tokens[:, :-1],
                self._cross_attention,
                beams=self._search.tokens.shape[1],
                guided=self._guided,
            )

    @torch.inference_mode()
    def step(self, *, exclusive: bool = True) -> None:
        """Append one token to each hypothesis. Call it while there are `running` posters.

        `exclusive` tells whether no other thread uses the engine now.
        """
        # PyTorch's idle threads wait busily, on the cores that the runtime needs, and what it does
        # in a step is too small to share.
        with _threads(1):
            self._step(self._engine.decoder_for(exclusive=exclusive))

    def _step(self, decoder: Decoder) -> None:
        engine, search = self._engine, self._search
        start = torch.full_like(search.tokens[..., :1], engine.decoder_start_token_id)
        text = torch.cat([start, search.tokens[..., self._prompt :]], dim=-1)
        # Both batches go on from the same token, but at first from the ends of their prompts.
        last = [search.tokens[..., -1], text[..., -1]][: 1 + self._guided]
        tokens = torch.stack(last, dim=1)  # (B, G, K)
        logits = decoder.next_token_logits(tokens, self._cross_attention, self._cache)
        candidates = process_logits(
            logits,
            search.tokens,
            text,
            self._settings,
            engine.rules,
            self._processors,
            engine.word_starts,
            engine.lexicon,
        )
        parents = search.advance(*candidates)
        if parents is not None:
            self._cache.reorder(parents)
        finished = search.finished().tolist()
        for row, poster in enumerate(self.running):
            if finished[row]:
                self.hypotheses[poster] = search.hypotheses(row)
        if any(finished):
            self._select([row for row, done in enumerate(finished) if not done])

    def best_hypothesis(self, poster: int) -> Hypothesis:
        """The best hypothesis so far of a running poster, after the first step."""
        return self._search.best_hypothesis(self.running.index(poster))

    @torch.inference_mode()
    def drop(self, posters: Sequence[int]) -> None:
        """Let these running posters leave without hypotheses."""
        self._select([row for row, poster in enumerate(self.running) if poster not in posters])

    def _select(self, rows: list[int]) -> None:
        self.running = [self.running[row] for row in rows]
        if self.running:
            index = torch.tensor(rows, device=self._engine.decoder.device)
            self._cross_attention = select_posters(self._cross_attention, index)
            self._cache.select(index)
            self._search.select(index)
            self._processors = [self._processors[row] for row in rows]


def _return_freed_memory() -> None:
    """Let the system have what glibc keeps for later: pieces the size of most weights."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads for what the calling one asks of it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
