"""What every decoding strategy has in common: which tokens to go on with, and its hypotheses.

Beam search and sampling both keep N rows of tokens for each of B posters, take in
log-probabilities (B, N, V) of the next token, and say which rows the next step continues. The order
of the arithmetic is that of `transformers.generation`, so that ties and roundings fall alike.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from poster2plot.settings import GenerationSettings


@dataclass(frozen=True)
class Hypothesis:
    """A plot's token ids after its prompt, up to the end token where it has one.

    `score` is its log-probability: in beam search divided by length ** length_penalty, otherwise
    the mean per token. `gain` is, in guided beam search, by how many nats a token poster and title
    make it likelier, which is the pointwise mutual information with them.
    """

    token_ids: tuple[int, ...]
    score: float
    gain: float = 0.0


class NextTokens(NamedTuple):
    """Log-probabilities and ids (B, N, k) of tokens that may come next.

    `gains`, alike, are by how many nats poster and title make them likelier, in guided beam search.
    """

    log_probs: Tensor
    ids: Tensor
    gains: Tensor | None = None


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


class Texts:
    """What N rows of each of B posters have so far, whenever each poster came.

    `tokens` (B, N, length) end with the last ones, prompts first and `PAD` before them. `prompts`
    are the posters' own, `generated` how many tokens each poster has beside them.
    """

    def __init__(self, prompts: Prompts, rows: int) -> None:
        self.tokens = prompts.tokens[:, None].expand(-1, rows, -1)
        self.prompts = [[token for token in row if token != PAD] for row in prompts.tokens.tolist()]
        self.prompt_tokens = prompts.tokens[:, None]  # (B, 1, P), padded as in `Prompts`
        self.generated = [0] * len(self.prompts)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each poster's rows, those of the prompt included."""
        return [
            len(prompt) + count for prompt, count in zip(self.prompts, self.generated, strict=True)
        ]

    def append(self, tokens: Tensor, chosen: Tensor) -> None:
        """Go on with tokens (B, N, length), those so far in another order, and these (B, N)."""
        self.tokens = torch.cat([tokens, chosen[..., None]], dim=-1)
        self.generated = [count + 1 for count in self.generated]

    def written(self, start: int) -> Tensor:
        """The tokens (B, N, T) behind the prompts, and a start token before them."""
        counts = torch.tensor(self.generated, device=self.tokens.device)[:, None, None]
        width = 1 + max(self.generated)
        behind = torch.arange(1 - width, 1, device=self.tokens.device) + counts  # the start at 0
        tokens = self.tokens[..., -width:].where(behind > 0, PAD)
        return tokens.where(behind != 0, start)

    def rows(self) -> list[list[list[int]]]:
        """The same without a start token, of each row of each poster."""
        return [
            [row[len(row) - count :] for row in rows]
            for rows, count in zip(self.tokens.tolist(), self.generated, strict=True)
        ]

    def join(self, others: Texts) -> None:
        """Take in posters with as many rows."""
        self.tokens = torch.cat(padded_alike(self.tokens, others.tokens, PAD, left=True))
        both = padded_alike(self.prompt_tokens, others.prompt_tokens, PAD, left=True)
        self.prompt_tokens = torch.cat(both)
        self.prompts += others.prompts
        self.generated += others.generated

    def select(self, posters: Sequence[int]) -> None:
        """Keep only these posters."""
        self.prompts = [self.prompts[i] for i in posters]
        self.prompt_tokens = self.prompt_tokens[[*posters]]
        self.generated = [self.generated[i] for i in posters]
        self.tokens = self.tokens[[*posters], :, -max(self.lengths, default=1) :]


def padded_alike(a: Tensor, b: Tensor, value: int, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Two tensors (…, length) of the same length, the shorter one filled up on one side."""
    most = max(a.shape[-1], b.shape[-1])

    def padded(x: Tensor) -> Tensor:
        lack = most - x.shape[-1]
        return functional.pad(x, (lack, 0) if left else (0, lack), value=value)

    return padded(a), padded(b)


def grouped(values: Sequence[Hashable]) -> list[list[int]]:
    """The indices of equal values, for each value."""
    places: dict[Hashable, list[int]] = {}
    for i, value in enumerate(values):
        places.setdefault(value, []).append(i)
    return [*places.values()]


class Search(Protocol):
    """A decoding strategy: `BeamSearch` or `Sampling`.

    As in transformers, `max_length` counts a poster's prompt, and penalties do not. It begins with
    posters of equal settings; later ones have others, but as many rows.
    """

    settings: list[GenerationSettings]  # of each poster
    texts: Texts  # so far

    def advance(self, tokens: NextTokens) -> Tensor | None:
        """Choose among the tokens that may come next.

        Returns the rows (B, N) they continue, or None where each row goes on.
        """

    def finished(self) -> list[bool]:
        """Which posters are finished."""

    def join(self, other: Any) -> None:
        """Take in the posters of a search of the same kind with as many rows."""

    def select(self, posters: Sequence[int]) -> None:
        """Keep only these posters, indices into the batch."""

    def best_hypothesis(self, poster: int) -> Hypothesis:
        """The hypothesis of a poster that has the best score so far."""

    def hypotheses(self, poster: int) -> list[Hypothesis]:
        """The `num_candidates` hypotheses of a finished poster, best first."""
