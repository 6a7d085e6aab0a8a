"""A card to share: a poster beside its plot, as a PNG of the size that link previews use."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from PIL import Image, ImageDraw, ImageText

from poster2plot.page.fonts import FontOfSize, bold_font_for, is_right_to_left, page_font
from poster2plot.records import title_and_year, written_from

SIZE = (1200, 630)  # px, as Open Graph previews are cut
_MARGIN = 56
_PAPER, _INK, _FAINT, _ACCENT = "#fbf8f3", "#231f1a", "#746a5e", "#b3261e"
_PLOT_SIZES = range(54, 22, -2)  # px, of which a text gets the largest that it fits in
_TITLE_SIZES = range(40, 26, -2)
_TITLE_HEIGHT = 100  # px, of two lines
_LONGEST_WORD = 22  # letters; what is longer is broken


def share_card(poster: Image.Image, record: Mapping[str, Any]) -> bytes:
    """The card of an RGB poster and the record of its plot."""
    card = Image.new("RGB", SIZE, _PAPER)
    draw = ImageDraw.Draw(card)
    draw.rectangle((0, 0, SIZE[0], 10), fill=_ACCENT)

    picture = poster.copy()
    height = SIZE[1] - 2 * _MARGIN
    scale = min(height / picture.height, SIZE[0] * 0.4 / picture.width)
    picture = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
        Image.Resampling.LANCZOS,
    )
    card.paste(picture, (_MARGIN, (SIZE[1] - picture.height) // 2))

    left, top = picture.width + 2 * _MARGIN, _MARGIN
    width = SIZE[0] - left - _MARGIN
    about = record["title"] or {}
    name = title_and_year(about) if about.get("title") else ""
    if name and (bold := bold_font_for(name)):
        title = _fitted(name, width, _TITLE_HEIGHT, _TITLE_SIZES, bold)
        if is_right_to_left(name):
            draw.text((left + width, top), title, fill=_ACCENT, anchor="ra", align="right")
        else:
            draw.text((left, top), title, fill=_ACCENT)
        top = round(title.get_bbox((left, top))[3]) + 24
    regular = partial(page_font, weight="Regular")
    text = _fitted(record["plot"], width, SIZE[1] - _MARGIN - 60 - top, _PLOT_SIZES, regular)
    draw.text((left, top), text, fill=_INK)
    foot = f"Invented by {record['model']} {written_from(record)}. Poster2Plot"
    draw.text((left, SIZE[1] - _MARGIN), foot, fill=_FAINT, font=regular(20), anchor="ls")
    buffer = io.BytesIO()
    card.save(buffer, "PNG")
    return buffer.getvalue()


def plot_card(jpeg: bytes, record: Mapping[str, Any]) -> bytes:
    """As `share_card`, of a poster as the page keeps it."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        return share_card(picture, record)


def _fitted(
    text: str, width: int, height: int, sizes: Sequence[int], font_of_size: FontOfSize
) -> ImageText.Text[str]:
    """A text in lines of `width` px, cut off where even the smallest letters are too many."""
    words = " ".join(textwrap.wrap(text, _LONGEST_WORD))
    for size in sizes:
        fitted = ImageText.Text(words, font_of_size(size), spacing=size // 3)
        try:
            rest = fitted.wrap(width, height)
        except ValueError:  # a word is wider than the line
            continue
        if rest is None:
            return fitted
    fitted.text += " …"
    return fitted
