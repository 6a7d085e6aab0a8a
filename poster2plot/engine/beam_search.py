"""The beam search of transformers, for many posters at once."""

from __future__ import annotations

import torch
from torch import Tensor

from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.search import Hypothesis, Prompts
from poster2plot.engine.topk import largest
from poster2plot.settings import GenerationSettings

_NEVER = -1e9  # the score of what must not be chosen, as in transformers


class BeamSearch:
    """A `Search` as `GenerationMixin._beam_search` of transformers, B posters with K beams each.

    `prompts` begin the hypotheses, the end tokens of `rules` end them.
    """

    def __init__(
        self, prompts: Prompts, settings: GenerationSettings, rules: GenerationRules
    ) -> None:
        device, beams = prompts.tokens.device, settings.num_beams
        posters, self._prompt = prompts.tokens.shape
        self._settings, self._rules = settings, rules
        self._most = rules.most_tokens(settings, prompts.lengths)[:, None]  # (B, 1)
        self.tokens = prompts.tokens[:, None].expand(-1, beams, -1)
        self._scores = torch.zeros(posters, beams, device=device)
        self._scores[:, 1:] = _NEVER  # all beams are equal at first, and one is enough
        self._finished = torch.full(
            (posters, beams, self._prompt + settings.max_length), rules.filler, device=device
        )
        self._finished_scores = torch.full((posters, beams), _NEVER, device=device)
        self._is_finished = torch.zeros(posters, beams, dtype=torch.bool, device=device)
        self._improvable = torch.ones(posters, 1, dtype=torch.bool, device=device)

    def advance(self, log_probs: Tensor, ids: Tensor) -> Tensor:
        """Take in log-probabilities and ids (B, K, k); returns the parent beams (B, K)."""
        beams, count = log_probs.shape[1:]
        generated = self.tokens.shape[-1] + 1 - self._prompt
        # So many that as many as beams go on, even where each beam could end in every way.
        most = max(2, 1 + len(self._rules.eos_token_ids)) * beams
        totals = (log_probs + self._scores[..., None]).flatten(1)
        totals, choices = largest(totals, min(most, totals.shape[1]))
        parents, chosen = choices // count, ids.flatten(1).gather(1, choices)
        sequences = torch.cat([_rows(self.tokens, parents), chosen[..., None]], dim=-1)
        ends = self._rules.ends(chosen) | (generated >= self._most)

        running = totals + ends * _NEVER
        order = running.topk(beams).indices
        self.tokens = _rows(sequences, order)
        self._scores = running.gather(1, order)
        self._collect_finished(sequences, totals, ends)
        self._improvable = self._improvable & self._can_improve(generated)
        return parents.gather(1, order)

    def _collect_finished(self, sequences: Tensor, totals: Tensor, ends: Tensor) -> None:
        """Keep the hypotheses that just ended where they beat earlier finished ones."""
        beams, generated = self.tokens.shape[1], sequences.shape[-1] - self._prompt
        ends = ends.clone()
        ends[:, beams:] = False  # only the best may end
        if not ends.any():
            return
        scores = totals / generated**self._settings.length_penalty
        closed = self._is_finished.all(-1, keepdim=True) & (self._settings.early_stopping is True)
        scores = scores + (closed * _NEVER) + (~self._improvable * _NEVER) + (~ends * _NEVER)
        padded = self._finished.new_full(
            (*sequences.shape[:2], self._finished.shape[-1]), self._rules.filler
        )
        padded[..., : sequences.shape[-1]] = sequences
        scores = torch.cat([self._finished_scores, scores], dim=1)
        order = scores.topk(beams).indices
        self._finished = _rows(torch.cat([self._finished, padded], dim=1), order)
        self._finished_scores = scores.gather(1, order)
        self._is_finished = torch.cat([self._is_finished, ends], dim=1).gather(1, order)

    def _can_improve(self, generated: int) -> Tensor:
        """Whether (B, 1) a running beam could still beat the worst finished hypothesis."""
        penalty = self._settings.length_penalty
        longest = self._settings.early_stopping == "never" and penalty > 0
        possible = self._scores[:, :1] / (self._most if longest else generated) ** penalty
        worst = self._finished_scores.amin(1, keepdim=True).where(self._is_finished, _NEVER)
        improvable: Tensor = (possible > worst).any(-1, keepdim=True)
        return improvable

    def finished(self) -> Tensor:
        """Which posters (B) are finished: by early stopping, or at the maximum length."""
        done = ~self._improvable[:, 0]
        if self._settings.early_stopping is True:
            done = done | self._is_finished.all(-1)
        return done | (self.tokens.shape[-1] - self._prompt >= self._most[:, 0])

    def select(self, posters: Tensor) -> None:
        self.tokens, self._scores = self.tokens[posters], self._scores[posters]
        self._finished, self._finished_scores = (
            self._finished[posters],
            self._finished_scores[posters],
        )
        self._is_finished = self._is_finished[posters]
        self._improvable, self._most = self._improvable[posters], self._most[posters]

    def best_hypothesis(self, poster: int) -> Hypothesis:
        tokens, score = self._finished[poster, 0], float(self._finished_scores[poster, 0])
        generated = self.tokens.shape[-1] - self._prompt
        running = float(self._scores[poster, 0]) / generated**self._settings.length_penalty
        if running > score:
            tokens, score = self.tokens[poster, 0], running
        return Hypothesis(self._rules.until_end(tokens[self._generated(poster)].tolist()), score)

    def _generated(self, poster: int) -> slice:
        """Where in a row the tokens are that a poster's prompt is not, and no filling behind."""
        return slice(self._prompt, self._prompt + int(self._most[poster]))

    def hypotheses(self, poster: int) -> list[Hypothesis]:
        count = self._settings.num_candidates
        rows = self._finished[poster, :count, self._generated(poster)].tolist()
        scores = self._finished_scores[poster, :count].tolist()
        return [
            Hypothesis(self._rules.until_end(row), score)
            for row, score in zip(rows, scores, strict=True)
        ]


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """Rows (B, M, T) of a tensor (B, N, T) by index (B, M)."""
    return tensor.gather(1, index[..., None].expand(-1, -1, tensor.shape[-1]))
