"""Posters as small as the page shows them."""

import io

from PIL import Image

SHOWN_SIDE = 720  # px of a poster's longer side on the page and on its card
_SHOWN_WIDTH, _SHOWN_HEIGHT = 240, 540  # px, the most of a poster beside its plot


def small_jpeg(image: Image.Image, side: int = SHOWN_SIDE) -> bytes:
    """An RGB image, at most `side` px on its longer side."""
    image = image.copy()
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def shown_width(jpeg: bytes) -> int:
    """The pixels that a poster takes beside its plot, fewer where it would be too tall."""
    with Image.open(io.BytesIO(jpeg)) as image:
        width, height = image.size
    return max(min(_SHOWN_WIDTH, _SHOWN_HEIGHT * width // height), 1)
