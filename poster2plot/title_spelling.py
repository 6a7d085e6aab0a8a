"""Titles as catalogues spell them, which is how a model has learnt them.

People type "the third man", tables have "THIRD MAN, THE (1949)", and phones make a ’ of a '. To a
vocabulary of word parts these are other titles than "The Third Man".
"""

import html
import re

# In English titles these are not capitalized.
_SMALL = {"a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to"}
_SMALL |= {"with"}
_ROMAN = re.compile(r"(?=.)x{0,3}(?:ix|iv|v?i{0,3})\W*", re.IGNORECASE)
# "l'" and its like are words of their own, "don't" is one.
_LETTERS = re.compile(r"\b[dlo]'(?=[^\W\d_]{2})|[^\W\d_]+(?:['’][^\W\d_]+)*", re.IGNORECASE)
_VOWEL = re.compile(r"[aeiouyà-ÿ]|[^\W\d_a-zß-öø-ÿ]", re.IGNORECASE)
_ABBREVIATED = {"mr", "mrs", "ms", "dr", "jr", "sr", "st", "vs"}  # words without a vowel
_SENTENCE_END = (":", ".", "!", "?", "-", "–", "—")
_LONGEST_INITIALS = 5  # letters: "NCIS", "JFK", "CSI: NY"

# Letters, digits and signs of East Asian keyboards, which are twice as wide. No other form of a
# digit is plain: a raised or circled one marks a footnote.
WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
_PLAIN_SIGNS = WIDE | str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "`": "'", "´": "'", "“": '"', "”": '"', "„": '"', "«": '"'}
    | {"»": '"', "–": "-", "—": "-", "−": "-", "…": "..."}
)
_QUOTED = re.compile(r'"([^"]*)"|\'([^\']*)\'')
_YEAR_OR_KIND = re.compile(
    r"\s*[(\[](?=[^()\[\]]*(?:18|19|20|21)\d\d|[^()\[\]]*(?:film|movie|series|anime)[)\]])"
    r"(?:(?:18|19|20|21)\d\d|[-\s]|film|movie|mini-?series|series|tv|anime)+[)\]]\s*\Z",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\s*\([^()]*\)\s*\Z")  # "Seven (a.k.a. Se7en) (1995)"
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});")
_ARTICLE_LAST = re.compile(
    r"(.+), *(the|an?|l[ae]s?|l'|une?|el|los|il|der|die|das|eine?)", re.IGNORECASE
)


def as_catalogued(title: str) -> str:
    """A title of one line as `plain_title`, in title case where it has capitals alone, or none.

    >>> as_catalogued("“third man, the” (1949)")
    'The Third Man'
    """
    text = plain_title(title)
    letters = cased_letters(text)
    in_capitals = all(map(str.isupper, letters)) and len(letters) > _LONGEST_INITIALS
    return title_case(text) if in_capitals or all(map(str.islower, letters)) else text


def plain_title(title: str) -> str:
    """A title of one line with plain signs and its article first, without its year or quotes.

    >>> plain_title("Third Man, The (1949)")
    'The Third Man'
    """
    text = _ENTITY.sub(lambda found: html.unescape(found[0]), title).translate(_PLAIN_SIGNS)
    text = _without_asides(text)
    if quoted := _QUOTED.fullmatch(text):
        text = quoted[1] or quoted[2] or text
    if last := _ARTICLE_LAST.fullmatch(text):
        article = last[2] if text.islower() or text.isupper() else last[2].capitalize()
        return f"{article}{last[1]}" if article.endswith("'") else f"{article} {last[1]}"
    return text


def _without_asides(text: str) -> str:
    """A title less the year and what else a table has behind it in parentheses."""
    title = _YEAR_OR_KIND.sub("", text)
    if title == text:
        return text
    while title != (shorter := _ASIDE.sub("", title)):
        title = shorter
    return title or text


def cased_letters(text: str) -> list[str]:
    """The letters of a text that have a case: none of Japanese ones, say."""
    return [char for char in text if char.upper() != char.lower()]


def title_case(text: str) -> str:
    """A text in capitals, or in none, with those of an English title.

    Roman numbers and what has no vowel keep theirs.
    """
    written: list[str] = []
    for word in text.split(" "):
        small = word.lower() in _SMALL and written and not written[-1].endswith(_SENTENCE_END)
        written.append(word.lower() if small else _capitalized(word))
    return " ".join(written)


def _capitalized(word: str) -> str:
    if _ROMAN.fullmatch(word):
        return word.upper()
    has_digits = any(map(str.isdigit, word))
    has_no_vowel = word.isupper() and not _VOWEL.search(word)
    if has_digits or (has_no_vowel and word.rstrip(".").lower() not in _ABBREVIATED):
        return word
    # Not str.title, which makes "Don'T".
    return _LETTERS.sub(lambda found: found[0].capitalize(), word)
