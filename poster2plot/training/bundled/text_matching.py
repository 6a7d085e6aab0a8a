"""Pseudo-labels by retrieval: each poster learns texts that fit what its model can know.

A poster and a title tell little of the true plot, so that a decoder trained on true pairs soon
leans on the language alone, and a few thousand pairs it knows by heart. Here a poster learns the
texts nearest to the plot embedding that is predicted from poster and title, or from one of them
(`poster2plot.training.plot_embeddings`): such pairs agree far better than true ones, and the
decoder learns to follow its clues.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from poster2plot.training.batches import Example
from poster2plot.training.dataset import Dataset
from poster2plot.training.plot_embeddings import Clues

CHUNK = 2048  # rows compared at once
_CANDIDATES = 64  # texts looked at for a poster
_MIN_TEXTS = 3  # a word that fewer texts use is taken for a name or a slip

# Beam search would begin every plot with these.
_STOCK_OPENING = re.compile(
    r"^(this is |it is |it's )?(the|a|an)? ?(\w+ )?(story|stories|tale|film|movie|series|show)\b"
    r"|^(this|based on)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-zÀ-ÿ]+(?:['’-][A-Za-zÀ-ÿ]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+)[\"'“‘]?$")


def has_stock_opening(text: str) -> bool:
    """Whether a plot begins by speaking of itself, as in "The story of a ..."."""
    return _STOCK_OPENING.search(text) is not None


def plain_words(texts: Sequence[str]) -> set[str]:
    """The words that several texts write in small letters."""
    seen: Counter[str] = Counter()
    for text in texts:
        seen.update({word for word in _WORD.findall(text) if word.islower()})
    return {word for word, count in seen.items() if count >= _MIN_TEXTS}


def special_words(text: str, plain: set[str]) -> frozenset[str]:
    """The names and rare words of a text in small letters: capitals inside sentences, not plain."""
    found = set()
    for match in _WORD.finditer(text):
        word = match.group()
        inside = not _SENTENCE_START.search(text[: match.start()])
        if word != "I" and ((word[0].isupper() and inside) or word.lower() not in plain):
            found.add(word.lower().removesuffix("'s").removesuffix("’s"))
    return frozenset(found)


def nearest_texts(
    posters: Tensor,
    texts: Tensor,
    names: Sequence[frozenset[str]],
    title_words: Sequence[frozenset[str]],
    *,
    per_poster: int,
    per_text: int = 6,
) -> list[tuple[int, int]]:
    """(row of a poster, row of a text) by cosine, the best first.

    `posters` (M, E) are predicted plot embeddings and `texts` (N, E) those of texts, both of unit
    length and without their means. A text whose names or rare words, `names`, are not all in a
    poster's title is none for that poster. At most `per_poster` of a poster and `per_text` of a
    text.
    """
    pairs: list[tuple[float, int, int]] = []
    for start in range(0, len(posters), CHUNK):
        best = (posters[start : start + CHUNK] @ texts.T).topk(min(_CANDIDATES, len(texts)), -1)
        rows = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        pairs += [
            (score, poster, text)
            for poster, row in enumerate(rows, start)
            for score, text in zip(*row, strict=True)
            if names[text] <= title_words[poster]
        ]
    posters_used: Counter[int] = Counter()
    texts_used: Counter[int] = Counter()
    chosen = []
    for _, poster, text in sorted(pairs, reverse=True):
        if posters_used[poster] < per_poster and texts_used[text] < per_text:
            posters_used[poster] += 1
            texts_used[text] += 1
            chosen.append((poster, text))
    return chosen


def thin_openings(
    rows: Sequence[tuple[str, Clues, str]], share: float
) -> list[tuple[str, Clues, str]]:
    """The rows less the last of those whose text begins with the same two words as many others.

    No opening keeps more than a `share` of all rows: what is common in the targets, beam search
    writes for everyone.
    """
    used: Counter[str] = Counter()
    kept = []
    for row in rows:
        opening = " ".join(row[2].split()[:2])
        used[opening] += 1
        if used[opening] <= share * len(rows):
            kept.append(row)
    return kept


def title_words(title: str) -> frozenset[str]:
    """The words of a title in small letters."""
    return frozenset(word.lower() for word in _WORD.findall(title))


def write_pseudo_labels(path: Path, rows: Sequence[tuple[str, Clues, str]]) -> None:
    """Write (id of a poster, clues that a text is learnt from, text) rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "clues", "text"])
        writer.writerows(rows)


def read_pseudo_labels(path: Path, dataset: Dataset) -> list[Example]:
    """Read what `write_pseudo_labels` wrote as examples for training posters of the dataset.

    Raises `KeyError` for an id that is none of theirs.
    """
    pairs = {pair.id: pair for pair in dataset.split("train")}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Example(
                row["id"],
                row["text"],
                pairs[row["id"]].picture,
                title="" if row["clues"] == "picture" else pairs[row["id"]].title,
                pictured=row["clues"] != "title",
            )
            for row in csv.DictReader(file)
        ]
