"""What comes from outside, made fit to be shown."""

import io
import re

from PIL import Image

SHOWN_SIDE = 720  # px of a poster's longer side on the page and on its card


def plain(text: str) -> str:
    """Text, escaped so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()<>#+.!|$~:-])", r"\\\1", text)


def file_stem(label: str) -> str:
    """A harmless file name from a label."""
    return re.sub(r"[^\w-]+", "-", label.rsplit(".", 1)[0]).strip("-")[:60] or "plot"


def small_jpeg(image: Image.Image, side: int = SHOWN_SIDE) -> bytes:
    """An RGB image, at most `side` px on its longer side."""
    image = image.copy()
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
