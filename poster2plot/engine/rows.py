"""Where the rows of a decoding step lie: one for each beam of each text, whatever their numbers.

Products with weights take the rows as they are. Attention is of each text by itself, and all of
them together are a batch of as many rows each: shorter ones are padded for it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Padding:
    """How R rows become N texts of K rows each, and come back.

    `padded` (N, K) are the rows of each text; one that has fewer repeats its first. `places` (R)
    are those of the rows in `padded`, flattened.
    """

    padded: Tensor
    places: Tensor

    @classmethod
    def of(cls, slots: Sequence[int], beams: Sequence[int], device: torch.device) -> Padding:
        """The padding of texts with so many rows one after the other, which come to these slots."""
        most = max(beams)
        padded: list[list[int]] = [[]] * len(slots)
        places: list[int] = []
        for slot, count, end in zip(slots, beams, accumulate(beams), strict=True):
            first = end - count
            padded[slot] = [*range(first, end), *[first] * (most - count)]
            places += range(slot * most, slot * most + count)
        return cls(torch.tensor(padded, device=device), torch.tensor(places, device=device))

    @property
    def texts(self) -> Tensor:
        """Of which text each row is, (R)."""
        return self.places // self.padded.shape[1]


@dataclass(frozen=True, eq=False)
class Rows:
    """The R rows of a step: those with a poster first, then the unconditional ones of guidance.

    `attention` pads them for self-attention, `cross_attention` the first ones for attention to the
    posters.
    """

    attention: Padding
    cross_attention: Padding

    @classmethod
    def of(
        cls,
        beams: Sequence[int],
        slots: Sequence[int],
        poster_slots: Sequence[int],
        device: torch.device,
    ) -> Rows:
        """Rows of texts with so many beams, at these slots of the self-attention cache.

        The first of the texts are those of posters, at `poster_slots` of the cross-attention cache.
        """
        with_posters = beams[: len(poster_slots)]
        return cls(Padding.of(slots, beams, device), Padding.of(poster_slots, with_posters, device))

    @property
    def conditional(self) -> int:
        """How many rows have a poster."""
        return len(self.cross_attention.places)
