"""The beam search of transformers, for many posters at once."""

from __future__ import annotations

import torch
from torch import Tensor

from poster2plot.engine.search import Hypothesis, up_to_end
from poster2plot.engine.topk import largest
from poster2plot.settings import GenerationSettings

_NEVER = -1e9  # the score of what must not be chosen


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
        return Hypothesis(up_to_end(self._end, ended[1:].tolist()), score)

    def results(self, poster: int) -> list[Hypothesis]:
        count = self._settings.num_candidates
        rows = self._ended[poster, :count, 1:].tolist()
        scores = self._ended_scores[poster, :count].tolist()
        return [
            Hypothesis(up_to_end(self._end, row), score)
            for row, score in zip(rows, scores, strict=True)
        ]


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """Rows (B, M, T) of (B, N, T) by index (B, M)."""
    return tensor.gather(1, index[..., None].expand(-1, -1, tensor.shape[-1]))
