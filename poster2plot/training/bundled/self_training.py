"""Self-training: the captioner's own best plots for training posters become pseudo-labels.

Best is what means most nearly what people write for posters like this one, in plain English
without names, unknown words or repetitions, which no poster asks for. Rounds of
sampling, ranking by a reward and fine-tuning are reward-ranked fine-tuning (RAFT, Dong et al. 2023,
arXiv:2304.06767); here the reward comes from sentence embeddings.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor
from torch.nn import functional as F

from poster2plot.pipeline import Poster2Plot
from poster2plot.settings import GenerationSettings
from poster2plot.training.bundled.text_matching import has_stock_opening
from poster2plot.training.dataset import Pair

_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*")
_COMMON = {"their", "about", "while", "after", "where", "other", "there", "would", "before"}
_MIN_TEXTS = 3  # a word that fewer texts use is taken for a name or a slip


def plain_words(texts: Sequence[str]) -> set[str]:
    """The words that several texts write in small letters."""
    seen: Counter[str] = Counter()
    for text in texts:
        seen.update(set(re.findall(r"(?<![A-Za-z'’-])" + _WORD.pattern, text)))
    return {word for word, count in seen.items() if count >= _MIN_TEXTS}


def is_plain(text: str, vocabulary: set[str]) -> bool:
    """Whether a plot has one or two sentences of vocabulary words, no long one of them twice."""
    words = _WORD.findall(text.lower())
    long = [word for word in words if len(word) >= 5 and word not in _COMMON]
    pairs = list(pairwise(words))
    return (
        9 <= len(words) <= 45
        and len(set(long)) == len(long)
        and len(set(pairs)) == len(pairs)
        and all(first != second for first, second in pairs)
        and all(word in vocabulary for word in words if word != "i")
        and text[-1] in ".!?"
        and not re.search(r"[^\x20-\x7e‘’“”–—À-ÿ]|!!|\?\?", text)
        and not has_stock_opening(text)
    )


def sample_plots(
    p2p: Poster2Plot,
    pairs: Sequence[Pair],
    vocabulary: set[str],
    *,
    samples: int = 6,
    seed: int = 0,
) -> list[tuple[int, str]]:
    """(row of a pair, plot): the plain ones among `samples` plots for each poster."""
    settings = GenerationSettings(
        sample=True, temperature=1, top_p=1, num_candidates=samples, max_length=48, seed=seed
    )
    written: list[tuple[int, str]] = []
    for start in range(0, len(pairs), 64):
        images = [pair.picture.read() for pair in pairs[start : start + 64]]
        for row, candidates in enumerate(p2p.generate(images, settings), start):
            texts = dict.fromkeys(candidate.text for candidate in candidates)
            written += [(row, text) for text in texts if is_plain(text, vocabulary)]
        print(f"{start + len(images)} of {len(pairs)} posters, {len(written)} plots", flush=True)
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
