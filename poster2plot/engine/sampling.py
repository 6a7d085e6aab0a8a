"""Sampling by temperature and top-p, and greedy search, as `GenerationMixin._sample` does them.

Top-p or nucleus sampling: Holtzman et al. 2020, arXiv:1904.09751.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.search import Hypothesis, NextTokens, Prompts, Texts, grouped
from poster2plot.settings import GenerationSettings


class Sampling:
    """A `Search` by sampling with temperature and top-p; without `settings.sample`, greedy search.

    Each poster draws from a generator of its own, so that its plots do not depend on the others.
    """

    def __init__(
        self, prompts: Prompts, settings: GenerationSettings, rules: GenerationRules
    ) -> None:
        device, rows, posters = prompts.tokens.device, settings.num_candidates, len(prompts.tokens)
        self._sample, self._rules = settings.sample, rules
        self.settings = [settings] * posters
        self._warpers = [rules.warpers(settings, device)] * posters
        self._most = rules.most_tokens(settings, prompts.lengths).tolist()
        self.texts = Texts(prompts, rows)
        self._sums = torch.zeros(posters, rows, device=device)
        self._counts = torch.zeros(posters, rows, dtype=torch.long, device=device)
        self._finished = torch.zeros(posters, rows, dtype=torch.bool, device=device)
        self._generators = [
            torch.Generator(device).manual_seed(settings.seed) for _ in range(posters)
        ]

    def advance(self, tokens: NextTokens) -> None:
        """Each row goes on."""
        log_probs = tokens.log_probs
        if self._sample:
            log_probs = self._warped(log_probs)
            places = torch.stack(
                [
                    rows.softmax(-1).multinomial(1, generator=generator)
                    for rows, generator in zip(log_probs, self._generators, strict=True)
                ]
            )
        else:
            places = log_probs.argmax(-1, keepdim=True)
        picked = log_probs.log_softmax(-1).gather(-1, places)[..., 0]
        chosen = tokens.ids.gather(-1, places)[..., 0]
        self._sums += picked.where(~self._finished, 0)
        self._counts += ~self._finished
        chosen = chosen.where(~self._finished, self._rules.filler)
        self.texts.append(self.texts.tokens, chosen)
        self._finished |= self._rules.ends(chosen)

    def _warped(self, log_probs: Tensor) -> Tensor:
        """Log-probabilities (B, N, V) by each poster's temperature and top-p."""
        kinds = [(each.temperature, each.top_p) for each in self.settings]
        for posters in grouped(kinds):
            warpers = self._warpers[posters[0]]
            tokens, some = self.texts.tokens[posters], log_probs[posters]
            warped: Tensor = warpers(tokens.flatten(0, 1), some.flatten(0, 1)).view_as(some)
            if len(posters) == len(kinds):
                return warped
            log_probs = log_probs.index_copy(
                0, torch.tensor(posters, device=log_probs.device), warped
            )
        return log_probs

    def finished(self) -> list[bool]:
        ended = self._finished.all(-1).tolist()
        return [
            count >= most or done
            for count, most, done in zip(self.texts.generated, self._most, ended, strict=True)
        ]

    def join(self, other: Sampling) -> None:
        self.texts.join(other.texts)
        self.settings += other.settings
        self._warpers += other._warpers
        self._most += other._most
        self._sums = torch.cat([self._sums, other._sums])
        self._counts = torch.cat([self._counts, other._counts])
        self._finished = torch.cat([self._finished, other._finished])
        self._generators += other._generators

    def select(self, posters: Sequence[int]) -> None:
        self.texts.select(posters)
        self.settings = [self.settings[i] for i in posters]
        self._warpers = [self._warpers[i] for i in posters]
        self._most = [self._most[i] for i in posters]
        index = [*posters]
        self._sums, self._counts = self._sums[index], self._counts[index]
        self._finished = self._finished[index]
        self._generators = [self._generators[i] for i in posters]

    def best_hypothesis(self, poster: int) -> Hypothesis:
        return self.hypotheses(poster)[0]

    def hypotheses(self, poster: int) -> list[Hypothesis]:
        scores = (self._sums[poster] / self._counts[poster]).tolist()
        rows = self.texts.tokens[poster, :, -self.texts.generated[poster] :].tolist()
        hypotheses = [
            Hypothesis(self._rules.until_end(row), score)
            for row, score in zip(rows, scores, strict=True)
        ]
        return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)
