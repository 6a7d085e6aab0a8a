"""Learn which of a poster's lines is its title: the weights of `title_reading.scoring`.

From posters and their titles, with the lines that text recognition reads on them. Recognition takes
far longer than learning, so its lines are kept in a file.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from poster2plot.errors import ImageError, InputError
from poster2plot.title_reading.recognition import TextReader
from poster2plot.title_reading.scoring import Choice, Weights
from poster2plot.title_reading.text_lines import TextLine
from poster2plot.title_reading.words import SMALL, words
from poster2plot.training.dataset import Picture, read_first
from poster2plot.training.evaluation.read_titles import is_right, likeness

RANKING_DECAY, TRUST_DECAY = 0.003, 0.01  # of the standardized weights' squares
UNTITLED = 0.1  # what a poster counts for whose title was taken away, so that there is none
COMMON = 3  # titles that a word is to occur in
FOLDS = 5  # of the posters, for a threshold that is chosen on posters not learnt from
MOST_WRONG = 0.09  # share of posters that the threshold leaves with a wrong title
AS_GOOD = 0.02  # likeness by which a right candidate may miss the best one and be as good


@dataclass(frozen=True)
class PosterLines:
    """The lines read on a poster whose height is `aspect` times its width."""

    aspect: float
    lines: tuple[TextLine, ...]


@dataclass(frozen=True)
class Example:
    """The candidates of a poster (N), whether each is right, and which of those are the best.

    `untitled` are the candidates that would be left if the title could not be read.
    """

    choice: Choice
    right: NDArray[np.bool_]
    best: NDArray[np.bool_]
    untitled: Choice | None

    @classmethod
    def of(cls, poster: PosterLines, titles: Sequence[str]) -> "Example | None":
        """Those of a poster of which any of these titles is right; None where it has no lines."""
        choice = Choice.among(poster.lines, poster.aspect)
        if choice is None:
            return None
        texts = [candidate.text for candidate in choice.candidates]
        right = np.array([any(is_right(text, title) for title in titles) for text in texts])
        like = np.array([max(likeness(text, title) for title in titles) for text in texts])
        best = right & (like >= np.max(like, where=right, initial=0) - AS_GOOD)
        own = set().union(*(words(title) for title in titles)) - SMALL
        title_lines = {
            line
            for candidate, is_best in zip(choice.candidates, best, strict=True)
            if is_best
            for line in candidate.lines
        }
        rest = [
            line
            for line in poster.lines
            if line not in title_lines and own.isdisjoint(words(line.text))
        ]
        untitled = Choice.among(rest, poster.aspect) if title_lines else None
        return cls(choice, right, best, untitled)


def read_lines(pictures: Mapping[str, Sequence[Picture]], cache: Path) -> dict[str, PosterLines]:
    """The lines on the first of each poster's pictures that can be read.

    A poster that has none is told. `cache` is read, and written where it lacks some.
    """
    known = json.loads(cache.read_text(encoding="utf-8")) if cache.exists() else {}
    reader: TextReader | None = None
    for id, places in pictures.items():
        if id in known:
            continue
        try:
            image = read_first(places)
        except (ImageError, InputError) as error:
            print(f"Passed over: {error}", file=sys.stderr)
            continue
        reader = reader or TextReader()
        lines = [asdict(line) for line in reader.read(image)]
        known[id] = {"aspect": image.height / image.width, "lines": lines}
        if len(known) % 20 == 0:
            print(f"text of {len(known)} posters", flush=True)
            cache.write_text(json.dumps(known), encoding="utf-8")
    cache.write_text(json.dumps(known), encoding="utf-8")
    return {id: _poster_lines(known[id]) for id in pictures if id in known}


def _poster_lines(entry: Mapping[str, object]) -> PosterLines:
    lines = [
        TextLine(**line | {"corners": tuple(map(tuple, line["corners"]))})
        for line in entry["lines"]  # type: ignore[attr-defined]
    ]
    return PosterLines(float(entry["aspect"]), tuple(lines))  # type: ignore[arg-type]


def learn(posters: Sequence[tuple[PosterLines, Sequence[str]]]) -> Weights:
    """The weights for posters, each with the titles that may be printed on it, and the threshold.

    Each fold's posters are judged by weights learnt from the others; the threshold is the lowest
    that leaves at most `MOST_WRONG` of all posters with a wrong title. Raises `InputError` where
    too few posters have a line that is their title.
    """
    examples = [Example.of(poster, titles) for poster, titles in posters]
    if len({i % FOLDS for i, each in enumerate(examples) if each and each.right.any()}) < 2:
        raise InputError(
            "Too few posters have their title among the lines read; take more posters or splits."
        )
    judged: list[tuple[float, bool]] = []
    for fold in range(FOLDS):
        weights = _fit([e for i, e in enumerate(examples) if e and i % FOLDS != fold])
        judged += [_judge(e, weights) for e in examples[fold::FOLDS] if e]
    weights = _fit([example for example in examples if example])
    return Weights(weights.ranking, weights.trust, weights.bias, _threshold(judged, len(posters)))


def _threshold(judged: Iterable[tuple[float, bool]], posters: int) -> float:
    wrong, threshold = 0, 1.0
    for confidence, right in sorted(judged, reverse=True):
        wrong += not right
        if wrong > MOST_WRONG * posters:
            break
        threshold = confidence
    return round(threshold, 3)


def _judge(example: Example, weights: Weights) -> tuple[float, bool]:
    """The confidence in the best candidate of a poster, and whether it is right."""
    place, confidence = example.choice.best(weights)
    return confidence, bool(example.right[place])


def _fit(examples: Sequence[Example]) -> Weights:
    names = examples[0].choice.names
    ranking = dict(zip(names, _rank([e for e in examples if e.right.any()]), strict=True))
    evidence, right, importance = [], [], []
    for example in examples:
        scores = example.choice.scores(ranking)
        evidence.append(example.choice.evidence(scores))
        right.append(float(example.right[scores.argmax()]))
        importance.append(1.0)
        if example.untitled:
            evidence.append(example.untitled.evidence(example.untitled.scores(ranking)))
            right.append(0.0)
            importance.append(UNTITLED)
    trust, bias = _trust(
        torch.tensor([list(each.values()) for each in evidence]),
        torch.tensor(right),
        torch.tensor(importance),
    )
    return Weights(ranking, dict(zip(evidence[0], trust, strict=True)), bias, 0.5)


def _rank(examples: Sequence[Example]) -> list[float]:
    """Weights (F) under which the best candidates of each poster are likely."""
    features = torch.from_numpy(np.concatenate([e.choice.features for e in examples])).float()
    best = torch.from_numpy(np.concatenate([e.best for e in examples]))
    sizes = [len(e.best) for e in examples]
    scale = features.std(0) + 1e-6
    standard = (features - features.mean(0)) / scale

    def loss(weights: Tensor) -> Tensor:
        scores = standard @ weights
        chosen = scores.masked_fill(~best, -torch.inf)
        likelihoods = [
            own.logsumexp(0) - every.logsumexp(0)
            for own, every in zip(chosen.split(sizes), scores.split(sizes), strict=True)
        ]
        return RANKING_DECAY * weights.square().sum() - torch.stack(likelihoods).mean()

    return _rounded(_minimize(loss, features.shape[1]) / scale)


def _trust(evidence: Tensor, right: Tensor, importance: Tensor) -> tuple[list[float], float]:
    """Weights (E) and bias of a logistic regression of evidence (N, E)."""
    mean, scale = evidence.mean(0), evidence.std(0) + 1e-6
    standard = F.pad((evidence - mean) / scale, (0, 1), value=1.0)

    def loss(weights: Tensor) -> Tensor:
        decay = TRUST_DECAY * weights[:-1].square().sum()
        return decay + F.binary_cross_entropy_with_logits(standard @ weights, right, importance)

    fitted = _minimize(loss, standard.shape[1])
    weights = fitted[:-1] / scale
    return _rounded(weights), round(float(fitted[-1] - weights @ mean), 4)


def _minimize(loss: Callable[[Tensor], Tensor], size: int) -> Tensor:
    weights = torch.zeros(size, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def step() -> Tensor:
        optimizer.zero_grad()
        value = loss(weights)
        value.backward()
        return value

    optimizer.step(step)
    return weights.detach()


def _rounded(weights: Tensor) -> list[float]:
    return [round(float(weight), 4) for weight in weights]


def common_words(titles: Iterable[str]) -> list[str]:
    """The words that at least `COMMON` titles have, sorted."""
    counts = Counter(word for title in titles for word in set(words(title)))
    return sorted(word for word, count in counts.items() if count >= COMMON)


def save(weights: Weights, path: Path) -> None:
    """Write weights where `Weights.read` reads them."""
    path.write_text(json.dumps(asdict(weights), indent=1) + "\n", encoding="utf-8")
