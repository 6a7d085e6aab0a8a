"""A contact sheet: posters beside what was written for them."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

POSTER = (140, 210)  # px
TEXT = 360  # px beside each poster
MARGIN = 14  # px
COLUMNS = 3
LETTERS = 52  # a line of text
INK, PALE, PAPER = "#1b1b1b", "#76746f", "white"


@dataclass(frozen=True)
class Entry:
    """One poster, its caption, and labelled texts about it."""

    poster: Image.Image
    caption: str
    texts: tuple[tuple[str, str], ...]


def contact_sheet(entries: Sequence[Entry]) -> Image.Image:
    """Entries from left to right, `COLUMNS` a row; texts that do not fit end in an ellipsis."""
    font, small = ImageFont.load_default(14), ImageFont.load_default(11)
    cell = (POSTER[0] + TEXT + 3 * MARGIN, POSTER[1] + 2 * MARGIN)
    columns = min(COLUMNS, len(entries))
    rows = -(-len(entries) // columns)
    sheet = Image.new("RGB", (columns * cell[0], rows * cell[1]), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, entry in enumerate(entries):
        left = i % columns * cell[0] + MARGIN
        top = i // columns * cell[1] + MARGIN
        poster = entry.poster.copy()
        poster.thumbnail(POSTER)
        sheet.paste(poster, (left, top))
        left += POSTER[0] + MARGIN
        draw.text((left, top), textwrap.shorten(entry.caption, LETTERS), PALE, small)
        top += 18
        lines = max(1, 8 // len(entry.texts))
        for label, text in entry.texts:
            draw.text((left, top), label, PALE, small)
            wrapped = textwrap.fill(text, LETTERS, max_lines=lines, placeholder=" …")
            draw.multiline_text((left, top + 14), wrapped, INK, font, spacing=3)
            top += 14 + lines * 19 + 4
    return sheet
