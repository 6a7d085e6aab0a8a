"""Posters drawn on the spot, for whoever needs any picture."""

import io

from PIL import Image, ImageDraw, ImageFont


def draw_poster(color: str = "navy", size: tuple[int, int] = (200, 300)) -> Image.Image:
    """A poster of sorts: a moon over hills."""
    image = Image.new("RGB", size, color)
    draw = ImageDraw.Draw(image)
    width, height = size
    draw.ellipse((width * 0.5, height * 0.1, width * 0.8, height * 0.3), fill="lightyellow")
    draw.polygon([(0, height), (width * 0.4, height * 0.6), (width, height)], fill="black")
    return image


def draw_titled_poster(title: str, color: str = "navy") -> Image.Image:
    """A poster with its title printed on it, large enough to be read."""
    image = draw_poster(color, (300, 450))
    font = ImageFont.load_default(36)
    ImageDraw.Draw(image).text((150, 340), title, "white", font, anchor="mm")
    return image


def encode(image: Image.Image, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()
