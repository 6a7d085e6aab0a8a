"""Self-training: the captioner's own best plots for training posters become pseudo-labels.

Best is what means most nearly what people write for posters like this one, in plain and fluent
English without names, unknown words or repetitions, which no poster asks for. Rounds of sampling,
ranking by a reward and fine-tuning are reward-ranked fine-tuning (RAFT, Dong et al. 2023,
arXiv:2304.06767); here the reward comes from sentence embeddings and a language model.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from poster2plot.pipeline import Poster2Plot
from poster2plot.settings import GenerationSettings
from poster2plot.training.bundled.text_matching import (
    has_stock_opening,
    names,
    rare_words,
)
from poster2plot.training.dataset import Pair
from poster2plot.training.harmful_texts import is_harmful
from poster2plot.training.target_texts import title_words

_NEAREST, _FARTHEST = 3, 2  # plots of a poster whose fluency is looked at
_NAT = 0.12  # of cosine, that a nat a token weighs
_NOT_PLAIN = 0.2  # of cosine, that a plot loses which is not plain

_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*")
_COMMON = {"their", "about", "while", "after", "where", "other", "there", "would", "before"}


def is_plain(text: str, plain: set[str], title: str = "") -> bool:
    """Whether a plot has one or two sentences of plain words, no long one of them twice.

    Names and rare words may come from the title.
    """
    words = _WORD.findall(text.lower())
    long = [word for word in words if len(word) >= 5 and word not in _COMMON]
    pairs = list(pairwise(words))
    return (
        9 <= len(words) <= 45
        and len(set(long)) == len(long)
        and len(set(pairs)) == len(pairs)
        and all(first != second for first, second in pairs)
        and names(text) | rare_words(text, plain) <= title_words(title)
        and text[-1] in ".!?"
        and not re.search(r"[^\x20-\x7e‘’“”–—À-ÿ]|!!|\?\?", text)
        and not has_stock_opening(text)
        and not is_harmful(text)
    )


class Written(NamedTuple):
    """A plot that the captioner wrote for a poster."""

    row: int  # of the poster among those asked for
    text: str
    plain: bool  # else it must not be learnt


class Preference(NamedTuple):
    """Of a poster's plots the best and the worst."""

    row: int  # of the poster among those asked for
    best: str
    worst: str


def sample_plots(
    p2p: Poster2Plot,
    pairs: Sequence[Pair],
    plain: set[str],
    texts: Collection[str],
    *,
    with_titles: bool,
    samples: int = 8,
    seed: int = 0,
) -> list[Written]:
    """`samples` plots for each poster, of which those that differ.

    Plain are those of `plain` words that are none of the training `texts`.
    """
    settings = GenerationSettings(
        sample=True, temperature=0.8, top_p=1, num_candidates=samples, max_length=56, seed=seed
    )
    written: list[Written] = []
    for start in range(0, len(pairs), 64):
        some = pairs[start : start + 64]
        titles = [pair.title if with_titles else "" for pair in some]
        found = p2p.generate([pair.picture.read() for pair in some], settings, titles)
        for row, (candidates, title) in enumerate(zip(found, titles, strict=True), start):
            written += [
                Written(row, text, is_plain(text, plain, title) and text not in texts)
                for text in dict.fromkeys(candidate.text for candidate in candidates)
            ]
        share = sum(plot.plain for plot in written) / len(written)
        print(f"{start + len(some)} of {len(pairs)} posters, {share:.0%} plain", flush=True)
    return written


def preferences(
    written: Sequence[Written],
    embeddings: Tensor,
    targets: Tensor,
    nats: Callable[[Sequence[str]], Tensor] | None = None,
) -> list[Preference]:
    """The best and the worst plot of each poster, less the quarter whose best are worst.

    `embeddings` (N, E) are those of the plots, `targets` (M, E) those wanted of the posters, all
    of unit length and without their common mean. Good is what has a large cosine to its target, is
    plain, and is found fluent by `nats`: nats a token of texts, (N,). Of each poster it judges
    those plain plots that are nearest, and those that are farthest or not plain.
    """
    # What is near to the targets of all posters earns half.
    wanted = targets - F.normalize(targets.mean(0), dim=-1) / 2
    rewards = (embeddings * wanted[[plot.row for plot in written]]).sum(-1)
    rewards -= _NOT_PLAIN * torch.tensor([not plot.plain for plot in written])
    by_poster: dict[int, list[int]] = defaultdict(list)
    for index in rewards.argsort(descending=True).tolist():
        by_poster[written[index].row].append(index)
    if nats is not None and written:
        for row, found in by_poster.items():
            nearest = [index for index in found if written[index].plain][:_NEAREST]
            by_poster[row] = sorted({*nearest, *found[-_FARTHEST:]})
        judged = sorted(chain.from_iterable(by_poster.values()))
        rewards[judged] -= _NAT * nats([written[index].text for index in judged])
    ranked: list[tuple[float, Preference]] = []
    for row, found in by_poster.items():
        plain = [index for index in found if written[index].plain]
        if plain:
            best, worst = max(plain, key=rewards.__getitem__), min(found, key=rewards.__getitem__)
            preference = Preference(row, written[best].text, written[worst].text)
            ranked.append((float(rewards[best]), preference))
    ranked.sort(reverse=True)
    kept = ranked[: -(-len(ranked) * 3 // 4)]
    return [each for _, each in kept if each.best != each.worst]
