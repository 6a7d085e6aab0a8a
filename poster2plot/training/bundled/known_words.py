"""The lexicon of the bundled model: the words that plots are written with."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set
from itertools import pairwise

from poster2plot.engine.lexicon import words
from poster2plot.training.harmful_texts import is_harmful

_MIN_TEXTS = 3  # that have a word in small letters; else it may be a slip
_MIN_TEXTS_OF_NAMES = 50  # that have one with a capital inside a sentence, as "London"
_MIN_SHARE = {True: 0.2, False: 0.05}  # of a word's texts, that spell it with capitals, or small
_MIN_TEXTS_BY_LETTERS = {2: 200, 3: 10}  # of short words, most of which are parts of words
_LETTERS = {"a", "I"}  # that are words
# What comes before names of places, months and peoples, and hardly ever before a person's.
_NO_PERSON = {"a", "an", "the", "this", "every", "each", "in", "on"}
_MIN_NO_PERSON = 0.15  # share of a name's texts that have one of them before it
_MIN_CONTINUED = 0.5  # or a name that is none of a person, as "New" before "York"
_INSIDE = re.compile(r"(?<=[a-z,;] )(?=[^\W\d_])")  # of a sentence, before a word


def known_words(texts: Iterable[str]) -> list[str]:
    """The words of many texts as they are spelt inside sentences, sorted.

    Without rare ones, rare names, those of persons, which no poster shows, and slurs.
    """
    spelt, any_spelling = Counter[str](), Counter[str]()
    before_names: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        for before, after in pairwise(text.split()):
            if before[-1].isalpha() and (name := words(after)[:1]) and name[0][0].isupper():
                before_names[name[0]][before] += 1
        found = set(words(text))
        any_spelling.update({word.lower() for word in found})
        inside = {words(part)[0] for part in _INSIDE.split(text)[1:]}
        spelt.update(inside | set(filter(str.islower, found)))
    no_persons = _no_persons(before_names)
    return sorted(
        word
        for word, count in spelt.items()
        if (word.islower() or word in no_persons or word in _LETTERS)
        and count >= (_MIN_TEXTS if word.islower() else _MIN_TEXTS_OF_NAMES)
        and count >= _MIN_SHARE[not word.islower()] * any_spelling[word.lower()]
        and any_spelling[word.lower()] >= _MIN_TEXTS_BY_LETTERS.get(len(word), 0)
        and (len(word) > 1 or word in _LETTERS)
        and not is_harmful(word)
    )


def _no_persons(before_names: Mapping[str, Counter[str]]) -> set[str]:
    """The names that are none of persons, by how often which words come before them."""

    def share(before: Counter[str], among: Set[str]) -> float:
        return sum(before[word] for word in before.keys() & among) / before.total()

    determiners = _NO_PERSON | {word.capitalize() for word in _NO_PERSON}
    found = {
        name
        for name, before in before_names.items()
        if share(before, determiners) >= _MIN_NO_PERSON
    }
    return found | {
        name for name, before in before_names.items() if share(before, found) >= _MIN_CONTINUED
    }
