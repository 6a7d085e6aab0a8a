"""What every decoding strategy has in common: which tokens to go on with, and its hypotheses.

Beam search and sampling both keep N rows of tokens for each of B posters, take in
log-probabilities (B, N, V) of the next token, and say which rows the next step continues. The order
of the arithmetic is that of `transformers.generation`, so that ties and roundings fall alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """A plot's token ids after its prompt, up to the end token where it has one.

    `score` is its log-probability: in beam search divided by length ** length_penalty, otherwise
    the mean per token.
    """

    token_ids: tuple[int, ...]
    score: float


PAD = -1  # of prompts shorter than others; no token


@dataclass(frozen=True)
class Prompts:
    """What the decoder is given to go on from: the start token, and a title where there is one.

    `tokens` (B, P) are padded with `PAD` on the left, `lengths` (B) count the others.
    """

    tokens: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]], device: torch.device) -> Prompts:
        """Prompts of at least a token each."""
        longest = max(map(len, prompts))
        padded = [[PAD] * (longest - len(prompt)) + [*prompt] for prompt in prompts]
        lengths = [len(prompt) for prompt in prompts]
        return cls(torch.tensor(padded, device=device), torch.tensor(lengths, device=device))


class Search(Protocol):
    """A decoding strategy: `BeamSearch` or `Sampling`.

    As in transformers, `max_length` counts a poster's prompt, and penalties do not.
    """

    tokens: Tensor  # (B, N, P + generated) so far, the prompt first, with `PAD` before it

    def advance(self, log_probs: Tensor, ids: Tensor) -> Tensor | None:
        """Choose the next tokens of those with these log-probabilities and ids (B, N, k).

        Returns the rows (B, N) they continue, or None where each row goes on.
        """

    def finished(self) -> Tensor:
        """Which posters (B) are finished."""

    def select(self, posters: Tensor) -> None:
        """Keep only these posters, (B') indices into the batch."""

    def best_hypothesis(self, poster: int) -> Hypothesis:
        """The hypothesis of a poster that has the best score so far."""

    def hypotheses(self, poster: int) -> list[Hypothesis]:
        """The `num_candidates` hypotheses of a finished poster, best first."""
