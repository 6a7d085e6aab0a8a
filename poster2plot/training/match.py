"""More plots for the posters there are: each text without a picture joins the likeliest poster.

A decoder that sees one plot a poster soon knows these plots by heart. Thousands of further plots
have no poster; each is shown with the training poster whose own plot means nearly the same, by the
cosine of sentence embeddings.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from poster2plot.training.batches import Example
from poster2plot.training.dataset import Dataset, Pair

CHUNK = 1024  # texts compared at once


def match_texts(
    texts: Sequence[str],
    pairs: Sequence[Pair],
    embed: Callable[[Sequence[str]], Tensor],
    *,
    least: float,
) -> list[tuple[str, str]]:
    """(id of a poster, text) for every text whose nearest plot has a cosine of at least `least`."""
    plots = embed([pair.text for pair in pairs])
    found = []
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        nearest = (embed(chunk) @ plots.T).max(-1)
        for text, cosine, row in zip(
            chunk, nearest.values.tolist(), nearest.indices.tolist(), strict=True
        ):
            if cosine >= least:
                found.append((pairs[row].id, text))
    return found


def write_matches(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write (id of a poster, text) rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows(rows)


def read_matches(path: Path, dataset: Dataset) -> list[Example]:
    """Read what `write_matches` wrote as examples for training posters of the dataset."""
    pictures = {pair.id: pair.picture for pair in dataset.split("train")}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Example(row["id"], row["text"], pictures[row["id"]]) for row in csv.DictReader(file)
        ]
