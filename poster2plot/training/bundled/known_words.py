"""The lexicon of the bundled model: the words that plots are written with."""

from collections import Counter
from collections.abc import Collection
from itertools import pairwise

from poster2plot.engine.lexicon import words
from poster2plot.harmful_texts import is_harmful

_MIN_TEXTS = 3  # that have a word in small letters; else it may be a slip
_MIN_SHARE = 0.05  # of a word's texts, that spell it with small letters; else it is a name
_MAX_UNFINISHED = 0.8  # of a word's places, before one that is not known, as "kung" before "fu"
_MIN_TEXTS_BY_LETTERS = {2: 200, 3: 10}  # of short words, most of which are parts of words


def known_words(texts: Collection[str]) -> list[str]:
    """The words of many texts in small letters, sorted.

    Without rare ones, slurs, halves of a pair with one of these ("kung fu"), and names, even those
    of cities. A poster does not show them, and a model that sets out to copy a title's name ends in
    one that it knows: "The Det|roit".
    """
    small, any_spelling = Counter[str](), Counter[str]()
    for text in texts:
        found = set(words(text))
        any_spelling.update({word.lower() for word in found})
        small.update(filter(str.islower, found))
    known = {
        word
        for word, count in small.items()
        if count >= max(_MIN_TEXTS, _MIN_SHARE * any_spelling[word])
        and any_spelling[word] >= _MIN_TEXTS_BY_LETTERS.get(len(word), 0)
        and (len(word) > 1 or word == "a")
        and not is_harmful(word)
    }
    places, unfinished = Counter[str](), Counter[tuple[str, str]]()
    for text in texts:
        written = words(text.lower())
        places.update(written)
        unfinished.update(pair for pair in pairwise(written) if pair[1] not in known)
    halves = {
        word for (word, _), count in unfinished.items() if count > _MAX_UNFINISHED * places[word]
    }
    return sorted(known - halves)
