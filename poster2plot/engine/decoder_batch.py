"""The posters that a decoder goes on with, each of which joins and leaves between two steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

from poster2plot.engine.cache import KeysValues, SelfAttentionCache, Slots, Store
from poster2plot.engine.decoder import Decoder
from poster2plot.engine.rows import Rows


class _Poster(NamedTuple):
    beams: int
    guided: bool


class DecoderBatch:
    """Posters with their caches, and the order of their rows.

    A poster has a row for each of its beams, and a guided one as many in an unconditional text. All
    rows with a poster come first, poster by poster as in `posters`, then the unconditional ones in
    the same order. `decoder` may be changed for another one of the same weights.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._posters: dict[int, _Poster] = {}  # in the order of their rows
        self._numbers = count()
        self._cross_attention = Store(torch.empty(0))
        self._cache = self._empty_cache()
        self._poster_slots = Slots()  # by number
        self._text_slots = Slots()  # by number and whether with the poster
        self._rows: Rows | None = None  # of the posters as they are now

    @property
    def posters(self) -> list[int]:
        """The numbers of the posters, in the order of their rows."""
        return [*self._posters]

    def fits(self, encoder_states: Tensor) -> bool:
        """Whether posters with encoder states (B, S, width) have as many as those that are here."""
        here = self._cross_attention.tensor
        return not self._posters or here.shape[3] == encoder_states.shape[1]

    def join(
        self, cross_attention: KeysValues, prompts: Tensor, *, beams: int, guided: bool
    ) -> list[int]:
        """Take in posters with their cross-attention caches, behind the others; returns numbers.

        Each of the prompts (B, T) goes through once, whatever the beams. T may be 0, and what is
        below 0 pads them on the left. An unconditional text has no prompt.
        """
        decoder, held = self.decoder, len(self._poster_slots)
        posters, heads, length, d = cross_attention[0][0].shape
        if not held:
            empty = cross_attention[0][0].new_empty(2 * decoder.layers, 0, heads, length, d)
            self._cross_attention = Store(empty)
        self._cross_attention.reserve(held + posters, length, held)
        self._cross_attention.write(held, cross_attention)
        stored = self._cross_attention.layers(held + posters)
        own = [(keys[held:], values[held:]) for keys, values in stored]
        past, seen = decoder.prefill(prompts, own), prompts >= 0
        numbers = [next(self._numbers) for _ in range(posters)]
        self._poster_slots.add(numbers)
        for conditional in (True, False)[: 1 + guided]:
            self._cache.join(past, seen if conditional else torch.zeros_like(seen), beams)
            self._text_slots.add([(number, conditional) for number in numbers])
        self._posters |= dict.fromkeys(numbers, _Poster(beams, guided))
        self._rows = None
        return numbers

    def arrange(self, posters: Sequence[int]) -> None:
        """Put the rows into this order of all posters."""
        self._posters = {number: self._posters[number] for number in posters}
        self._rows = None

    def leave(self, posters: Iterable[int]) -> None:
        """Let these posters go."""
        gone = set(posters)
        self._posters = {n: each for n, each in self._posters.items() if n not in gone}
        self._rows = None
        for to, place in self._poster_slots.remove(gone):
            self._cross_attention.move(to, place)
        moves = [*self._text_slots.remove({(n, kind) for n in gone for kind in (True, False)})]
        if self._posters:
            self._cache.leave(moves, len(self._text_slots))
        else:
            self._cache = self._empty_cache()

    def next_token_logits(self, tokens: Tensor) -> Tensor:
        """Logits (R, vocabulary) after the last tokens (R) of all rows."""
        cross_attention = self._cross_attention.layers(len(self._poster_slots))
        rows = self._arranged()
        return self.decoder.next_token_logits(tokens, rows, self._cache, cross_attention)

    def reorder(self, parents: Tensor) -> None:
        """Let each row go on from the past of another beam of its poster: `parents` (R)."""
        self._cache.reorder(parents[self._arranged().attention.padded])

    def _empty_cache(self) -> SelfAttentionCache:
        decoder = self.decoder
        return SelfAttentionCache(decoder.layers, decoder.heads, decoder.embeddings)

    def _arranged(self) -> Rows:
        if self._rows is None:
            texts = [(number, True) for number in self._posters]
            texts += [(number, False) for number, each in self._posters.items() if each.guided]
            self._rows = Rows.of(
                [self._posters[number].beams for number, _ in texts],
                [self._text_slots[text] for text in texts],
                [self._poster_slots[number] for number in self._posters],
                self.decoder.device,
            )
        return self._rows
