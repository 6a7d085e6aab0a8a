"""Sampling by temperature and top-p, and greedy search, as transformers do them."""

from __future__ import annotations

import torch
from torch import Tensor

from poster2plot.engine.search import Hypothesis, up_to_end
from poster2plot.settings import GenerationSettings


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
            Hypothesis(up_to_end(self._end, row), score)
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
