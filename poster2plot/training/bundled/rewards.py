"""What a plot that the captioner wrote for a training poster is worth."""

import re
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from poster2plot.harmful_texts import is_harmful
from poster2plot.training.bundled.text_matching import has_stock_opening, names, rare_words
from poster2plot.training.evaluation.wording import phrases, words
from poster2plot.training.target_texts import title_words

# In cosine.
_NOT_PLAIN = 0.2  # lost by a plot that is not plain
_FLUENCY = 0.12  # lost for each nat a token above `_FLUENT`
_COMMON_PHRASE = 0.06  # lost each time that a phrase is twice as common
_NAMED = 0.05  # lost by a plot with a name in it, though it be the title's
_TITLE_FIRST = 0.15  # lost by a plot that begins with its title, to say what that is
_SHORT = 0.01  # lost for each word below `_SHORTEST`

_FLUENT = 3.4  # nats a token of the language model; what is more fluent is stock
_SHORTEST = 16  # words; fewer are key words in a row
_SHORTEST_STORY = 12  # words
_PHRASE = 4  # words
_OPENING = "^ "  # before the first two words of a plot
_RARE_PHRASE, _RARE_OPENING = 0.002, 0.03  # shares of plots that may have them

_ARTICLES = {"a", "an", "the"}
_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*")
_NO_STORY = re.compile(
    r"\d|^(?:(?:The|An?|This|In this) )?\S+(?: \S+)? (?:is|are) (?:an?|the) "
    r"|\b[Aa] [aeio]|\b[Aa]n [bcdfgj-tvwyz]"
)
_FUNCTION_WORDS = {
    *("their", "about", "while", "after", "where", "other", "there", "would", "before")
}  # fmt: skip


def is_plain(text: str, plain: set[str], title: str = "") -> bool:
    """Whether a plot has one or two sentences of plain words, no long one of them twice.

    Names and rare words may come from the title.
    """
    found = _WORD.findall(text.lower())
    long = [word for word in found if len(word) >= 5 and word not in _FUNCTION_WORDS]
    pairs = list(pairwise(found))
    return bool(
        9 <= len(found) <= 45
        and len(set(long)) == len(long)
        and len(set(pairs)) == len(pairs)
        and all(first != second for first, second in pairs)
        and names(text) | rare_words(text, plain) <= title_words(title)
        and not text[0].islower()
        and text[-1] in ".!?"
        and not re.search(r"[^\x20-\x7e‘’“”–—À-ÿ]|!!|\?\?", text)
        and not has_stock_opening(text)
        and not is_harmful(text)
    )


def is_story(text: str, title: str) -> bool:
    """Whether a plot says what happens, to nobody by name, and not what its title is.

    "The Castle is a drama", "Prime is an epic battle" and "In 2077, ..." are no stories, nor is
    what has "a" for "an".
    """
    return not (
        names(text)
        or _begins_with(text, title)
        or len(words(text)) < _SHORTEST_STORY
        or _NO_STORY.search(text)
    )


def without_title_names(plot: str, title: str, plain: set[str]) -> str:
    """A plot less the longer words of its title, but for `plain` ones that it has in small letters.

    To repeat the title brings a plot nearer to what is written under it, and tells nothing, unless
    it is a word of the plot's own sentence. It is "." where nothing is left.
    """
    told = tuple(word for word in words(title) if len(word) > 3)

    def is_name(word: str) -> bool:
        own = word[:1].islower() and plain >= {*words(word)}
        return not own and any(found.startswith(told) for found in words(word))

    return " ".join(word for word in plot.split() if not is_name(word)) or "."


def _begins_with(plot: str, title: str) -> bool:
    """Whether a plot's first words are the title's, up to two of them, articles aside."""
    told, found = (
        [word for word in words(text) if word not in _ARTICLES][:2] for text in (title, plot)
    )
    return bool(told) and found[: len(told)] == told


class RecentPhrases:
    """How common openings and phrases are in what was written last, for many posters."""

    def __init__(self, batches: int = 16) -> None:
        """Remember so many batches of plots."""
        self._batches: deque[Counter[str]] = deque(maxlen=batches)
        self._plots = 0

    def add(self, plots: Sequence[str]) -> None:
        """Take in the plots of a batch of posters."""
        self._batches.append(Counter(phrase for plot in plots for phrase in _phrases(plot)))
        self._plots = len(plots)

    def excess(self, plots: Sequence[str]) -> Tensor:
        """How many times the commonest phrase of each plot is twice too common, (N,)."""
        total = max(1, self._plots * len(self._batches))

        def shares(plot: str) -> Iterator[float]:
            for phrase in _phrases(plot):
                rare = _RARE_OPENING if phrase.startswith(_OPENING) else _RARE_PHRASE
                yield sum(used[phrase] for used in self._batches) / total / rare

        found = [max(shares(plot), default=0.0) for plot in plots]
        return torch.tensor(found).clamp(min=1).log2()


def _phrases(plot: str) -> set[str]:
    """Every `_PHRASE` words in a row, and the first two after `_OPENING`."""
    return phrases(plot, _PHRASE) | {_OPENING + " ".join(words(plot)[:2])}


class Rewards(NamedTuple):
    """What plots are worth, in cosine: the sum of these, all (N,)."""

    meaning: Tensor  # cosine to what poster and title predict
    fluency: Tensor
    plainness: Tensor
    rarity: Tensor  # of phrases

    def total(self) -> Tensor:
        """The sum, (N,)."""
        return torch.stack([*self]).sum(0)


@dataclass(frozen=True)
class PlotReward:
    """Rates plots by meaning, fluency, plainness, and how rare their phrases are.

    `embed` maps texts to unit embeddings (N, E), whose mean over true plots is `mean` (E,), and
    `nats` to nats a token of a language model, (N,). `plain` are the words that a plot may have
    besides those of its title, `texts` those that it may not be.
    """

    embed: Callable[[Sequence[str]], Tensor]
    mean: Tensor
    nats: Callable[[Sequence[str]], Tensor]
    plain: set[str]
    texts: Collection[str]

    def __call__(
        self,
        plots: Sequence[str],
        titles: Sequence[str],
        wanted: Tensor,
        recent: RecentPhrases,
    ) -> Rewards:
        """Of N plots that were written with these titles ("" for none).

        `wanted` (N, E) are the centred unit embeddings that poster and title predict.
        """
        told = [
            without_title_names(plot, title, self.plain)
            for plot, title in zip(plots, titles, strict=True)
        ]
        lengths = torch.tensor([float(len(words(plot))) for plot in plots])
        named = torch.tensor([float(bool(names(plot))) for plot in plots])
        title_first = torch.tensor(
            [float(_begins_with(plot, title)) for plot, title in zip(plots, titles, strict=True)]
        )
        not_plain = torch.tensor(
            [
                float(plot in self.texts or not is_plain(plot, self.plain, title))
                for plot, title in zip(plots, titles, strict=True)
            ]
        )
        return Rewards(
            meaning=((self.embed(told) - self.mean) * wanted).sum(-1),
            fluency=-_FLUENCY * (self.nats(plots) - _FLUENT).clamp(min=0),
            plainness=-_NOT_PLAIN * not_plain
            - _NAMED * named
            - _TITLE_FIRST * title_first
            - _SHORT * (_SHORTEST - lengths).clamp(min=0),
            rarity=-_COMMON_PHRASE * recent.excess(plots),
        )
