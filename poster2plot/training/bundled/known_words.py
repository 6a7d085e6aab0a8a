"""The lexicon of the bundled model: the words that plots are written with."""

import re
from collections import Counter
from collections.abc import Iterable

from poster2plot.engine.lexicon import words
from poster2plot.training.harmful_texts import is_harmful

_MIN_TEXTS = 3  # that have a word in small letters; else it may be a slip
_MIN_TEXTS_OF_NAMES = 50  # that have one with a capital inside a sentence, as "London"
_MIN_SHARE = {True: 0.2, False: 0.05}  # of a word's texts, that spell it with capitals, or small
_MIN_TEXTS_BY_LETTERS = {2: 200, 3: 10}  # of short words, most of which are parts of words
_LETTERS = {"a", "I"}  # that are words
_INSIDE = re.compile(r"(?<=[a-z,;] )(?=[^\W\d_])")  # of a sentence, before a word


def known_words(texts: Iterable[str]) -> list[str]:
    """The words of many texts as they are spelt inside sentences, sorted.

    Without rare ones, rare names and slurs.
    """
    spelt, any_spelling = Counter[str](), Counter[str]()
    for text in texts:
        found = set(words(text))
        any_spelling.update({word.lower() for word in found})
        inside = {words(part)[0] for part in _INSIDE.split(text)[1:]}
        spelt.update(inside | set(filter(str.islower, found)))
    return sorted(
        word
        for word, count in spelt.items()
        if count >= (_MIN_TEXTS if word.islower() else _MIN_TEXTS_OF_NAMES)
        and count >= _MIN_SHARE[not word.islower()] * any_spelling[word.lower()]
        and any_spelling[word.lower()] >= _MIN_TEXTS_BY_LETTERS.get(len(word), 0)
        and (len(word) > 1 or word in _LETTERS)
        and not is_harmful(word)
    )
