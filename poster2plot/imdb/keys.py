"""API keys and other values as people paste them into files, shells and web forms.

No message here holds a value.
"""

from __future__ import annotations

import logging
import re
import unicodedata

logger = logging.getLogger(__name__)

_QUOTES = "\"'`“”„‘’«»"
# What comes along where a line, a header or the address in OMDb's mail is copied whole.
_BEFORE = re.compile(
    r".*?api_?key[\s\"']*[=:]|authorization\s*:|bearer\b\s*:?", re.IGNORECASE | re.DOTALL
)
_COMMENT = re.compile("#.*")
_AROUND = f"{_QUOTES}<>,; \t\r\n"
_RIGHT = {
    "TMDB": (
        re.compile(r"[0-9a-f]{32}|eyJ[\w-]*\.[\w-]+\.[\w-]+", re.IGNORECASE | re.ASCII),
        "TMDB's have 32 hexadecimal digits, or begin with eyJ and have three parts",
    ),
    "OMDb": (
        re.compile(r"[0-9a-f]{8}", re.IGNORECASE | re.ASCII),
        "OMDb's have 8 hexadecimal digits",
    ),
}


def plain_value(text: str) -> str:
    """A value without invisible characters, and without blanks and quotes about it.

    `docker run --env-file` hands over the quotes of a file as they are.
    """
    seen = "".join(char for char in text if unicodedata.category(char) != "Cf")
    before = None
    while seen != before:
        before, seen = seen, seen.strip().strip(_QUOTES)
    return seen


def clean_key(service: str, text: str) -> str:
    """A key of TMDB or OMDb without what was pasted with it; "" where there is none.

    One that cannot be right is told in the log, and one that cannot be sent is left out.
    """
    key = plain_value(_COMMENT.sub("", text)).strip(_AROUND)
    while (found := _BEFORE.match(key)) is not None:
        key = key[found.end() :].partition("&")[0].strip(_AROUND)
    key = "".join(key.split())  # a mail or a terminal breaks lines
    form, how = _RIGHT[service]
    if key and not form.fullmatch(key):
        sent = key.isascii() and key.isprintable()
        outcome = "it is asked all the same" if sent else f"{service} is not asked"
        logger.warning("The key of %s cannot be right: %s; %s.", service, how, outcome)
        return key if sent else ""
    return key
