"""From a name that a person types to titles with IMDb ids: "the third man", "amelie 2001".

The answers of several services are merged by IMDb id and ranked by how close the names are. A year
at the end of the name narrows, unless it belongs to the name ("Blade Runner 2049").
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property

from poster2plot.errors import InvalidTitleError
from poster2plot.imdb.services import TitleMatch

LONGEST_NAME = 200  # characters
MOST_MATCHES = 10
CLEAR_LEAD = 0.05  # in closeness, of the one match that is meant over all others
_CLOSE = 0.9

_YEAR_AT_END = re.compile(
    r"(.*\S)[\s,]+[(\[]?((?:18|19|20|21)[0-9]{2})[)\]]?", re.ASCII | re.DOTALL
)
_ARTICLE = re.compile(
    "^(?:the|an?|l[aeo]s?|l|une?|el|il|gli|d[aei][rse]|eine?|den?|het|een|os?|as) (?=.)"
)
# Letters that no decomposition of Unicode makes plain.
_PLAIN = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
    | {"&": " and "}
)
_ROMAN = re.compile(r"x{0,3}(?:ix|iv|v?i{0,3})")
_ROMAN_DIGITS = {"i": 1, "v": 5, "x": 10}


@dataclass(frozen=True)
class Query:
    """What a person typed, cleaned."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Query:
        """Clean a name.

        Raises:
            InvalidTitleError: it is longer than `LONGEST_NAME`, or has no letter or digit.
        """
        if len(text) > 4 * LONGEST_NAME:
            raise InvalidTitleError("The name is too long to be that of a title.")
        text = unicodedata.normalize("NFC", text)
        kept = (
            " " if unicodedata.category(char) == "Cc" else char
            for char in text
            if unicodedata.category(char) not in ("Cs", "Co", "Cn")
        )
        text = " ".join("".join(kept).split())
        if len(text) > LONGEST_NAME:
            raise InvalidTitleError("The name is too long to be that of a title.")
        if not any(map(str.isalnum, text)):
            raise InvalidTitleError("The name of a title is empty: give one such as “amelie 2001”.")
        return cls(text)

    @cached_property
    def name(self) -> str:
        """The text without a year at its end."""
        found = _YEAR_AT_END.fullmatch(self.text)
        return found[1].rstrip(" ,([") if found else self.text

    @cached_property
    def year(self) -> int | None:
        """The year at the end of the text."""
        found = _YEAR_AT_END.fullmatch(self.text)
        return int(found[2]) if found else None


def merge(query: Query, answers: Iterable[Sequence[TitleMatch]]) -> list[TitleMatch]:
    """The matches of several services, each title once, the likeliest first.

    Titles as close by name come in the order of the services, which is that of renown. With a year
    only titles of that year, or one beside it, and those that have it in their name are kept, if
    there are any.
    """
    merged: dict[str, TitleMatch] = {}
    renown: dict[str, float] = defaultdict(float)
    for matches in answers:
        for rank, match in enumerate({match.title_id: match for match in matches}.values(), 1):
            renown[match.title_id] += 1 / rank  # reciprocal rank fusion
            merged[match.title_id] = _joined(merged.get(match.title_id), match)
    found = list(merged.values())
    if query.year is not None:
        in_time = [match for match in found if _years_apart(query, match) <= 1]
        found = in_time or found
    found.sort(
        key=lambda match: (
            -round(match_closeness(query, match), 2),
            _years_apart(query, match),
            -renown[match.title_id],
        )
    )
    return found[:MOST_MATCHES]


def clear_match(query: Query, matches: Sequence[TitleMatch]) -> TitleMatch | None:
    """The first of merged matches, if it is what is meant beyond doubt."""
    if not matches:
        return None
    first, *others = (match_closeness(query, match) for match in matches)
    if first < _CLOSE or any(first - other < CLEAR_LEAD for other in others):
        return None
    return matches[0]


def match_closeness(query: Query, match: TitleMatch) -> float:
    """How close a title's names are to the query's, from 0 to 1."""
    names = [name for name in (match.title, match.original_title) if name]
    asked = {query.name, query.text}
    return max(closeness(wanted, name) for wanted in asked for name in names)


def closeness(wanted: str, name: str) -> float:
    """How close a name is to a title's, from 0 to 1, which means that they differ in nothing.

    Case, accents, punctuation and how "and" and numbers are written make no difference; an article
    makes little.
    """
    a, b = plain_name(wanted), plain_name(name)
    if a == b:
        return 1.0
    a, b = _without_article(a), _without_article(b)
    if a == b:
        return 0.99
    joined_a, joined_b = a.replace(" ", ""), b.replace(" ", "")
    if joined_a == joined_b:
        return 0.98
    similar = SequenceMatcher(None, joined_a, joined_b, autojunk=False).ratio()
    if set(a.split()) <= set(b.split()):
        return 0.7 + 0.2 * similar
    return 0.9 * similar


def plain_name(name: str) -> str:
    """A name without case, accents and punctuation, "&" as "and", Roman numerals as digits."""
    text = unicodedata.normalize("NFKD", name.casefold()).casefold().translate(_PLAIN)
    text = "".join(char for char in text if not unicodedata.combining(char))
    text = re.sub(r"^(l|un)['’ʼ`](?=\w)", r"\1 ", text)  # L'Avventura
    text = re.sub(r"(?<=\w)['’ʼ`](?=\w)", "", text)
    words = re.findall(r"[^\W_]+", text)
    return " ".join(_digits(word) for word in words) or text.strip()


def _digits(word: str) -> str:
    """A Roman numeral below 40 as digits; any other word as it is."""
    if not _ROMAN.fullmatch(word):
        return word
    values = [_ROMAN_DIGITS[letter] for letter in word]
    following = [*values[1:], 0]
    return str(sum(-v if v < after else v for v, after in zip(values, following, strict=True)))


def _without_article(name: str) -> str:
    bare = _ARTICLE.sub("", name)
    return bare.removesuffix(" the")  # "Third Man, The"


def _years_apart(query: Query, match: TitleMatch) -> int:
    if query.year is None or closeness(query.text, match.title) >= _CLOSE:
        return 0
    return 99 if match.year is None else abs(match.year - query.year)


def _joined(known: TitleMatch | None, match: TitleMatch) -> TitleMatch:
    """What two services say of a title; the first one's word counts."""
    if known is None:
        return match
    return replace(
        known,
        year=known.year or match.year,
        poster_url=known.poster_url or match.poster_url,
        original_title=known.original_title or match.original_title,
    )
