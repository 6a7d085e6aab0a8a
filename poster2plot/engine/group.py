"""Posters of a running batch whose searches have tensors of the same shape."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor

from poster2plot.engine.beam_search import BeamSearch
from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.lexicon import Lexicon
from poster2plot.engine.logits_processing import process_logits
from poster2plot.engine.sampling import Sampling
from poster2plot.engine.search import Hypothesis, Prompts, Search
from poster2plot.settings import GenerationSettings


class Shape(NamedTuple):
    """What posters of a group have in common; all other settings are each poster's own."""

    kind: type[BeamSearch] | type[Sampling]
    rows: int
    sampled: bool
    guided: bool

    @classmethod
    def of(cls, settings: GenerationSettings) -> Shape:
        """That of posters with such settings."""
        if settings.is_beam_search:
            return cls(BeamSearch, settings.num_beams, False, settings.is_guided)
        return cls(Sampling, settings.num_candidates, settings.sample, settings.is_guided)

    @property
    def reorders(self) -> bool:
        """Whether a row may go on from another one."""
        return self.kind is BeamSearch


class Group:
    """Posters of one shape with their search."""

    def __init__(
        self,
        posters: list[int],
        prompts: Prompts,
        settings: GenerationSettings,
        rules: GenerationRules,
    ) -> None:
        """Posters of these numbers that begin with their prompts, and have equal settings."""
        self.shape = Shape.of(settings)
        self.posters = posters
        self._search: Search = self.shape.kind(prompts, settings, rules)
        device = prompts.tokens.device
        ends = prompts.lengths + rules.most_tokens(settings, prompts.lengths)
        self._processors = [
            rules.processors(prompt, end, device)
            for prompt, end in zip(prompts.lengths.tolist(), ends.tolist(), strict=True)
        ]

    def join(self, others: Group) -> None:
        """Take in others of the same shape."""
        self.posters = self.posters + others.posters
        self._processors += others._processors
        self._search.join(others._search)

    def leave(self, posters: Collection[int]) -> None:
        """Let those of these posters go that are here."""
        kept = [i for i, poster in enumerate(self.posters) if poster not in posters]
        if len(kept) == len(self.posters):
            return
        self.posters = [self.posters[i] for i in kept]
        if kept:
            self._processors = [self._processors[i] for i in kept]
            self._search.select(kept)

    def last_tokens(self) -> Tensor:
        """The last tokens (B, N)."""
        return self._search.texts.tokens[..., -1]

    def last_written(self, start: int) -> Tensor:
        """The same of texts that begin behind the prompts, with a start token."""
        texts = self._search.texts
        if all(texts.generated):
            return texts.tokens[..., -1]
        return texts.written(start)[..., -1]

    def advance(
        self,
        conditional: Tensor,
        unconditional: Tensor | None,
        rules: GenerationRules,
        word_starts: Tensor,
        lexicon: Lexicon | None,
    ) -> Tensor:
        """Go on by the logits (B * N, vocabulary) of all rows; returns the parents (B, N)."""
        search, size = self._search, (len(self.posters), self.shape.rows)
        tokens = process_logits(
            conditional.unflatten(0, size),
            None if unconditional is None else unconditional.unflatten(0, size),
            search.texts,
            search.settings,
            rules,
            self._processors,
            word_starts,
            lexicon,
        )
        parents = search.advance(tokens)
        if parents is None:
            return torch.arange(size[1], device=conditional.device).expand(size)
        return parents

    def finished(self) -> dict[int, list[Hypothesis]]:
        """The hypotheses of those posters that are finished."""
        return {
            poster: self._search.hypotheses(i)
            for i, (poster, done) in enumerate(
                zip(self.posters, self._search.finished(), strict=True)
            )
            if done
        }

    def best_hypothesis(self, poster: int) -> Hypothesis:
        """The best hypothesis so far of one of the posters."""
        return self._search.best_hypothesis(self.posters.index(poster))
