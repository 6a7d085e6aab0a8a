"""Text from outside, made harmless in Markdown, HTML and file names."""

import html
import re
import unicodedata
from pathlib import PurePath

from poster2plot.images.limits import IMAGE_SUFFIXES

_BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")
# What GitHub Flavored Markdown makes a link of by itself, escaped or not, and what breaks it.
_AUTOLINK = re.compile(r"(https?:(?=//)|www(?=\.)|@)", re.IGNORECASE)
_WORD_JOINER = "\u2060"
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"


def escape_markdown(text: str) -> str:
    """Text, escaped so that Markdown shows it as it is.

    Letters from right to left leave the order of what stands around them alone (Unicode Standard
    Annex 9: a first strong isolate).
    """
    text = _BIDI_CONTROLS.sub("", text)
    unlinked = _AUTOLINK.sub(rf"\1{_WORD_JOINER}", text)
    escaped = re.sub(r"([\\`*_{}\[\]()<>#+.!|$~:-])", r"\\\1", unlinked)
    if any(unicodedata.bidirectional(char) in ("R", "AL") for char in text):
        return f"{_ISOLATE}{escaped}{_END_OF_ISOLATE}"
    return escaped


def escape_paragraph(text: str) -> str:
    """A text that is a whole paragraph, escaped as by `escape_markdown`.

    It begins on the side of its own letters, which a browser does not look for in an isolate.
    """
    return escape_markdown(text).strip(_ISOLATE + _END_OF_ISOLATE)


def growing_html(text: str) -> str:
    """A plot so far, as the page shows it."""
    return f'<p class="growing">{html.escape(text)} …</p>'


def file_stem(label: str) -> str:
    """A harmless file name from a label, a title or the name of a picture."""
    suffix = PurePath(label).suffix
    if suffix.lower() in IMAGE_SUFFIXES:
        label = label.removesuffix(suffix)
    return re.sub(r"[^\w-]+", "-", label).strip("-")[:60] or "plot"
