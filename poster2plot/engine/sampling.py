"""Sampling by temperature and top-p, and greedy search, as `GenerationMixin._sample` does them.

Top-p or nucleus sampling: Holtzman et al. 2020, arXiv:1904.09751.
"""

from __future__ import annotations

import torch
from torch import Tensor

from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.search import Hypothesis, Prompts
from poster2plot.settings import GenerationSettings


class Sampling:
    """A `Search` by sampling with temperature and top-p; without `settings.sample`, greedy search.

    Each poster draws from a generator of its own, so that its plots do not depend on the others.
    """

    def __init__(
        self, prompts: Prompts, settings: GenerationSettings, rules: GenerationRules
    ) -> None:
        device, rows = prompts.tokens.device, settings.num_candidates
        posters, self._prompt = prompts.tokens.shape
        self._settings, self._rules = settings, rules
        self._warpers = rules.warpers(settings, device)
        self._most = rules.most_tokens(settings, prompts.lengths)  # (B,)
        self.tokens = prompts.tokens[:, None].expand(-1, rows, -1)
        self._sums = torch.zeros(posters, rows, device=device)
        self._counts = torch.zeros(posters, rows, dtype=torch.long, device=device)
        self._finished = torch.zeros(posters, rows, dtype=torch.bool, device=device)
        self._generators = [
            torch.Generator(device).manual_seed(settings.seed) for _ in range(posters)
        ]

    def advance(self, log_probs: Tensor, ids: Tensor) -> None:
        """Take in log-probabilities and ids (B, N, k); each row goes on."""
        if self._settings.sample:
            rows = log_probs.flatten(0, 1)
            log_probs = self._warpers(self.tokens.flatten(0, 1), rows).view_as(log_probs)
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
        self._sums += picked.where(~self._finished, 0)
        self._counts += ~self._finished
        chosen = chosen.where(~self._finished, self._rules.filler)
        self.tokens = torch.cat([self.tokens, chosen[..., None]], dim=-1)
        self._finished |= self._rules.ends(chosen)

    def finished(self) -> Tensor:
        at_most = self.tokens.shape[-1] - self._prompt >= self._most
        return at_most | self._finished.all(-1)

    def select(self, posters: Tensor) -> None:
        self.tokens, self._finished = self.tokens[posters], self._finished[posters]
        self._most = self._most[posters]
        self._sums, self._counts = self._sums[posters], self._counts[posters]
        self._generators = [self._generators[i] for i in posters.tolist()]

    def best_hypothesis(self, poster: int) -> Hypothesis:
        return self.hypotheses(poster)[0]

    def hypotheses(self, poster: int) -> list[Hypothesis]:
        scores = (self._sums[poster] / self._counts[poster]).tolist()
        rows = self.tokens[poster, :, self._prompt :].tolist()
        hypotheses = [
            Hypothesis(self._rules.until_end(row), score)
            for row, score in zip(rows, scores, strict=True)
        ]
        return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)
