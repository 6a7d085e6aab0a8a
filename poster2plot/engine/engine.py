"""Encoder and decoder of one model, and posters being decoded together."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import VisionEncoderDecoderModel

from poster2plot.engine.cache import ROOM
from poster2plot.engine.decoder import Decoder
from poster2plot.engine.decoder_batch import DecoderBatch
from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.group import Group, Shape
from poster2plot.engine.lexicon import Lexicon
from poster2plot.engine.linear import DTYPES, Precision, precisions, prepack_linears
from poster2plot.engine.search import Hypothesis, Prompts
from poster2plot.settings import GenerationSettings

_COPIES = 8  # of a row of logits, as they become log-probabilities


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
        self.rules = GenerationRules.of(
            model.generation_config, model.config.decoder.vocab_size, model.device
        )
        self.decoder_start_token_id = self.rules.start
        if word_starts is None:
            word_starts = torch.ones(model.config.decoder.vocab_size, dtype=torch.bool)
        self.word_starts = word_starts.to(model.device)
        self.lexicon = lexicon
        self.precision = precision or precisions(model.device)[0]
        if model.device.type != "cpu":
            model.to(DTYPES[self.precision])
        self._encoder = model.encoder
        self._states = 0  # of the last poster
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

    def needs(self, settings: GenerationSettings) -> tuple[int, int]:
        """Rows and, about, bytes that a poster takes with such settings while it is decoded."""
        shape = Shape.of(settings)
        rows = shape.rows * (1 + shape.guided)
        slots = settings.max_length * (1 + shape.guided) + 2 * rows * ROOM
        # A batch may have room for twice as many posters as it has.
        cached = 2 * (self._states + slots) * self.decoder.bytes_per_token
        return rows, cached + rows * _COPIES * self.word_starts.numel() * 4

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """The encoder's last hidden states (B, S, width) of pictures (B, 3, height, width)."""
        pixels = pixels.to(self.decoder.dtype)
        # In int8 one by one: the encoder rounds all that goes through together to a common scale.
        batches = pixels.split(1) if self.precision == "int8" else [pixels]
        states = torch.cat([self._encoder(batch).last_hidden_state for batch in batches])
        self._states = states.shape[1]
        return states

    @torch.inference_mode()
    def decode(
        self,
        encoder_states: Tensor,
        settings: GenerationSettings,
        prompts: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis]]:
        """The hypotheses of each poster, best first, from encoder states (B, S, width).

        `prompts` are those of `Decoding.join`.
        """
        decoding = Decoding(self)
        posters = decoding.join(encoder_states, settings, prompts)
        while decoding.running:
            decoding.step()
        return [decoding.hypotheses[poster] for poster in posters]

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
    """Decoding of a running batch of posters, step by step, each with settings of its own.

    Posters join before a step, and those that are finished leave after it. `running` are the
    numbers of those in the batch, `hypotheses` those of finished ones, best first. In fp32 no
    poster's hypotheses depend on the others. Float sums do in their last digits, since what is
    padded has other shapes, and where int8 rounds these to another integer a token may change.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with torch.inference_mode():
            self._batch = DecoderBatch(engine.decoder)
        self._groups: dict[Shape, Group] = {}
        self.hypotheses: dict[int, list[Hypothesis]] = {}

    @property
    def running(self) -> list[int]:
        """The numbers of the posters in the batch."""
        return self._batch.posters

    def fits(self, encoder_states: Tensor) -> bool:
        """Whether posters with encoder states (B, S, width) can join those that are running."""
        return self._batch.fits(encoder_states)

    @torch.inference_mode()
    def join(
        self,
        encoder_states: Tensor,
        settings: GenerationSettings,
        prompts: Sequence[Sequence[int]] | None = None,
        *,
        exclusive: bool = True,
    ) -> list[int]:
        """Take in posters with encoder states (B, S, width); returns their numbers.

        `prompts` are the token ids that each poster's decoder goes on from, the start token first;
        without them it is that alone. The unconditional text of guidance has none of a prompt but
        the start token. `exclusive` tells whether no other thread uses the engine now.
        """
        engine = self._engine
        prompts = prompts or [[engine.decoder_start_token_id]] * len(encoder_states)
        given, shape = Prompts.of(prompts, engine.decoder.device), Shape.of(settings)
        with engine.threads(exclusive=exclusive):
            cross_attention = engine.decoder.cross_attention_cache(encoder_states)
        self._batch.decoder = engine.decoder_for(exclusive=exclusive)
        with _threads(1):
            # The last token of a prompt is the first step's.
            posters = self._batch.join(
                cross_attention, given.tokens[:, :-1], beams=shape.rows, guided=shape.guided
            )
        group = Group(posters, given, settings, engine.rules)
        if shape in self._groups:
            self._groups[shape].join(group)
        else:
            self._groups[shape] = group
        self._batch.arrange([each for group in self._groups.values() for each in group.posters])
        return posters

    @torch.inference_mode()
    def step(self, *, exclusive: bool = True) -> None:
        """Append one token to each hypothesis. Call it while there are `running` posters.

        `exclusive` tells whether no other thread uses the engine now.
        """
        self._batch.decoder = self._engine.decoder_for(exclusive=exclusive)
        # PyTorch's idle threads wait busily, on the cores that the runtime needs, and what it does
        # in a step is too small to share.
        with _threads(1):
            self._step()

    def _step(self) -> None:
        engine, groups = self._engine, [*self._groups.values()]
        guided = [group for group in groups if group.shape.guided]
        # Both texts go on from the same token, but at first from the ends of their prompts.
        last = [group.last_tokens() for group in groups]
        last += [group.last_written(engine.rules.start) for group in guided]
        logits = self._batch.next_token_logits(torch.cat([each.flatten() for each in last]))
        parts = logits.split([each.numel() for each in last])
        by_group = dict(zip(guided, parts[len(groups) :], strict=True))
        rules = engine.rules, engine.word_starts, engine.lexicon
        parents = [
            group.advance(own, by_group.get(group), *rules)
            for group, own in zip(groups, parts, strict=False)
        ]
        if any(group.shape.reorders for group in groups):
            others = [each for each, group in zip(parents, groups, strict=True) if group in guided]
            self._batch.reorder(torch.cat([each.flatten() for each in parents + others]))
        finished = {poster: each for group in groups for poster, each in group.finished().items()}
        self.hypotheses |= finished
        self._leave(finished)

    def best_hypothesis(self, poster: int) -> Hypothesis:
        """The best hypothesis so far of a running poster, after its first step."""
        group = next(each for each in self._groups.values() if poster in each.posters)
        return group.best_hypothesis(poster)

    @torch.inference_mode()
    def drop(self, posters: Sequence[int]) -> None:
        """Let these running posters leave without hypotheses."""
        self._leave(posters)

    def _leave(self, posters: Collection[int]) -> None:
        if not posters:
            return
        for group in self._groups.values():
            group.leave(posters)
        self._groups = {shape: group for shape, group in self._groups.items() if group.posters}
        self._batch.leave(posters)


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
