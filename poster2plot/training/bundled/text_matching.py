"""Pseudo-labels by cross-modal retrieval: each text joins a poster that looks like it.

A poster tells little of its own plot, so that a decoder trained on true pairs soon leans on the
language alone, and a few thousand pairs it knows by heart. Here each text, most of which never had
a poster, is shown with a training poster that the aligned encoder takes for one of its kind. Such
pairs agree far better than true ones, and the decoder learns to follow what it sees.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from poster2plot.training.batches import Example
from poster2plot.training.dataset import Dataset

CHUNK = 2048  # rows compared at once
_CSLS_NEIGHBOURS = 50  # texts whose mean similarity tells how much of a hub a poster is

# Beam search would begin every plot with these.
_STOCK_OPENING = re.compile(
    r"^(this is |it is |it's )?(the|a|an)? ?(\w+ )?(story|stories|tale|film|movie|series|show)\b"
    r"|^(this|based on)\b",
    re.IGNORECASE,
)


def has_stock_opening(text: str) -> bool:
    """Whether a plot begins by speaking of itself, as in "The story of a ..."."""
    return _STOCK_OPENING.search(text) is not None


def match_texts(texts: Tensor, posters: Tensor, *, nearest: int, seed: int) -> list[int]:
    """For each text one of the `nearest` posters, at random: its row.

    Both are unit embeddings, (N, E) and (M, E), whose mean has been taken out. Hubs, posters
    that are near to everything, are held back by cross-domain similarity local scaling (CSLS,
    Conneau et al. 2018, arXiv:1710.04087).
    """
    hubness = torch.cat(
        [
            (chunk @ texts.T).topk(min(_CSLS_NEIGHBOURS, len(texts)), -1).values.mean(-1)
            for chunk in posters.split(CHUNK)
        ]
    )
    generator = torch.Generator().manual_seed(seed)
    found: list[int] = []
    for chunk in texts.split(CHUNK):
        best = (2 * chunk @ posters.T - hubness).topk(min(nearest, len(posters)), -1).indices
        choice = torch.randint(best.shape[1], (len(best), 1), generator=generator)
        found += best.gather(1, choice)[:, 0].tolist()
    return found


def neighbour_centroids(
    posters: Tensor, texts: Tensor, *, nearest: int = 64
) -> tuple[Tensor, Tensor]:
    """Unit centroids (M, E) of the `nearest` texts to each poster, and their rows (M, nearest).

    Texts (N, E) and posters (M, E) as in `match_texts`.
    A single plot near to a poster is special in its own way; the mean of many is what they share.
    """
    means, rows = [], []
    for chunk in posters.split(CHUNK):
        found = (chunk @ texts.T).topk(min(nearest, len(texts)), -1).indices
        means.append(F.normalize(texts[found].mean(1), dim=-1))
        rows.append(found)
    return torch.cat(means), torch.cat(rows)


def typical_texts(
    texts: Tensor, posters: Tensor, *, most: int, per_poster: int = 2, per_text: int = 5
) -> list[tuple[int, int]]:
    """The `most` best (row of a poster, row of a text), by cosine to the poster's centroid.

    At most `per_poster` of a poster and `per_text` of a text. Both are as in `match_texts`.
    """
    centroids, near = neighbour_centroids(posters, texts)
    scores = torch.cat(
        [
            (texts[rows] * (centroids[i : i + CHUNK] + posters[i : i + CHUNK] / 2)[:, None]).sum(-1)
            for i, rows in zip(range(0, len(near), CHUNK), near.split(CHUNK), strict=True)
        ]
    )
    best = scores.topk(min(6 * per_poster, near.shape[1]), -1)
    pairs = [
        (score, poster, int(near[poster, column]))
        for poster, row in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True))
        for score, column in zip(*row, strict=True)
    ]
    posters_used: Counter[int] = Counter()
    texts_used: Counter[int] = Counter()
    chosen = []
    for _, poster, text in sorted(pairs, reverse=True):
        if posters_used[poster] < per_poster and texts_used[text] < per_text:
            posters_used[poster] += 1
            texts_used[text] += 1
            chosen.append((poster, text))
    return chosen[:most]


def write_pseudo_labels(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write (id of a poster, text) rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows(rows)


def read_pseudo_labels(path: Path, dataset: Dataset) -> list[Example]:
    """Read what `write_pseudo_labels` wrote as examples for training posters of the dataset.

    Raises `KeyError` for an id that is none of theirs.
    """
    pictures = {pair.id: pair.picture for pair in dataset.split("train")}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Example(row["id"], row["text"], pictures[row["id"]]) for row in csv.DictReader(file)
        ]
