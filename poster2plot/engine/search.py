"""Which tokens to go on with: beam search, and sampling or greedy search, as transformers do them.

Both keep N rows of tokens for each of B posters, take in log-probabilities (B, N, V) of the next
token, and say which rows the next step continues. The order of the arithmetic is that of
`transformers.generation`, so that ties and roundings fall alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from poster2plot.engine.topk import largest
from poster2plot.settings import GenerationSettings

_NEVER = -1e9  # the score of what must not be chosen


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


class BeamSearch:
    """The beam search of transformers' `GenerationMixin._beam_search`."""

    def __init__(
        self, posters: int, settings: GenerationSettings, start: int, end: int, device: torch.device
    ) -> None:
        beams = settings.num_beams
        self._settings, self._end = settings, end
        self.tokens = torch.full((posters, beams, 1), start, device=device)
        self._scores = torch.zeros(posters, beams, device=device)
        self._scores[:, 1:] = _NEVER  # all beams are equal at first, and one is enough
        self._ended = torch.full((posters, beams, settings.max_length), end, device=device)
        self._ended_scores = torch.full((posters, beams), _NEVER, device=device)
        self._has_ended = torch.zeros(posters, beams, dtype=torch.bool, device=device)
        self._improvable = torch.ones(posters, 1, dtype=torch.bool, device=device)

    def advance(self, log_probs: Tensor, ids: Tensor) -> Tensor:
        beams, count = log_probs.shape[1:]
        length = self.tokens.shape[-1]
        # Twice as many as beams: even where all beams end, as many go on.
        totals = (log_probs + self._scores[..., None]).flatten(1)
        totals, choices = largest(totals, 2 * beams)
        parents, chosen = choices // count, ids.flatten(1).gather(1, choices)
        sequences = torch.cat([_rows(self.tokens, parents), chosen[..., None]], dim=-1)
        ends = chosen == self._end
        if length + 1 >= self._settings.max_length:
            ends = torch.ones_like(ends)

        going = totals + ends * _NEVER
        order = going.topk(beams).indices
        self.tokens = _rows(sequences, order)
        self._scores = going.gather(1, order)
        self._collect(sequences, totals, ends)
        self._improvable = self._improvable & self._can_improve(length)
        return parents.gather(1, order)

    def _collect(self, sequences: Tensor, totals: Tensor, ends: Tensor) -> None:
        """Take in the plots that just ended where they beat earlier ones."""
        beams, written = self.tokens.shape[1], sequences.shape[-1] - 1
        ends = ends.clone()
        ends[:, beams:] = False  # only the best may end
        if not ends.any():
            return
        scores = totals / written**self._settings.length_penalty
        closed = self._has_ended.all(-1, keepdim=True) & (self._settings.early_stopping is True)
        scores = scores + (closed * _NEVER) + (~self._improvable * _NEVER) + (~ends * _NEVER)
        padded = self._ended.new_full((*sequences.shape[:2], self._ended.shape[-1]), self._end)
        padded[..., : sequences.shape[-1]] = sequences
        scores = torch.cat([self._ended_scores, scores], dim=1)
        order = scores.topk(beams).indices
        self._ended = _rows(torch.cat([self._ended, padded], dim=1), order)
        self._ended_scores = scores.gather(1, order)
        self._has_ended = torch.cat([self._has_ended, ends], dim=1).gather(1, order)

    def _can_improve(self, written: int) -> Tensor:
        """Whether (B, 1) a running beam could still beat the worst plot that ended."""
        penalty = self._settings.length_penalty
        if self._settings.early_stopping == "never" and penalty > 0:
            written = self._settings.max_length - 1
        possible = self._scores[:, :1] / written**penalty
        worst = self._ended_scores.amin(1, keepdim=True).where(self._has_ended, _NEVER)
        improvable: Tensor = (possible > worst).any(-1, keepdim=True)
        return improvable

    def over(self) -> Tensor:
        done = ~self._improvable[:, 0]
        if self._settings.early_stopping is True:
            done = done | self._has_ended.all(-1)
        if self.tokens.shape[-1] >= self._settings.max_length:
            done = torch.ones_like(done)
        return done

    def keep(self, posters: Tensor) -> None:
        self.tokens, self._scores = self.tokens[posters], self._scores[posters]
        self._ended, self._ended_scores = self._ended[posters], self._ended_scores[posters]
        self._has_ended = self._has_ended[posters]
        self._improvable = self._improvable[posters]

    def best(self, poster: int) -> Hypothesis:
        ended, score = self._ended[poster, 0], float(self._ended_scores[poster, 0])
        written = self.tokens.shape[-1] - 1
        running = float(self._scores[poster, 0]) / written**self._settings.length_penalty
        if running > score:
            ended, score = self.tokens[poster, 0], running
        return Hypothesis(_until(self._end, ended[1:].tolist()), score)

    def results(self, poster: int) -> list[Hypothesis]:
        count = self._settings.num_candidates
        rows = self._ended[poster, :count, 1:].tolist()
        scores = self._ended_scores[poster, :count].tolist()
        return [
            Hypothesis(_until(self._end, row), score)
            for row, score in zip(rows, scores, strict=True)
        ]


class Sampling:
    """Tokens drawn by temperature and top-p; greedy search, the likeliest token, where not asked.

    Each poster draws from a generator of its own, so that its plots do not depend on the others.
    """

    def __init__(
        self, posters: int, settings: GenerationSettings, start: int, end: int, device: torch.device
    ) -> None:
        rows = settings.num_candidates
        self._settings, self._end = settings, end
        self.tokens = torch.full((posters, rows, 1), start, device=device)
        self._sums = torch.zeros(posters, rows, device=device)
        self._counts = torch.zeros(posters, rows, dtype=torch.long, device=device)
        self._ended = torch.zeros(posters, rows, dtype=torch.bool, device=device)
        self._generators = [
            torch.Generator(device).manual_seed(settings.seed) for _ in range(posters)
        ]

    def advance(self, log_probs: Tensor, ids: Tensor) -> None:
        if self._settings.sample:
            log_probs = _warp(log_probs, self._settings)
            places = torch.stack(
                [
                    rows.softmax(-1).multinomial(1, generator=generator)
                    for rows, generator in zip(log_probs, self._generators, strict=True)
                ]
            )
        else:
            places = log_probs.argmax(-1, keepdim=True)
        picked = log_probs.log_softmax(-1).gather(-1, places)[..., 0]
        chosen = ids.gather(-1, places)[..., 0]
        self._sums += picked.where(~self._ended, 0)
        self._counts += ~self._ended
        chosen = chosen.where(~self._ended, self._end)
        self.tokens = torch.cat([self.tokens, chosen[..., None]], dim=-1)
        self._ended |= chosen == self._end

    def over(self) -> Tensor:
        if self.tokens.shape[-1] >= self._settings.max_length:
            return torch.ones_like(self._ended[:, 0])
        return self._ended.all(-1)

    def keep(self, posters: Tensor) -> None:
        self.tokens, self._ended = self.tokens[posters], self._ended[posters]
        self._sums, self._counts = self._sums[posters], self._counts[posters]
        self._generators = [self._generators[i] for i in posters.tolist()]

    def best(self, poster: int) -> Hypothesis:
        return self.results(poster)[0]

    def results(self, poster: int) -> list[Hypothesis]:
        scores = (self._sums[poster] / self._counts[poster]).tolist()
        rows = self.tokens[poster, :, 1:].tolist()
        found = [
            Hypothesis(_until(self._end, row), score)
            for row, score in zip(rows, scores, strict=True)
        ]
        return sorted(found, key=lambda hypothesis: -hypothesis.score)


def _warp(log_probs: Tensor, settings: GenerationSettings) -> Tensor:
    """Sharpen by temperature, then leave the likeliest tokens that make up `top_p`."""
    log_probs = log_probs / settings.temperature
    if settings.top_p < 1:
        ascending, order = log_probs.sort(-1)
        unlikely = ascending.softmax(-1).cumsum(-1) <= 1 - settings.top_p
        unlikely[..., -1] = False
        log_probs = log_probs.masked_fill(unlikely.scatter(-1, order, unlikely), -torch.inf)
    return log_probs


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """Rows (B, M, T) of (B, N, T) by index (B, M)."""
    return tensor.gather(1, index[..., None].expand(-1, -1, tensor.shape[-1]))


def _until(end: int, token_ids: list[int]) -> tuple[int, ...]:
    return tuple(token_ids[: token_ids.index(end) + 1] if end in token_ids else token_ids)
