"""Words of a line, and which of them speak for or against a title.

`words.toml` was written by hand. `title_words.txt` has the words that at least three titles of the
training pairs have, among which names of actors are few.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

_LISTS = {
    name: frozenset(listed.split())
    for name, listed in tomllib.loads(
        Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    ).items()
}
SMALL = _LISTS["small"]
CREDITS = _LISTS["credits"]
LABELS = _LISTS["labels"]
DATES = _LISTS["dates"]
SENTENCE = _LISTS["sentence"]
GIVEN_NAMES = _LISTS["given_names"]
TITLE_WORDS = frozenset(
    Path(__file__).with_name("title_words.txt").read_text(encoding="utf-8").split()
)

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_ALPHABETS = ("LATIN", "GREEK", "CYRILLIC")  # a word has letters of one; ideographs stand by any
_AGAIN = re.compile(r"(.+?)\1{3,}", re.DOTALL)  # the same thing four times or more


def words(text: str) -> list[str]:
    """The words of a text without case, accents and punctuation."""
    plain = unicodedata.normalize("NFKD", text).casefold().replace("’", "'")
    return _WORD.findall("".join(char for char in plain if not unicodedata.combining(char)))


def are_misread(words: Sequence[str]) -> bool:
    """Whether these are what recognition makes of a script it does not know, or of a pattern.

    That is a word with letters of two alphabets, or one thing again and again: `0000 000`.
    """
    return bool(_AGAIN.fullmatch("".join(words))) or any(map(_mixes_alphabets, words))


def _mixes_alphabets(word: str) -> bool:
    of = {unicodedata.name(char, "").partition(" ")[0] for char in word if char.isalpha()}
    return len(of.intersection(_ALPHABETS)) > 1
