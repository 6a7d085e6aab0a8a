"""What the example posters are drawn with: flat shapes, gradients, letters.

Coordinates are in poster units, 600 × 900; everything is drawn at twice the size and scaled down,
for smooth edges.
"""

import math
import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

WIDTH, HEIGHT, SCALE = 600, 900, 2

Point = tuple[float, float]


class Poster:
    """A picture with the few brushes that the posters need."""

    def __init__(self, seed: int) -> None:
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE))
        self.random = random.Random(seed)

    def sky(self, *colors: str) -> None:
        """A vertical gradient over the whole poster."""
        strip = Image.new("RGB", (1, len(colors)))
        for y, color in enumerate(colors):
            strip.paste(color, (0, y, 1, y + 1))
        self.image.paste(strip.resize(self.image.size, Image.Resampling.BICUBIC))

    def _layer(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        mask = Image.new("L", self.image.size)
        return mask, ImageDraw.Draw(mask)

    def _apply(self, mask: Image.Image, color: str, blur: float, opacity: float) -> None:
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * SCALE))
        self.image.paste(color, mask=mask.point(lambda value: int(value * opacity)))

    def shape(self, points: list[Point], color: str, blur: float = 0, opacity: float = 1) -> None:
        """A filled polygon."""
        mask, draw = self._layer()
        draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=255)
        self._apply(mask, color, blur, opacity)

    def disc(
        self, x: float, y: float, r: float, color: str, blur: float = 0, opacity: float = 1
    ) -> None:
        """A circle; blurred, it glows."""
        mask, draw = self._layer()
        draw.ellipse([(v * SCALE) for v in (x - r, y - r, x + r, y + r)], fill=255)
        self._apply(mask, color, blur, opacity)

    def line(self, points: list[Point], color: str, width: float, opacity: float = 1) -> None:
        """A polyline with round joints."""
        mask, draw = self._layer()
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        draw.line(scaled, fill=255, width=round(width * SCALE), joint="curve")
        self._apply(mask, color, 0, opacity)

    def ridge(self, y: float, rough: float, color: str, opacity: float = 1) -> None:
        """Hills from edge to edge, `rough` units high."""
        waves = [(self.random.uniform(0.005, 0.03), self.random.uniform(0, 6)) for _ in range(4)]
        top = [
            (float(x), y + rough / 4 * sum(math.sin(x * f + p) for f, p in waves))
            for x in range(0, WIDTH + 5, 5)
        ]
        self.shape([*top, (WIDTH, HEIGHT), (0, HEIGHT)], color, opacity=opacity)

    def stars(self, count: int, color: str, below: float = HEIGHT) -> None:
        """Points of light in the upper part."""
        for _ in range(count):
            x, y = self.random.uniform(0, WIDTH), self.random.uniform(0, below)
            self.disc(x, y, self.random.uniform(0.4, 1.6), color, opacity=self.random.random())

    def text(self, text: str, y: float, size: float, color: str, tracking: float = 0.1) -> None:
        """A centred, letter-spaced line, `y` at its middle; too wide a line shrinks to fit."""
        font = ImageFont.load_default(size * SCALE)
        gap = tracking * size * SCALE
        widths = [font.getlength(letter) + gap for letter in text]
        if sum(widths) - gap > 540 * SCALE:
            self.text(text, y, size * 0.95, color, tracking)
            return
        x = (WIDTH * SCALE - sum(widths) + gap) / 2
        draw = ImageDraw.Draw(self.image)
        for letter, width in zip(text, widths, strict=True):
            draw.text((x, y * SCALE), letter, fill=color, font=font, anchor="lm")
            x += width

    def lettering(self, title: list[str], tagline: str, y: float, color: str, faint: str) -> None:
        """The title over two lines at most, a tagline above, a billing block below."""
        self.text(tagline.upper(), 46, 13, faint, 0.35)
        for row, line in enumerate(title):
            self.text(line, y + row * 62, 60, color, 0.08)
        self.text("A LANTERN YARD PICTURE", 862, 11, faint, 0.45)

    def finish(self, grain: float = 10) -> Image.Image:
        """The poster at its final size, darker at the corners, with a little film grain."""
        image = self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        shade = Image.new("L", (WIDTH, HEIGHT), 120)
        ImageDraw.Draw(shade).ellipse((-60, -40, WIDTH + 60, HEIGHT + 40), fill=255)
        shade = shade.filter(ImageFilter.GaussianBlur(110))
        image = ImageChops.multiply(image, Image.merge("RGB", [shade] * 3))
        noise = bytes(
            min(255, max(0, round(128 + self.random.gauss(0, grain))))
            for _ in range(WIDTH * HEIGHT)
        )
        film = Image.frombytes("L", (WIDTH, HEIGHT), noise)
        return ImageChops.overlay(image, Image.merge("RGB", [film] * 3))


def person(
    poster: Poster, x: float, y: float, size: float, color: str, *, hat: bool = False
) -> None:
    """A standing silhouette, feet at (x, y), `size` units tall."""
    u = size / 100
    body = [(-13, -78), (13, -78), (17, -40), (11, -38), (9, 0), (2, 0), (0, -34), (-2, 0), (-9, 0)]
    coat = [*body, (-11, -38), (-17, -40)]
    poster.shape([(x + px * u, y + py * u) for px, py in coat], color)
    poster.disc(x, y - 86 * u, 10 * u, color)
    if hat:
        brim = [(-18, -91), (18, -91), (11, -95), (9, -106), (-9, -106), (-11, -95)]
        poster.shape([(x + px * u, y + py * u) for px, py in brim], color)
