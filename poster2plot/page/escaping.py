"""Text from outside, made harmless in Markdown, HTML and file names."""

import html
import re
import unicodedata

_BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"


def escape_markdown(text: str) -> str:
    """Text, escaped so that Markdown shows it as it is.

    Letters from right to left leave the order of what stands around them alone (Unicode Standard
    Annex 9: a first strong isolate).
    """
    text = _BIDI_CONTROLS.sub("", text)
    escaped = re.sub(r"([\\`*_{}\[\]()<>#+.!|$~:-])", r"\\\1", text)
    if any(unicodedata.bidirectional(char) in ("R", "AL") for char in text):
        return f"{_ISOLATE}{escaped}{_END_OF_ISOLATE}"
    return escaped


def growing_html(text: str) -> str:
    """A plot so far, as the page shows it."""
    return f'<p class="growing">{html.escape(text)} …</p>'


def file_stem(label: str) -> str:
    """A harmless file name from a label."""
    return re.sub(r"[^\w-]+", "-", label.rsplit(".", 1)[0]).strip("-")[:60] or "plot"
