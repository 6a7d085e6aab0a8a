"""Which candidate is the title, and how sure that is: two linear models of `features`.

The first ranks the candidates of a poster: a conditional logit, the softmax over them of weighted
features. The second is a logistic regression that tells whether the best one is right, from its
features and from how far ahead it is. `weights.json` has their weights, which
`python -m poster2plot.training train-title-reader` learns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poster2plot.title_reading.candidates import TitleCandidate, candidates
from poster2plot.title_reading.features import PosterText
from poster2plot.title_reading.text_lines import TextLine

WEIGHTS = Path(__file__).with_name("weights.json")
_MUCH_THE_SAME = 0.5  # of the words of two candidates, those that both have
_CLEAREST = 12.0  # logits; further ahead means nothing more

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """Weights by feature; below `threshold`, a probability, there is no title."""

    ranking: Mapping[str, float]
    trust: Mapping[str, float]
    bias: float
    threshold: float

    @classmethod
    def read(cls, path: Path = WEIGHTS) -> Weights:
        """Those that come with the package, unless told otherwise."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Choice:
    """The candidates of a poster (N) and their features (N, F)."""

    candidates: Sequence[TitleCandidate]
    names: Sequence[str]  # of the features
    features: Numbers

    @classmethod
    def among(cls, lines: Sequence[TextLine], aspect: float) -> Choice | None:
        """The choice that the lines of a poster leave; None where there are no lines."""
        found = candidates(lines)
        if not found:
            return None
        text = PosterText(lines, aspect)
        rows = [text.features(candidate) for candidate in found]
        return cls(found, list(rows[0]), np.array([list(row.values()) for row in rows]))

    def scores(self, ranking: Mapping[str, float]) -> Numbers:
        """Of each candidate (N): the larger, the likelier."""
        scores: Numbers = self.features @ np.array([ranking[name] for name in self.names])
        return scores

    def evidence(self, scores: Numbers) -> dict[str, float]:
        """What tells whether the candidate of the highest score is right."""
        best = int(scores.argmax())
        probabilities = np.exp(scores - scores.max())
        probabilities /= probabilities.sum()
        same = np.array([self._is_much_the_same(best, i) for i in range(len(scores))])
        rival = scores[~same].max() if not same.all() else -np.inf
        return {
            "probability": _logit(probabilities[best]),
            "probability of the like": _logit(probabilities[same].sum()),
            "lead": float(min(_CLEAREST, scores[best] - rival)),
            **dict(zip(self.names, map(float, self.features[best]), strict=True)),
        }

    def best(self, weights: Weights) -> tuple[int, float]:
        """The place of the likeliest title, and the probability that it is right."""
        scores = self.scores(weights.ranking)
        evidence = self.evidence(scores)
        logit = weights.bias + sum(weights.trust[name] * value for name, value in evidence.items())
        return int(scores.argmax()), float(1 / (1 + np.exp(-logit)))

    def _is_much_the_same(self, i: int, j: int) -> bool:
        one, other = set(self.candidates[i].words), set(self.candidates[j].words)
        return len(one & other) >= _MUCH_THE_SAME * max(1, len(one | other))


def best_candidate(
    lines: Sequence[TextLine], aspect: float, weights: Weights
) -> tuple[TitleCandidate, float] | None:
    """The likeliest title and the probability that it is right; None where there are no lines."""
    choice = Choice.among(lines, aspect)
    if choice is None:
        return None
    place, confidence = choice.best(weights)
    return choice.candidates[place], confidence


def _logit(probability: float) -> float:
    probability = min(max(float(probability), 1e-4), 1 - 1e-4)
    return float(np.log(probability / (1 - probability)))
