"""Posters as small as the page shows them."""

import io

from PIL import Image

SHOWN_SIDE = 720  # px of a poster's longer side on the page and on its card


def small_jpeg(image: Image.Image, side: int = SHOWN_SIDE) -> bytes:
    """An RGB image, at most `side` px on its longer side."""
    image = image.copy()
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
