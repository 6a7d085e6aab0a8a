"""Titles, taglines and billing blocks, all from the one font that Pillow carries (Aileron, CC0).

A line is drawn large, letter by letter; made bolder, or given slab serifs, by spreading its mask;
and then scaled to the very width and height that the layout asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .canvas import SCALE, Canvas, Field, Stops, ramp

DRAWN = 160  # the font size, in pixels, that lines are drawn at


@dataclass(frozen=True)
class Style:
    """How letters are made from the plain font."""

    tracking: float = 0.05  # space between letters, in parts of the font size
    weight: float = 0.0  # how much wider and taller strokes get, in parts of the font size
    slab: float = 0.0  # how far serifs reach to either side, in parts of the font size
    slab_height: float = 0.1  # how high the serifs are, in parts of the letters' height
    slant: float = 0.0  # how far the top leans to the right, in parts of the height
    worn: float = 0.0  # how much of the ink has flaked off, from 0 to 1


def spread(mask: np.ndarray, across: int, down: int) -> np.ndarray:
    """Each pixel becomes the brightest within a box around it."""
    for axis, reach in ((1, across), (0, down)):
        wide = mask.copy()
        for step in range(1, reach + 1):
            for way in (step, -step):
                wide = np.maximum(wide, np.roll(mask, way, axis=axis))
        mask = wide
    return mask


def draw_line(text: str, style: Style) -> np.ndarray:
    """One line of text as a tight mask (0 to 255) at the drawing size."""
    font = ImageFont.load_default(size=DRAWN)
    margin = DRAWN // 2
    track = style.tracking * DRAWN
    # The advance of a letter within its pair keeps the kerning of the font.
    steps = [
        font.getlength(text[i : i + 2]) - font.getlength(text[i + 1 : i + 2]) + track
        for i in range(len(text))
    ]
    image = Image.new("L", (int(sum(steps)) + 2 * margin, DRAWN * 2))
    draw = ImageDraw.Draw(image)
    x = float(margin)
    for letter, step in zip(text, steps, strict=True):
        draw.text((x, margin // 2), letter, font=font, fill=255)
        x += step
    mask = np.asarray(image)
    bold = round(style.weight * DRAWN / 2)
    if bold:
        mask = spread(mask, bold, round(bold * 0.7))
    rows = np.flatnonzero(mask.max(axis=1) > 40)
    if style.slab:
        top, bottom = rows[0], rows[-1] + 1
        high = max(2, round((bottom - top) * style.slab_height))
        reach = round(style.slab * DRAWN)
        mask = mask.copy()
        for start, end in ((top, top + high), (bottom - high, bottom)):
            mask[start:end] = spread(mask[start:end], reach, 0)
    columns = np.flatnonzero(mask.max(axis=0) > 40)
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def set_line(
    canvas: Canvas, text: str, y: float, width: float, height: float, style: Style, x: float = 300
) -> Field:
    """A canvas mask of the line centred on x, its letters from y down, scaled to the given size."""
    letters = Image.fromarray(draw_line(text, style))
    size = (round(width * SCALE), round(height * SCALE))
    letters = letters.resize(size, Image.Resampling.LANCZOS)
    if style.slant:
        lean = style.slant * size[1]
        wide = (size[0] + round(abs(lean)), size[1])
        letters = letters.transform(
            wide,
            Image.Transform.AFFINE,
            (1, style.slant, -lean, 0, 1, 0),
            Image.Resampling.BICUBIC,
        )
    rows, columns = canvas.x.shape
    sheet = Image.new("L", (columns, rows))
    sheet.paste(letters, (round(x * SCALE - letters.width / 2), round(y * SCALE)))
    mask = np.asarray(sheet, dtype=np.float32) / 255
    if style.worn:
        flakes = canvas.noise(14, 14, octaves=5)
        mask = mask * np.clip((flakes - style.worn) * 6, 0, 1)
    return mask


def title(
    canvas: Canvas,
    lines: list[tuple[str, float, float, float]],
    style: Style,
    stops: Stops,
    shadow: float = 0.7,
    glow: str | None = None,
) -> None:
    """Set lines of (text, y, width, height), filled with one vertical gradient of colours."""
    mask = np.zeros_like(canvas.x)
    for text, y, width, height in lines:
        mask = np.maximum(mask, set_line(canvas, text, y, width, height, style))
    if shadow:
        canvas.fill("black", np.clip(canvas.soften(mask, 5) * 1.5, 0, 1) * shadow)
    if glow:
        canvas.light(glow, np.clip(canvas.soften(mask, 9) * 1.4, 0, 1) * 0.8)
    canvas.fill(ramp(canvas.y, stops), mask)


def tagline(
    canvas: Canvas,
    text: str,
    y: float,
    color: str,
    height: float = 9,
    tracking: float = 0.32,
    squeeze: float = 1.0,
) -> None:
    """A small spaced line in capitals, centred."""
    style = Style(tracking=tracking, weight=0.02)
    letters = draw_line(text.upper(), style)
    width = letters.shape[1] / letters.shape[0] * height * squeeze
    canvas.fill(color, set_line(canvas, text.upper(), y, width, height, style) * 0.95)


def billing(canvas: Canvas, lines: list[str], y: float, color: str, footer: str = "") -> None:
    """The credits in tall narrow capitals, and below them an optional line such as a season."""
    style = Style(tracking=0.1, weight=0.02)
    for number, text in enumerate(lines):
        letters = draw_line(text.upper(), style)
        width = min(letters.shape[1] / letters.shape[0] * 9.5 * 0.46, 520)
        mask = set_line(canvas, text.upper(), y + number * 14, width, 9.5, style)
        canvas.fill(color, mask * 0.75)
    if footer:
        tagline(canvas, footer, y + len(lines) * 14 + 5, color, height=8, tracking=0.35)
