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
from functools import cached_property, lru_cache
from typing import NamedTuple

from poster2plot.errors import InvalidTitleError
from poster2plot.imdb.services import TitleMatch
from poster2plot.title_spelling import WIDE, plain_title

LONGEST_NAME = 200  # characters
MOST_MATCHES = 10
CLEAR_LEAD = 0.05  # in closeness, of the one match that is meant over all others
_CLOSE = 0.9

_YEAR_AT_END = re.compile(
    r"(.*\S)(?:[\s,]+[(\[（]?|[(\[（])((?:18|19|20|21)[0-9]{2})[)\]）]?[.,]*", re.ASCII | re.DOTALL
)
_ARTICLES = "the|an?|l[aeo]s?|l|une?|el|il|gli|d[aei][rse]|eine?|den?|het|een|os?|as"
_ARTICLE = re.compile(f"^(?:{_ARTICLES}) (?=.)")
_ARTICLE_LAST = re.compile(rf"(.+),\s*({_ARTICLES})['’]?", re.DOTALL)  # "Third Man, The"
# Their marks are accents, which people leave out; those of other scripts are letters.
_ACCENTED = ("LATIN", "GREEK", "CYRILLIC", "HEBREW", "ARABIC")
_JOINERS = "\u200c\u200d"  # by which words of Indic and Persian are spelt
_WIDE = {wide: plain for wide, plain in WIDE.items() if chr(plain).isalnum()}
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
        text = unicodedata.normalize("NFC", text).translate(_WIDE)
        kept = (
            " " if unicodedata.category(char) == "Cc" else char
            for char in text
            if unicodedata.category(char) not in ("Cf", "Cs", "Co", "Cn") or char in _JOINERS
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
        return found[1].rstrip(" ,([（") if found else self.text

    @cached_property
    def spelt(self) -> str:
        """The name as services have it: "The Third Man" for "Third Man, The (1949)"."""
        # What else a table has in parentheses is told from the name by the year beside it.
        return plain_title(self.text if self.text.endswith(")") else self.name)

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
            known = merged.get(match.title_id)
            merged[match.title_id] = _joined(query, known, match) if known else match
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
    """The first of merged matches, if it is what is meant beyond doubt.

    That is, no other is as close, by name and then by year, nor does its year say another title.
    """
    if not matches:
        return None
    first = matches[0]
    close, apart = match_closeness(query, first), _years_apart(query, first)
    if close < _CLOSE or (first.year is not None and apart > 1):
        return None
    rivals = (match for match in matches[1:] if _years_apart(query, match) <= apart)
    if any(close - match_closeness(query, match) < CLEAR_LEAD for match in rivals):
        return None
    return first


def has_the_year(query: Query, match: TitleMatch) -> bool:
    """Whether a title is of the query's year, or has it in its name."""
    return match.year == query.year or _spelling(query.text).plain in _spelling(match.title).plain


def match_closeness(query: Query, match: TitleMatch) -> float:
    """How close a title's names are to the query's, from 0 to 1."""
    names = [name for name in (match.title, match.original_title) if name]
    asked = {query.name, query.spelt, query.text}
    return max(closeness(wanted, name) for wanted in asked for name in names)


@lru_cache(1024)  # ranking asks again and again
def closeness(wanted: str, name: str) -> float:
    """How close a name is to a title's, from 0 to 1, which means that they differ in nothing.

    Case, accents, punctuation and how "and" and numbers are written make no difference; an article
    makes little, and so do blanks.
    """
    a, b = _spelling(wanted), _spelling(name)
    if a.plain == b.plain:
        return 1.0
    if {a.plain, a.bare} & {b.plain, b.bare}:
        return 0.99
    if a.as_one_word & b.as_one_word:
        return 0.98
    joined_a, joined_b = a.bare.replace(" ", ""), b.bare.replace(" ", "")
    similar = SequenceMatcher(None, joined_a, joined_b, autojunk=False).ratio()
    if set(a.bare.split()) <= set(b.bare.split()):
        return 0.7 + 0.2 * similar
    return 0.9 * similar


class _Spelling(NamedTuple):
    """A name without case, accents and punctuation, "&" as "and", Roman numerals as digits.

    `bare` is `plain` without an article; `as_one_word` has both without blanks, with and without
    the numerals as digits: "lalaland", "irobot", "lesmiserables".
    """

    plain: str
    bare: str
    as_one_word: frozenset[str]


@lru_cache(1024)  # each name is compared with many
def _spelling(name: str) -> _Spelling:
    words = _words(name)
    spelt, plain = " ".join(words), " ".join(map(_digits, words))
    bare = _without_article(plain)
    forms = (spelt, _without_article(spelt), plain, bare)
    return _Spelling(plain, bare, frozenset(form.replace(" ", "") for form in forms))


def _words(name: str) -> list[str]:
    """The words of a name without case, accents and punctuation, an article at its end first.

    A name without a letter or digit has its signs.
    """
    text = name.casefold()
    if found := _ARTICLE_LAST.fullmatch(text.strip()):
        text = f"{found[2]} {found[1]}"
    text = _without_accents(unicodedata.normalize("NFKD", text).casefold().translate(_PLAIN))
    text = re.sub(r"^(l|un)['’ʼ`](?=\w)", r"\1 ", text)  # L'Avventura
    text = re.sub(r"(?<=\w)['’ʼ`](?=\w)", "", text)
    words = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in text)
    return words.split() or text.split()


def _without_accents(decomposed: str) -> str:
    kept, is_accented = [], True
    for char in decomposed:
        category = unicodedata.category(char)
        if category[0] != "M":
            is_accented = category[0] != "L" or unicodedata.name(char, "").startswith(_ACCENTED)
        elif is_accented:
            continue
        if category != "Cf":
            kept.append(char)
    return unicodedata.normalize("NFC", "".join(kept))


def _digits(word: str) -> str:
    """A Roman numeral below 40 as digits; any other word as it is."""
    if not _ROMAN.fullmatch(word):
        return word
    values = [_ROMAN_DIGITS[letter] for letter in word]
    following = [*values[1:], 0]
    return str(sum(-v if v < after else v for v, after in zip(values, following, strict=True)))


def _without_article(name: str) -> str:
    return _ARTICLE.sub("", name).removesuffix(" the")  # "third man the"


def _years_apart(query: Query, match: TitleMatch) -> int:
    if query.year is None or closeness(query.text, match.title) >= _CLOSE:
        return 0
    return 99 if match.year is None else abs(match.year - query.year)


def _joined(query: Query, known: TitleMatch, match: TitleMatch) -> TitleMatch:
    """What two services say of a title; the first one's word counts, but for the name asked for."""
    closer = match_closeness(query, match) > match_closeness(query, known)
    return replace(
        known,
        title=match.title if closer else known.title,
        year=known.year or match.year,
        poster_url=known.poster_url or match.poster_url,
        original_title=known.original_title or match.original_title,
    )
