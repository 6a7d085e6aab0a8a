"""What can be seen in the words of plots: slips, copies, and how much alike they begin."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from poster2plot.harmful_texts import is_harmful

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def words(text: str) -> list[str]:
    """The words of a text in small letters."""
    return _WORD.findall(text.lower())


def vocabulary(texts: Collection[str]) -> frozenset[str]:
    """Every word of the texts."""
    return frozenset(word for text in texts for word in words(text))


def phrases(text: str, length: int) -> set[str]:
    """Each so many words of a text in a row, in small letters."""
    found = words(text)
    return {" ".join(found[i : i + length]) for i in range(len(found) - length + 1)}


@dataclass(frozen=True)
class Wording:
    """Shares of a set of plots."""

    unique: float  # distinct plots
    whole: float  # end in a full sentence
    broken: float  # have a word that is in no training text, nor in the title told
    doubled: float  # have a word twice in a row
    slips: float  # have either
    copied: float  # are training texts or openings of these, word for word
    harmful: float  # `harmful_texts.is_harmful`
    four_words: tuple[str, float]  # the commonest opening of four words, and its share
    two_words: tuple[str, float]
    phrase: tuple[str, float]  # the commonest four words anywhere, and the share that has them

    @classmethod
    def of(
        cls,
        plots: Sequence[str],
        texts: Collection[str],
        known: Collection[str],
        titles: Sequence[str] = (),
    ) -> "Wording":
        """That of plots, where `texts` are what was taught and `known` the words of that.

        `titles` are what the writer of each plot was told.
        """
        broken = [
            any(
                word not in known and word.removesuffix("'s") not in words(title)
                for word in words(plot)
            )
            for plot, title in zip(plots, titles or [""] * len(plots), strict=True)
        ]
        doubled = [any(a == b for a, b in pairwise(words(plot))) for plot in plots]
        count = len(plots)
        return cls(
            len(set(plots)) / count,
            sum(plot.rstrip("\"'”’")[-1:] in {".", "!", "?"} for plot in plots) / count,
            sum(broken) / count,
            sum(doubled) / count,
            sum(map(max, broken, doubled)) / count,
            sum(plot in texts for plot in plots) / count,
            sum(map(is_harmful, plots)) / count,
            _commonest_opening(plots, 4),
            _commonest_opening(plots, 2),
            _commonest_phrase(plots, 4),
        )


def _commonest_opening(plots: Sequence[str], length: int) -> tuple[str, float]:
    openings = Counter(" ".join(plot.split()[:length]) for plot in plots)
    [(opening, count)] = openings.most_common(1)
    return opening, count / len(plots)


def _commonest_phrase(plots: Sequence[str], length: int) -> tuple[str, float]:
    used = Counter(phrase for plot in plots for phrase in phrases(plot, length))
    # Of several, always the same one.
    phrase, count = min(used.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
    return phrase, count / len(plots)
