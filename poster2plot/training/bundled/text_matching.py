"""Pseudo-labels by retrieval: each text joins a poster that looks made for it.

A poster tells little of its own plot: a decoder trained on true pairs soon leans on the language
alone, and a few thousand pairs it knows by heart. Here each text, most of which never had a poster,
is shown with a training poster that the aligned encoder takes for one of its kind, after its own
title. Such pairs agree far better than true ones, and the decoder learns to follow what it sees.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from poster2plot.errors import InputError
from poster2plot.harmful_texts import is_harmful
from poster2plot.training.batches import Example
from poster2plot.training.bundled.sources import Sources
from poster2plot.training.dataset import Dataset
from poster2plot.training.evaluation.wording import phrases
from poster2plot.training.plot_embeddings import Clues, centred
from poster2plot.training.tables import read_rows
from poster2plot.training.target_texts import WORD, Plot, name_spans, title_words
from poster2plot.training.whole import whole_file

# What a pseudo-label is learnt from.
SHARES: dict[Clues, float] = {"both": 0.66, "picture": 0.26, "title": 0.08}
COMMONEST_OPENING = 0.02  # share of the pseudo-labels that may begin with the same two words
COMMONEST_PHRASE = 0.002  # share of them that may have the same four words in a row
MISREAD = 0.1  # share of the titles told that are in capitals, and of those without a word
CHUNK = 2048  # rows compared at once
_CSLS_NEIGHBOURS = 50  # texts whose mean similarity tells how much of a hub something is
_MIN_TEXTS = 3  # a word that fewer texts use is taken for a name or a slip

# Beam search would begin every plot with these.
_STOCK_OPENING = re.compile(
    r"^(this is |it is |it's )?(the|a|an)? ?(\w+ )?(story|stories|tale|film|movie|series|show)\b"
    r"|^(this|based on)\b",
    re.IGNORECASE,
)

_FIRST_WORD = re.compile(r"(?:^|[.!?:]\s+)[\"'“‘]?(" + WORD.pattern + ")")


class PseudoLabel(NamedTuple):
    """A text to learn from a poster, a title, or both."""

    id: str  # of the poster
    pictured: bool  # else the poster does not count
    title: str  # empty where there is none
    text: str
    worse: str = ""  # a text that suits them less


def target_plots(plots: Sequence[Plot]) -> list[Plot]:
    """Those plots that a captioner is to write like."""
    plain = plain_words([plot.text for plot in plots])
    return [
        plot
        for plot in plots
        if not names_somebody_first(plot, plain)
        and " named " not in plot.text
        and not has_stock_opening(plot.text)
        and not is_harmful(plot.text)
    ]


def misread(title: str, chance: Random) -> str:
    """The title, or what a reader of posters may make of it: in capitals, without a word."""
    if chance.random() < MISREAD:
        title = title.upper()
    words = title.split()
    if len(words) > 2 and chance.random() < MISREAD:
        del words[chance.randrange(len(words))]
        title = " ".join(words)
    return title


def pseudo_label(text: str, title: str, chance: Random, *, own: str, alike: str) -> PseudoLabel:
    """A text to be learnt from clues at random, by `SHARES`.

    The picture alone is that of the poster `alike`, by its id, else it is that of `own`.
    """
    [clues] = chance.choices([*SHARES], [*SHARES.values()])
    if clues == "picture":
        return PseudoLabel(alike, True, "", text)
    return PseudoLabel(own, clues != "title", misread(title, chance), text)


class _HasText(Protocol):
    @property
    def text(self) -> str: ...


_Text = TypeVar("_Text", bound=_HasText)


def has_stock_opening(text: str) -> bool:
    """Whether a plot begins by speaking of itself, as in "The story of a ..."."""
    return _STOCK_OPENING.search(text) is not None


def plain_words(texts: Sequence[str]) -> set[str]:
    """The words that several texts write in small letters."""
    seen: Counter[str] = Counter()
    for text in texts:
        seen.update({word for word in WORD.findall(text) if word.islower()})
    return {word for word, count in seen.items() if count >= _MIN_TEXTS}


def names(text: str) -> frozenset[str]:
    """The capitalised words inside a text's sentences, in small letters."""
    return frozenset(
        text[first:last].lower().removesuffix("'s").removesuffix("’s")
        for first, last in name_spans(text)
    )


def names_somebody_first(plot: Plot, plain: set[str]) -> bool:
    """Whether a sentence begins with a word that is neither `plain` nor the title's.

    Names inside sentences are no targets (`target_texts.name_spans`), these would be.
    """
    first = {word.lower() for word in _FIRST_WORD.findall(plot.text)}
    return bool(first - plain - title_words(plot.title) - {"i"})


def rare_words(text: str, plain: set[str]) -> frozenset[str]:
    """The words of a text, in small letters, that are not plain."""
    return frozenset(word.lower() for word in WORD.findall(text)) - plain - {"i"}


def thin_openings(texts: Sequence[_Text], share: float) -> list[_Text]:
    """The texts less the last of those that begin with the same two words as many others.

    No opening keeps more than a `share` of all texts, or one: what is common in the targets, beam
    search writes for everyone.
    """
    used: Counter[str] = Counter()
    kept = []
    for plot in texts:
        opening = " ".join(plot.text.split()[:2])
        used[opening] += 1
        if used[opening] <= max(1, share * len(texts)):
            kept.append(plot)
    return kept


def thin_phrases(texts: Sequence[_Text], share: float) -> list[_Text]:
    """The texts less those with four words in a row that many before them have.

    No phrase is in more than a `share` of all texts, or in one.
    """
    used: Counter[str] = Counter()
    kept = []
    for plot in texts:
        found = phrases(plot.text, 4)
        if all(used[phrase] < max(1, share * len(texts)) for phrase in found):
            used.update(found)
            kept.append(plot)
    return kept


def match(texts: Tensor, posters: Tensor, *, nearest: int, seed: int) -> list[int]:
    """For each text one of the `nearest` posters, at random: its row.

    Both are unit embeddings, (N, E) and (M, E), whose mean has been taken out. Hubs, posters that
    are near to everything, are held back by cross-domain similarity local scaling (CSLS, Conneau et
    al. 2018, arXiv:1710.04087).
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


def matched_texts(sources: Sources, *, nearest: int, seed: int) -> list[PseudoLabel]:
    """Each good training plot with one of the posters that look like it, as `match` finds them."""
    chance, plots = Random(seed), target_plots(sources.plots)
    chance.shuffle(plots)
    plots = thin_phrases(thin_openings(plots, COMMONEST_OPENING), COMMONEST_PHRASE)
    texts = centred(sources.embeddings([plot.text for plot in plots]))
    shown = match(texts, sources.predicted("picture"), nearest=nearest, seed=seed)
    posters = [sources.pairs[row].id for row in shown]
    return [
        pseudo_label(plot.text, plot.title, chance, own=poster, alike=poster)
        for plot, poster in zip(plots, posters, strict=True)
    ]


def write_pseudo_labels(path: Path, labels: Iterable[PseudoLabel]) -> None:
    """Write labels as a CSV file."""
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(PseudoLabel._fields)
        writer.writerows(labels)


def read_pseudo_labels(path: Path, dataset: Dataset) -> list[Example]:
    """Read what `write_pseudo_labels` wrote as examples for training posters of the dataset.

    A table of `id` and `text` alone will do: its texts are learnt from the poster and its title.
    Raises `InputError` for an id that is none of theirs, and as `tables.read_rows` does.
    """
    pairs = {pair.id: pair for pair in dataset.split("train")}
    examples = []
    for row in read_rows(path, id=("id",), text=("text",)):
        if row["id"] not in pairs:
            raise InputError(
                f"{str(path)!r} has a text for {row['id']!r}, which is no training poster of the "
                "dataset; leave it out or name the dataset that it was made from."
            )
        pair = pairs[row["id"]]
        example = Example(
            pair.id,
            row["text"],
            pair.picture,
            title=row.get("title", pair.title),
            pictured=row.get("pictured", "True") == "True",
            worse=row.get("worse", ""),
        )
        examples.append(example)
    return examples
