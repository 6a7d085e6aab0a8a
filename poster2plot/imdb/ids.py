"""IMDb title ids: read one out of an id or any IMDb title URL, without the network."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote, urlsplit

from poster2plot.errors import InvalidTitleError
from poster2plot.title_spelling import WIDE

TITLE_ID = re.compile(r"tt[0-9]{7,10}", re.ASCII)  # in its canonical form
MAX_TEXT = 2048  # characters; longer text is neither an id nor a URL anyone pastes

_HINT = "give an IMDb title id such as tt0133093 or its URL"
_KINDS = {
    "nm": "a person",
    "co": "a company",
    "ls": "a list",
    "rm": "a single image",
    "vi": "a video",
    "ev": "an event",
    "ur": "a user",
}
_ID = re.compile(r"([a-z]{2})([0-9]+)(?![a-z0-9])", re.IGNORECASE | re.ASCII)
_BARE_ID = re.compile(rf"(?:tt|{'|'.join(_KINDS)})[0-9]{{5,}}", re.IGNORECASE | re.ASCII)
# What people write around an id: `imdb:tt0133093`, `[imdbid-tt0133093]`, `imdb://title/0133093`,
# `"imdb_id": "tt0133093"`, `id=tt0133093`.
_WRITTEN_ID = re.compile(
    r"(?:(?P<name>imdb(?:[ _-]?id)?[\s:=#_/\"'-]+(?:title/)?)|id[\s\"']*[:=][\s\"']*(?=tt))?"
    r"(?:(?P<tt>tt)[\s:#_-]?)?(?P<digits>[0-9]+)/?",
    re.IGNORECASE | re.ASCII,
)
_AROUND = " \t\r\n\"'`“”„‘’«»()[]{}<>,;.!*|:?#"
_UNSEEN = re.compile("[\u034f\ufe00-\ufe0f]")  # beside the format characters of Unicode
# Of an address, whose slashes, colon and first letters are lost or doubled on the way.
_WEB = re.compile(r"h?t?tps?(?::/{1,3}|//)(?=[^/])", re.IGNORECASE | re.ASCII)
# An address without its host, from a page's source, say. What goes on otherwise is a file's path.
_PATH = re.compile(
    r"/?(?:[a-z]{2}(?:-[a-z0-9]{2,4})?/)?title/tt[0-9]+(?:/mediaviewer/rm[0-9]+)?/?(?=[?#]|$)",
    re.IGNORECASE | re.ASCII,
)
# What followed an id in its address, or its film's year.
_BEFORE_MORE = re.compile(
    r"(tt[0-9]+)(?:/?\?[a-z_]+=.*|/?#[a-z][a-z0-9_-]*|\s+\(?(?:18|19|20|21)[0-9]{2})",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_IN_GROUPS = re.compile(r"tt ?[0-9]{1,4}(?: [0-9]{3})+", re.IGNORECASE | re.ASCII)
# The one address in a text, at its end: `[The Matrix](https://www.imdb.com/title/tt0133093/`.
_ADDRESS_AFTER = re.compile(
    r"(?:(?!://).)*[\s(\[<](https?://(?:[a-z0-9-]+\.)*imdb\.com/[^\s()<>]*)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
# An id among the words of a name, with brackets about it or none.
_BESIDE_NAME = re.compile(
    r"(?:^|[\s(\[{<])(?:imdb(?:id)?[:=-])?(tt(?!0+(?![0-9]))[0-9]{7,10})(?=[\s)\]}>]|$)",
    re.IGNORECASE | re.ASCII,
)
# A host written without a scheme; it has a dot, and a path, query or nothing after it.
_BARE_HOST = re.compile(
    r"(?://)?(?:[a-z0-9-]+\.)+[a-z]{2,}\.?(?::[0-9]+)?(?=[/?#]|$)", re.I | re.ASCII
)
_IMDB_HOST = re.compile(r"(?:[a-z0-9-]+\.)*imdb\.com\.?(?::[0-9]*)?", re.IGNORECASE | re.ASCII)


def parse_title_id(text: str) -> str:
    """Return the canonical id, `tt` and 7 to 10 digits, of an IMDb title id or title URL.

    An id may be written with too many or too few zeros, with brackets or `imdb:` about it, or as
    its digits alone if they are 7 to 10; an id or a URL may stand beside the title's name.

    Raises:
        InvalidTitleError: `text` is neither, or is the id or URL of something else.
    """
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise InvalidTitleError(f"The text is too long to be an IMDb title: {_HINT}.")
    text = _plain(text)
    if not text:
        raise InvalidTitleError(f"The title is empty: {_HINT}.")
    bare = _ID.fullmatch(text)
    if bare:
        return _title_id(bare[1], bare[2], text)
    if digits := _written_digits(text):
        return _title_id("tt", digits, text)
    if beside := id_beside_name(text):
        return beside
    before = ""
    for segment in unquote(_path_of_imdb_url(text)).split("/"):
        found = _ID.match(segment)
        if found:
            return _title_id(found[1], found[2], text)
        if before == "title" and re.fullmatch("[0-9]+", segment, re.ASCII):
            return _title_id("tt", segment, text)
        before = segment.lower()
    raise InvalidTitleError(f"{_shown(text)} is not the address of an IMDb title: {_HINT}.")


def looks_like_id(text: str) -> bool:
    """Tell what is meant as an IMDb id or a URL, right or wrong, from a name such as "1917"."""
    digits = _written_digits(_plain(text.strip()[: MAX_TEXT + 1]))
    return digits is not None or looks_like_title(text) or id_beside_name(text) is not None


def id_beside_name(text: str) -> str | None:
    """The one canonical id among the words of a name, as in "Alien tt0078748"."""
    words = _BESIDE_NAME.findall(_plain(text.strip()[: MAX_TEXT + 1]))
    found = {_title_id("tt", word[2:], text) for word in words}
    return found.pop() if len(found) == 1 else None


def looks_like_title(text: str) -> bool:
    """Tell what is meant as an IMDb id or a URL, right or wrong, from the path of a file."""
    text = text.strip()[: MAX_TEXT + 1]
    plain = _plain(text)
    if _WEB.match(plain) or _PATH.match(plain) or _BARE_ID.fullmatch(plain):
        return True
    if _written_digits(plain) and not plain.isdigit():  # which may well be a file's name
        return True
    host = _BARE_HOST.match(plain)
    return host is not None and _IMDB_HOST.fullmatch(host[0].removeprefix("//")) is not None


def _plain(text: str) -> str:
    """The text without invisible characters, and without what people put about an id or URL.

    That is quotes, brackets, stops and marks of footnotes, a film's name and its year.
    """
    if "%" in text and "/" not in text:
        # It is of no id: a browser wrote its letters or digits in another way.
        text = unquote(text)
    kinds = ((char, unicodedata.category(char)) for char in _UNSEEN.sub("", text))
    seen = (" " if kind == "Zs" else char for char, kind in kinds if kind != "Cf")
    text = "".join(seen).translate(WIDE).strip(_AROUND)
    while text and unicodedata.category(text[-1]) == "No":
        text = text[:-1].rstrip(_AROUND)
    if found := _BEFORE_MORE.fullmatch(text) or _ADDRESS_AFTER.fullmatch(text):
        return found[1]
    return text.replace(" ", "") if _IN_GROUPS.fullmatch(text) else text


def _written_digits(text: str) -> str | None:
    """The digits of an id that is written in one of the ways that people have."""
    found = _WRITTEN_ID.fullmatch(text)
    if found is None:
        return None
    digits = found["digits"]
    says_so = found["name"] or found["tt"] or (len(digits) >= 7 and len(digits.lstrip("0")) <= 10)
    return digits if says_so else None


def _title_id(kind: str, digits: str, text: str) -> str:
    """IMDb's form of an id: at least 7 digits, and none of its zeros where there are more."""
    kind, digits = kind.lower(), digits.lstrip("0")
    if kind in _KINDS:
        raise InvalidTitleError(f"{_shown(text)} is {_KINDS[kind]} on IMDb, not a title: {_HINT}.")
    if kind != "tt":
        raise InvalidTitleError(f"{_shown(text)} is not an IMDb title: {_HINT}.")
    if not 1 <= len(digits) <= 10:
        raise InvalidTitleError(
            f"{_shown(text)} is not an IMDb title id, which is tt and 7 to 10 digits: {_HINT}."
        )
    return kind + digits.zfill(7)


def _path_of_imdb_url(text: str) -> str:
    if web := _WEB.match(text):
        text = f"https://{text[web.end() :]}"
    elif _PATH.match(text):
        return text.partition("?")[0].partition("#")[0]
    elif _BARE_HOST.match(text):
        text = f"https://{text.removeprefix('//')}"
    else:
        raise InvalidTitleError(f"{_shown(text)} is not an IMDb title: {_HINT}.")
    try:
        parts = urlsplit(text)
    except ValueError:  # an unclosed bracket, say
        raise InvalidTitleError(f"{_shown(text)} is not a valid URL: {_HINT}.") from None
    # The whole of netloc has to match: a user name or a longer domain is another site.
    if not _IMDB_HOST.fullmatch(parts.netloc):
        raise InvalidTitleError(f"{_shown(text)} is not on imdb.com: {_HINT}.")
    return parts.path


def _shown(text: str) -> str:
    """Quote what was given, short and printable enough for one sentence."""
    short = text if len(text) <= 60 else f"{text[:59]}…"
    return "“" + "".join(char if char.isprintable() else "�" for char in short) + "”"
