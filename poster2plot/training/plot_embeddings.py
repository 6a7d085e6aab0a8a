"""What a plot is about, as far as its poster and its title tell: predicted sentence embeddings.

Ridge regression from the mean and the CLS state of the aligned encoder, the sentence embedding of
the title, or both, onto the sentence embedding of the plot.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from poster2plot.training.beginnings import digest
from poster2plot.training.dataset import Pair
from poster2plot.training.encoder_states import EncoderStates
from poster2plot.training.evaluation.retrieval import Embedder
from poster2plot.training.whole import whole_file

Clues = Literal["both", "picture", "title"]
CLUES: tuple[Clues, ...] = ("both", "picture", "title")

# By R@10 of the predictions on the validation split.
PENALTY = 10_000.0
TITLE_WEIGHT: dict[Clues, float] = {"both": 0.3, "picture": 0.0, "title": 0.1}

_FOLDS = 4


def centred(embeddings: Tensor) -> Tensor:
    """Unit embeddings (N, E) without what all have in common."""
    return F.normalize(embeddings - embeddings.mean(0), dim=-1)


def cached_embeddings(folder: Path, texts: Sequence[str], embedder: Embedder) -> Tensor:
    """Embeddings (N, E) of texts, kept in `folder` under a digest of these and of the embedder."""
    path = folder / f"embeddings-{digest([embedder.identity, *texts])}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            np.save(part, embedder(texts).numpy())
    return torch.from_numpy(np.load(path))


def pooled_states(states: EncoderStates, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """The CLS state and the mean state of each poster, both (N, width)."""
    # One poster at a time, of which a copy stays: all states of a dataset are gigabytes.
    rows = (states[pair.id] for pair in pairs)
    cls, mean = torch.stack([torch.stack([row[0], row.mean(0)]) for row in rows]).unbind(1)
    return cls, mean


def clue_features(clues: Clues, posters: tuple[Tensor, Tensor], titles: Tensor) -> Tensor:
    """What the clues say of each title, (N, F).

    `posters` are what `pooled_states` made, `titles` (N, E) the titles' embeddings. Blocks are
    scaled to like variance, so that one penalty suits all.
    """
    blocks = [*posters, titles]
    if clues != "both":
        blocks = [*posters] if clues == "picture" else [titles]
    return torch.cat([block / block.std() for block in blocks], dim=-1)


def fit_ridge(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (F, E) and bias (E,) of ridge regression from (N, F) onto (N, E)."""
    mean, bias = features.mean(0), targets.mean(0)
    x = (features - mean).double()
    gram = x.T @ x + PENALTY * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(gram, x.T @ (targets - bias).double()).to(features)
    return weights, bias - mean @ weights


def cross_predicted(
    clues: Clues, posters: tuple[Tensor, Tensor], titles: Tensor, plots: Tensor
) -> Tensor:
    """Centred unit predictions (N, E) of the plots' embeddings, from what the clues say.

    `posters` and `titles` are as in `clue_features`, `plots` (N, E) the embeddings of the true
    plots. Each prediction is made by a regression that did not see its own plot, as at a title that
    is new.
    """
    features, targets = clue_features(clues, posters, titles), centred(plots)
    predicted = torch.empty_like(targets)
    fold = torch.arange(len(features)) % _FOLDS
    for held_out in range(_FOLDS):
        own = fold == held_out
        weights, bias = fit_ridge(features[~own], targets[~own])
        predicted[own] = features[own] @ weights + bias
    return with_title(clues, centred(predicted), titles)


def with_title(clues: Clues, predicted: Tensor, titles: Tensor) -> Tensor:
    """Unit predictions (N, E) moved towards the embeddings of the titles, where these are known."""
    return F.normalize(predicted + TITLE_WEIGHT[clues] * centred(titles), dim=-1)


def predicted_by_title(titles: Tensor, plots: Tensor, others: Tensor) -> Tensor:
    """Unit predictions (M, E) of what the plots of other titles mean, by their embeddings (M, E).

    `titles` and `plots` are the embeddings (N, E) of those whose plots are known.
    """
    scale = titles.std()
    weights, bias = fit_ridge(titles / scale, centred(plots))
    return with_title("title", centred(others / scale @ weights + bias), others)
