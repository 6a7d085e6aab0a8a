"""A card to share: a poster beside its plot, as a PNG of the size that link previews use."""

import io
import textwrap

from PIL import Image, ImageDraw, ImageFont, ImageText

SIZE = (1200, 630)  # px, as Open Graph previews are cut
_MARGIN = 56
_PAPER, _INK, _FAINT, _ACCENT = "#fbf8f3", "#231f1a", "#746a5e", "#b3261e"
_FONT_SIZES = range(52, 22, -2)  # px, of which a plot gets the largest that it fits in
_LONGEST_WORD = 30  # letters; what is longer is broken


def share_card(poster: Image.Image, plot: str, model: str) -> bytes:
    """The card of a plot that `model` invented for an RGB poster."""
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

    left = picture.width + 2 * _MARGIN
    width = SIZE[0] - left - _MARGIN
    text = _fitted(plot, width, height - 60)
    draw.text((left, _MARGIN), text, fill=_INK)
    foot = f"Invented by {model} from the poster alone. Poster2Plot"
    draw.text(
        (left, SIZE[1] - _MARGIN), foot, fill=_FAINT, font=ImageFont.load_default(20), anchor="ls"
    )
    buffer = io.BytesIO()
    card.save(buffer, "PNG")
    return buffer.getvalue()


def _fitted(plot: str, width: int, height: int) -> ImageText.Text[str]:
    """The plot in lines of `width` px, cut off where even the smallest letters are too many."""
    plot = " ".join(textwrap.wrap(plot, _LONGEST_WORD))
    for size in _FONT_SIZES:
        text = ImageText.Text(plot, ImageFont.load_default(size), spacing=size // 3)
        try:
            rest = text.wrap(width, height)
        except ValueError:  # a word is wider than the line
            continue
        if rest is None:
            return text
    text.text += " …"
    return text
