"""Self-training: the captioner's own best plots for training posters become pseudo-labels.

Best is what means most nearly what people write for posters like this one, in plain English
without names, unknown words or repetitions, which no poster asks for. Rounds of
sampling, ranking by a reward and fine-tuning are reward-ranked fine-tuning (RAFT, Dong et al. 2023,
arXiv:2304.06767); here the reward comes from sentence embeddings.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import pairwise

from torch import Tensor
from torch.nn import functional as F

from poster2plot.pipeline import Poster2Plot
from poster2plot.settings import GenerationSettings
from poster2plot.training.bundled.text_matching import (
    has_stock_opening,
    names,
    rare_words,
    title_words,
)
from poster2plot.training.dataset import Pair
from poster2plot.training.harmful_texts import is_harmful

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


def sample_plots(
    p2p: Poster2Plot,
    pairs: Sequence[Pair],
    plain: set[str],
    texts: Collection[str],
    *,
    with_titles: bool,
    samples: int = 6,
    seed: int = 0,
) -> list[tuple[int, str]]:
    """(row of a pair, plot): the plain ones among `samples` plots for each poster.

    None of the training `texts` is among them.
    """
    settings = GenerationSettings(
        sample=True, temperature=1, top_p=1, num_candidates=samples, max_length=64, seed=seed
    )
    written: list[tuple[int, str]] = []
    for start in range(0, len(pairs), 64):
        some = pairs[start : start + 64]
        titles = [pair.title if with_titles else "" for pair in some]
        found = p2p.generate([pair.picture.read() for pair in some], settings, titles)
        for row, (candidates, title) in enumerate(zip(found, titles, strict=True), start):
            written += [
                (row, text)
                for text in dict.fromkeys(candidate.text for candidate in candidates)
                if is_plain(text, plain, title) and text not in texts
            ]
        print(f"{start + len(some)} of {len(pairs)} posters, {len(written)} plots", flush=True)
    return written


def best_plots(
    written: Sequence[tuple[int, str]], embeddings: Tensor, targets: Tensor, *, per_poster: int = 2
) -> list[tuple[int, str]]:
    """At most `per_poster` plots of each poster, those with the largest cosine to its target.

    `embeddings` (N, E) are those of the plots, `targets` (M, E) those wanted of the posters, all
    of unit length and without their common mean. Of all that is kept that way the worst quarter
    is left out.
    """
    # What is near to the targets of all posters earns half.
    wanted = targets - F.normalize(targets.mean(0), dim=-1) / 2
    rows = [row for row, _ in written]
    by_poster: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for (row, text), score in zip(
        written, (embeddings * wanted[rows]).sum(-1).tolist(), strict=True
    ):
        by_poster[row].append((score, text))
    best = [
        (score, row, text)
        for row, found in by_poster.items()
        for score, text in sorted(found, reverse=True)[:per_poster]
    ]
    best.sort(reverse=True)
    return [(row, text) for _, row, text in best[: -(-len(best) * 3 // 4)]]
