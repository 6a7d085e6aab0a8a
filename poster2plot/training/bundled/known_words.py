"""The lexicon of the bundled model: the words that plots are written with."""

from collections import Counter
from collections.abc import Iterable

from poster2plot.engine.lexicon import words
from poster2plot.training.harmful_texts import is_harmful

_MIN_TEXTS = 3  # that have a word in small letters; else it may be a slip
_MIN_TEXTS_OF_NAMES = 100  # that have one which is always written with a capital, as "London"
_MIN_TEXTS_BY_LETTERS = {2: 200, 3: 10}  # of short words, most of which are parts of words
_LETTERS = {"a", "i"}  # that are words


def known_words(texts: Iterable[str]) -> list[str]:
    """The words of many texts, in small letters and sorted, without rare ones, names and slurs."""
    in_small_letters, in_any = Counter[str](), Counter[str]()
    for text in texts:
        found = set(words(text))
        in_any.update({word.lower() for word in found})
        in_small_letters.update(filter(str.islower, found))
    return sorted(
        word
        for word, count in in_any.items()
        if (in_small_letters[word] >= _MIN_TEXTS or count >= _MIN_TEXTS_OF_NAMES)
        and count >= _MIN_TEXTS_BY_LETTERS.get(len(word), 0)
        and (len(word) > 1 or word in _LETTERS)
        and not is_harmful(word)
    )
