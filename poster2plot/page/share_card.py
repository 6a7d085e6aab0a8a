"""A card to share: a poster beside its plot, as a PNG of the size that link previews use."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import streamlit as st
from PIL import Image, ImageDraw, ImageFont, ImageText

from poster2plot.records import title_and_year, written_from

SIZE = (1200, 630)  # px, as Open Graph previews are cut
_MARGIN = 56
_PAPER, _INK, _FAINT, _ACCENT = "#fbf8f3", "#231f1a", "#746a5e", "#b3261e"
_PLOT_SIZES = range(54, 22, -2)  # px, of which a text gets the largest that it fits in
_TITLE_SIZES = range(40, 26, -2)
_TITLE_HEIGHT = 100  # px, of two lines
_LONGEST_WORD = 22  # letters; what is longer is broken
_FONT_FILES = "static/static/media/SourceSansVF-Upright.*"  # of Streamlit

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


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
    if about.get("title") and _has_glyphs(about["title"]):
        title = _fitted(title_and_year(about), width, _TITLE_HEIGHT, _TITLE_SIZES, "Bold")
        draw.text((left, top), title, fill=_ACCENT)
        top = round(title.get_bbox((left, top))[3]) + 24
    text = _fitted(record["plot"], width, SIZE[1] - _MARGIN - 60 - top, _PLOT_SIZES, "Regular")
    draw.text((left, top), text, fill=_INK)
    foot = f"Invented by {record['model']} {written_from(record)}. Poster2Plot"
    draw.text(
        (left, SIZE[1] - _MARGIN), foot, fill=_FAINT, font=page_font(20, "Regular"), anchor="ls"
    )
    buffer = io.BytesIO()
    card.save(buffer, "PNG")
    return buffer.getvalue()


def plot_card(jpeg: bytes, record: Mapping[str, Any]) -> bytes:
    """As `share_card`, of a poster as the page keeps it."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        return share_card(picture, record)


def page_font(size: int, weight: str) -> _Font:
    """The page's own, with Latin, Greek and Cyrillic letters, else Pillow's, with ASCII alone."""
    for path in Path(st.__file__).parent.glob(_FONT_FILES):
        with suppress(OSError):
            font = ImageFont.truetype(path, size)
            font.set_variation_by_name(weight)
            return font
    return ImageFont.load_default(size)


def _has_glyphs(text: str) -> bool:
    """Whether the font can write a text; titles come in every script."""
    font = page_font(20, "Regular")
    box = bytes(font.getmask("\uffff"))  # what stands for a character that is not in the font
    return all(char.isspace() or bytes(font.getmask(char)) != box for char in text)


def _fitted(
    text: str, width: int, height: int, sizes: Sequence[int], weight: str
) -> ImageText.Text[str]:
    """A text in lines of `width` px, cut off where even the smallest letters are too many."""
    words = " ".join(textwrap.wrap(text, _LONGEST_WORD))
    for size in sizes:
        fitted = ImageText.Text(words, page_font(size, weight), spacing=size // 3)
        try:
            rest = fitted.wrap(width, height)
        except ValueError:  # a word is wider than the line
            continue
        if rest is None:
            return fitted
    fitted.text += " …"
    return fitted
