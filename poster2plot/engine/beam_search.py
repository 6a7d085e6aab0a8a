"""The beam search of transformers, for many posters at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.search import Hypothesis, NextTokens, Prompts, Texts, padded_alike
from poster2plot.engine.topk import largest
from poster2plot.settings import GenerationSettings

_NEVER = -1e9  # the score of what must not be chosen, as in transformers
# Of what has not ended. By a negative length penalty texts that did may fall below the above.
_UNFINISHED = torch.finfo(torch.float32).min


class BeamSearch:
    """A `Search` as `GenerationMixin._beam_search` of transformers, B posters with K beams each.

    `prompts` begin the hypotheses, the end tokens of `rules` end them.
    """

    def __init__(
        self, prompts: Prompts, settings: GenerationSettings, rules: GenerationRules
    ) -> None:
        device, beams, posters = prompts.tokens.device, settings.num_beams, len(prompts.tokens)
        self.settings, self._rules = [settings] * posters, rules
        self.texts = Texts(prompts, beams)
        self._most = rules.most_tokens(settings, prompts.lengths)[:, None]  # (B, 1)
        self._scores = torch.zeros(posters, beams, device=device)
        self._scores[:, 1:] = _NEVER  # all beams are equal at first, and one is enough
        self._gains = torch.zeros(posters, beams, device=device)  # sums
        # Without prompts, and filled up behind the end.
        self._finished = torch.full(
            (posters, beams, int(self._most.amax())), rules.filler, device=device
        )
        self._finished_scores = torch.full((posters, beams), _UNFINISHED, device=device)
        self._finished_gains = torch.zeros(posters, beams, device=device)
        self._is_finished = torch.zeros(posters, beams, dtype=torch.bool, device=device)
        self._improvable = torch.ones(posters, 1, dtype=torch.bool, device=device)

    def advance(self, tokens: NextTokens) -> Tensor:
        """Returns the parent beams (B, K)."""
        beams, count = tokens.ids.shape[1:]
        # So many that as many as beams go on, even where each beam could end in every way.
        most = max(2, 1 + len(self._rules.eos_token_ids)) * beams
        totals = (tokens.log_probs + self._scores[..., None]).flatten(1)
        totals, choices = largest(totals, min(most, totals.shape[1]))
        parents, chosen = choices // count, tokens.ids.flatten(1).gather(1, choices)
        gains = self._gains.gather(1, parents)
        if tokens.gains is not None:
            gains = gains + tokens.gains.flatten(1).gather(1, choices)
        generated = self._column([each + 1 for each in self.texts.generated])
        ends = self._rules.ends(chosen) | (generated >= self._most)

        running = totals + ends * _NEVER
        order = running.topk(beams).indices
        before = self.texts.tokens
        going_on = parents.gather(1, order)
        self.texts.append(_rows(before, going_on), chosen.gather(1, order))
        self._scores, self._gains = running.gather(1, order), gains.gather(1, order)
        ends[:, beams:] = False  # only the best may end
        if ends.any():
            sequences = torch.cat([_rows(before, parents), chosen[..., None]], dim=-1)
            self._collect_finished(sequences, totals, gains, ends)
        self._improvable = self._improvable & self._can_improve()
        return going_on

    def _collect_finished(
        self, sequences: Tensor, totals: Tensor, gains: Tensor, ends: Tensor
    ) -> None:
        """Keep the hypotheses that just ended where they beat earlier finished ones."""
        beams, length = self._finished.shape[1:]
        scores = totals / self._penalties()
        closed = self._is_finished.all(-1, keepdim=True) & self._stops_early()
        scores = scores.masked_fill(closed | ~self._improvable | ~ends, _UNFINISHED)
        scores = torch.cat([self._finished_scores, scores], dim=1)
        order = scores.topk(beams).indices
        ended = self._without_prompts(sequences, length)
        self._finished = _rows(torch.cat([self._finished, ended], dim=1), order)
        self._finished_scores = scores.gather(1, order)
        self._finished_gains = torch.cat([self._finished_gains, gains], dim=1).gather(1, order)
        self._is_finished = torch.cat([self._is_finished, ends], dim=1).gather(1, order)

    def _without_prompts(self, sequences: Tensor, length: int) -> Tensor:
        """Sequences (B, M, T) from the first generated token on, filled up to this length."""
        generated = self._column(self.texts.generated)[..., None]
        places = torch.arange(length, device=sequences.device)
        index = (places + sequences.shape[-1] - generated).clamp(max=sequences.shape[-1] - 1)
        found = sequences.gather(-1, index.expand(-1, sequences.shape[1], -1))
        return found.where(places < generated, self._rules.filler)

    def _can_improve(self) -> Tensor:
        """Whether (B, 1) a running beam could still beat the worst finished hypothesis."""
        lengths = [
            most if each.early_stopping == "never" and each.length_penalty > 0 else count
            for each, most, count in zip(
                self.settings, self._most[:, 0].tolist(), self.texts.generated, strict=True
            )
        ]
        possible = self._scores[:, :1] / self._penalties(lengths)
        worst = self._finished_scores.amin(1, keepdim=True).where(self._is_finished, _UNFINISHED)
        improvable: Tensor = (possible > worst).any(-1, keepdim=True)
        return improvable

    def _penalties(self, lengths: Sequence[int] | None = None) -> Tensor:
        """What to divide log-probabilities (B, …) of texts of these lengths by, (B, 1).

        Without `lengths`, those so far.
        """
        lengths = self.texts.generated if lengths is None else lengths
        return self._column(
            [
                length**each.length_penalty
                for length, each in zip(lengths, self.settings, strict=True)
            ]
        )

    def _stops_early(self) -> Tensor:
        return self._column([each.early_stopping is True for each in self.settings])

    def _column(self, values: Sequence[float]) -> Tensor:
        """(B, 1)."""
        return torch.tensor(values, device=self._scores.device)[:, None]

    def finished(self) -> list[bool]:
        """Which posters are finished: by early stopping, or at the maximum length."""
        generated = self._column(self.texts.generated)
        full = self._is_finished.all(-1, keepdim=True) & self._stops_early()
        done = ~self._improvable | full | (generated >= self._most)
        found: list[bool] = done[:, 0].tolist()
        return found

    def join(self, other: BeamSearch) -> None:
        self.texts.join(other.texts)
        self.settings += other.settings
        self._finished = torch.cat(
            padded_alike(self._finished, other._finished, self._rules.filler)
        )
        self._most = torch.cat([self._most, other._most])
        self._scores = torch.cat([self._scores, other._scores])
        self._gains = torch.cat([self._gains, other._gains])
        self._finished_scores = torch.cat([self._finished_scores, other._finished_scores])
        self._finished_gains = torch.cat([self._finished_gains, other._finished_gains])
        self._is_finished = torch.cat([self._is_finished, other._is_finished])
        self._improvable = torch.cat([self._improvable, other._improvable])

    def select(self, posters: Sequence[int]) -> None:
        self.texts.select(posters)
        self.settings = [self.settings[i] for i in posters]
        index = [*posters]
        self._scores, self._most = self._scores[index], self._most[index]
        self._gains, self._finished_gains = self._gains[index], self._finished_gains[index]
        self._finished, self._finished_scores = self._finished[index], self._finished_scores[index]
        self._is_finished, self._improvable = self._is_finished[index], self._improvable[index]

    def best_hypothesis(self, poster: int) -> Hypothesis:
        row, score = self._finished[poster, 0], float(self._finished_scores[poster, 0])
        most, generated = int(self._most[poster]), self.texts.generated[poster]
        penalty = self.settings[poster].length_penalty
        running = float(self._scores[poster, 0]) / generated**penalty
        if running > score:
            row, score, most = self.texts.tokens[poster, 0, -generated:], running, generated
        return Hypothesis(self._rules.until_end(row[:most].tolist()), score)

    def hypotheses(self, poster: int) -> list[Hypothesis]:
        count = self.settings[poster].num_candidates
        rows = self._finished[poster, :count, : int(self._most[poster])].tolist()
        scores = self._finished_scores[poster, :count].tolist()
        gains = self._finished_gains[poster, :count].tolist()
        ended = self._is_finished[poster, :count].tolist()
        hypotheses = []
        for row, score, gain, has_ended in zip(rows, scores, gains, ended, strict=True):
            ids = self._rules.until_end(row)
            if has_ended:
                hypotheses.append(Hypothesis(ids, score, gain / len(ids)))
            else:  # fewer have ended
                hypotheses.append(Hypothesis(ids, _NEVER, -math.inf))
        return hypotheses


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """Rows (B, M, T) of a tensor (B, N, T) by index (B, M)."""
    return tensor.gather(1, index[..., None].expand(-1, -1, tensor.shape[-1]))
