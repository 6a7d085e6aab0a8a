"""What every search has in common: which tokens to go on with, and what it found.

Beam search and sampling both keep N rows of tokens for each of B posters, take in
log-probabilities (B, N, V) of the next token, and say which rows the next step continues. The order
of the arithmetic is that of `transformers.generation`, so that ties and roundings fall alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """A plot's token ids after the start token, up to the end token where it has one.

    `score` is its log-probability: in beam search divided by length ** length_penalty, otherwise
    the mean per token.
    """

    token_ids: tuple[int, ...]
    score: float


class Search(Protocol):
    """What a decoding asks of its search."""

    tokens: Tensor  # (B, N, length) so far, the start token first

    def advance(self, log_probs: Tensor, ids: Tensor) -> Tensor | None:
        """Choose the next tokens of those with these log-probabilities and ids (B, N, k).

        Returns the rows (B, N) they continue, or None where each row goes on.
        """

    def over(self) -> Tensor:
        """Which posters (B) are finished."""

    def keep(self, posters: Tensor) -> None:
        """Drop all posters but these, (B') indices."""

    def best(self, poster: int) -> Hypothesis:
        """The most promising plot of a poster so far."""

    def results(self, poster: int) -> list[Hypothesis]:
        """The candidates of a finished poster, best first."""


def up_to_end(end: int, token_ids: list[int]) -> tuple[int, ...]:
    """The token ids up to the first end token, with it; all where there is none."""
    return tuple(token_ids[: token_ids.index(end) + 1] if end in token_ids else token_ids)
