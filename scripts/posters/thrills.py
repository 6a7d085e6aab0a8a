"""Draw the example posters of the page: `python scripts/draw_posters.py`.

Films that do not exist, in flat shapes and gradients, so that the repository needs nobody else's
pictures. Coordinates are in poster units, 600 × 900; everything is drawn at twice the size and
scaled down, for smooth edges.
"""

import math
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

FOLDER = Path(__file__).parent.parent / "assets" / "posters"
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


def horror() -> Image.Image:
    """The House on Harrow Hill."""
    p = Poster(1)
    p.sky("#05070d", "#10202b", "#2d4a4d", "#0b1214", "#020303")
    p.disc(400, 250, 150, "#c7d6b5", blur=60, opacity=0.45)
    p.disc(400, 250, 92, "#e9eed2")
    for x, y, r in ((370, 225, 16), (425, 275, 22), (410, 210, 9)):
        p.disc(x, y, r, "#cbd3b4", blur=3)
    p.shape(
        [(0, 640), (170, 560), (330, 500), (450, 520), (600, 610), (600, 900), (0, 900)], "#060a0b"
    )
    house = [(250, 520), (250, 380), (236, 380), (300, 300), (318, 322), (318, 268), (340, 230)]
    house += [(362, 268), (362, 350), (380, 330), (436, 390), (424, 390), (424, 530)]
    p.shape(house, "#030506")
    for x, y in ((285, 400), (332, 300), (380, 410), (285, 455)):
        p.shape([(x, y), (x + 16, y), (x + 16, y + 26), (x, y + 26)], "#ffb347", blur=7)
        p.shape([(x, y), (x + 16, y), (x + 16, y + 26), (x, y + 26)], "#ffce73")
        p.line([(x + 8, y), (x + 8, y + 26)], "#030506", 2)
    for x, lean in ((70, 1), (545, -1)):
        p.line([(x, 700), (x + 12 * lean, 560), (x - 6 * lean, 430)], "#030506", 9)
        for k in range(6):
            y = 600 - k * 30
            end = (x + lean * (60 - 6 * k), y - 55)
            p.line([(x + 6 * lean, y), (x + lean * 32, y - 18), end], "#030506", 4 - k * 0.4)
    person(p, 300, 655, 92, "#020303")
    p.shape([(280, 650), (320, 650), (430, 900), (170, 900)], "#26393a", blur=14, opacity=0.5)
    p.lettering(
        ["THE HOUSE ON", "HARROW HILL"], "Someone left the light on", 735, "#c8321f", "#93a39a"
    )
    return p.finish(14)


def western() -> Image.Image:
    """The Last Water."""
    p = Poster(2)
    p.sky("#5b1f1a", "#b7401f", "#ef8a2d", "#f9c867", "#f4d9a0")
    p.disc(300, 470, 210, "#ffe9a8", blur=70, opacity=0.6)
    p.disc(300, 470, 150, "#fff3c4")
    for left, width, top in ((10, 120, 420), (455, 150, 390), (380, 60, 470)):
        mesa = [(left - 25, 600), (left, top), (left + width, top), (left + width + 30, 600)]
        p.shape(mesa, "#a8452a")
    p.ridge(590, 24, "#8a3320")
    p.ridge(650, 30, "#5c1f16")
    p.ridge(720, 26, "#2b0e0b")
    horse = [(212, 600), (232, 560), (300, 556), (352, 566), (378, 520), (396, 506), (430, 530)]
    horse += [(424, 544), (398, 540), (382, 590), (378, 632), (388, 726), (374, 726), (362, 640)]
    horse += [(350, 636), (340, 726), (328, 726), (334, 630), (264, 628), (250, 660), (262, 726)]
    horse += [
        (248, 726),
        (234, 660),
        (228, 650),
        (214, 726),
        (202, 726),
        (214, 640),
        (204, 668),
        (196, 664),
    ]
    p.shape(horse, "#1c0806")
    p.shape([(276, 566), (288, 480), (318, 474), (336, 486), (340, 540), (326, 572)], "#1c0806")
    p.line([(318, 560), (336, 600), (326, 640)], "#1c0806", 14)
    p.disc(312, 458, 17, "#1c0806")
    p.shape([(274, 454), (350, 454), (332, 444), (328, 424), (296, 424), (292, 444)], "#1c0806")
    p.line([(52, 720), (52, 560)], "#1c0806", 16)
    p.line([(52, 650), (22, 640), (22, 600)], "#1c0806", 11)
    p.line([(52, 630), (84, 620), (84, 575)], "#1c0806", 11)
    p.lettering(["THE LAST WATER"], "Forty miles of sand. One well.", 800, "#f9c867", "#ffe9c4")
    return p.finish()


def space() -> Image.Image:
    """Far Side of Silence."""
    p = Poster(3)
    p.sky("#02030a", "#070b22", "#101b45", "#1b1740", "#05040d")
    p.stars(320, "#ffffff")
    p.disc(300, 330, 230, "#3f7bd1", blur=60, opacity=0.5)
    p.disc(300, 330, 190, "#16356f")
    for k in range(60):
        p.disc(262 - k * 0.5, 300 - k * 0.5, 150 - k * 2.2, "#6fb2f2", opacity=0.018 + k * 0.0008)
    ring = [(300 + 330 * math.cos(a / 50), 330 + 70 * math.sin(a / 50)) for a in range(-10, 168)]
    ring = [(x + (y - 330) * 0.9, y - (x - 300) * 0.22) for x, y in ring]
    p.line(ring, "#e6d9b8", 11, 0.85)
    p.line([(x, y + 16) for x, y in ring], "#b59d76", 4, 0.7)
    p.ridge(700, 40, "#2a2746")
    p.ridge(750, 34, "#121024")
    x, y = 300, 742
    p.shape(
        [
            (x - 24, y),
            (x - 30, y - 92),
            (x + 30, y - 92),
            (x + 24, y),
            (x + 5, y),
            (x, y - 42),
            (x - 5, y),
        ],
        "#dfe4ee",
    )
    p.shape(
        [
            (x - 50, y - 40),
            (x - 34, y - 96),
            (x + 34, y - 96),
            (x + 50, y - 40),
            (x + 38, y - 36),
            (x - 38, y - 36),
        ],
        "#c3cbdb",
    )
    p.disc(x, y - 116, 29, "#eef2f8")
    p.disc(x + 3, y - 116, 20, "#f0a13a")
    p.disc(x - 4, y - 123, 7, "#ffe2a8", blur=2)
    p.shape([(x - 16, y - 88), (x + 16, y - 88), (x + 16, y - 62), (x - 16, y - 62)], "#8993a8")
    p.lettering(
        ["FAR SIDE OF SILENCE"], "Nobody has answered for nine years", 810, "#f4f6ff", "#8fa3d9"
    )
    return p.finish(8)


def romance() -> Image.Image:
    """Two Umbrellas."""
    p = Poster(4)
    p.sky("#2a1740", "#7a2f5d", "#d9657a", "#f6a97f", "#f9d3a2")
    p.disc(300, 430, 170, "#ffe3b5", blur=60, opacity=0.8)
    for x in range(0, WIDTH, 46):
        top = 430 + p.random.uniform(-70, 60)
        p.shape([(x, top), (x + 46, top), (x + 46, 700), (x, 700)], "#5c2a56", opacity=0.75)
        for wx in range(x + 6, x + 42, 12):
            for wy in range(int(top) + 14, 640, 22):
                if p.random.random() < 0.4:
                    p.shape([(wx, wy), (wx + 6, wy), (wx + 6, wy + 9), (wx, wy + 9)], "#ffd78a")
    p.shape([(0, 640), (600, 640), (600, 900), (0, 900)], "#31183f")
    p.shape([(180, 640), (420, 640), (520, 900), (80, 900)], "#f6a97f", blur=30, opacity=0.5)
    for x, color, lean in ((245, "#e8375a", -1), (355, "#f2c14e", 1)):
        person(p, x, 742, 185, "#1b0c24")
        top = [
            (x + lean * 14 + 96 * math.cos(a / 20), 572 + 74 * math.sin(a / 20))
            for a in range(-63, 1)
        ]
        p.shape(top, color)
        p.line([(x + lean * 14, 500), (x + lean * 16, 650)], "#1b0c24", 4)
    p.shape([(228, 742), (262, 742), (278, 640), (214, 640)], "#1b0c24")
    p.line([(262, 660), (300, 684), (338, 660)], "#1b0c24", 12)
    for _ in range(160):
        x, y = p.random.uniform(0, 600), p.random.uniform(60, 760)
        p.line([(x, y), (x - 4, y + 22)], "#ffe9dd", 1.2, 0.35)
    p.lettering(["TWO UMBRELLAS"], "It only rains when they meet", 806, "#ffe3d0", "#f6c9b5")
    return p.finish(8)


def shark() -> Image.Image:
    """Undertow Bay."""
    p = Poster(5)
    p.sky("#dff4f2", "#8fd6dd", "#1c87a6", "#0b4469", "#031a33")
    p.disc(470, 120, 52, "#fff7d6")
    p.ridge(262, 12, "#1f8fae")
    p.ridge(280, 12, "#15739a")
    p.shape([(0, 290), (600, 290), (600, 900), (0, 900)], "#0d5680", opacity=0.6)
    for k in range(5):
        p.shape(
            [(180 + k * 60, 290), (210 + k * 60, 290), (130 + k * 100, 900), (40 + k * 100, 900)],
            "#9be0ea",
            blur=18,
            opacity=0.10,
        )
    p.shape([(250, 262), (352, 262), (334, 282), (266, 282)], "#b5432f")
    p.line([(300, 262), (300, 196)], "#5a3a26", 3)
    p.shape([(303, 200), (303, 254), (340, 254)], "#fdf6e3")
    body = [(300, 380), (342, 440), (372, 520), (384, 620), (372, 760), (330, 900), (270, 900)]
    body += [(228, 760), (216, 620), (228, 520), (258, 440)]
    p.shape(body, "#4f6f84")
    p.shape(
        [
            (300, 470),
            (340, 530),
            (346, 620),
            (330, 760),
            (300, 900),
            (270, 760),
            (254, 620),
            (260, 530),
        ],
        "#c9d8de",
        blur=6,
    )
    for side in (-1, 1):
        p.shape(
            [(300 + side * 78, 640), (300 + side * 230, 790), (300 + side * 80, 740)], "#3f5c70"
        )
        p.disc(300 + side * 50, 500, 8, "#0a0f14")
    p.shape([(252, 520), (348, 520), (330, 566), (300, 582), (270, 566)], "#5a0d14")
    for k in range(7):
        x = 258 + k * 13
        p.shape([(x, 520), (x + 11, 520), (x + 5.5, 538)], "#ffffff")
        p.shape(
            [
                (x + 4, 568 - abs(k - 3) * 9),
                (x + 12, 568 - abs(k - 3) * 9),
                (x + 8, 552 - abs(k - 3) * 9),
            ],
            "#ffffff",
        )
    p.lettering(["UNDERTOW BAY"], "The water is lovely", 806, "#ffffff", "#0b3a55")
    return p.finish(8)


def noir() -> Image.Image:
    """A Quiet Alibi."""
    p = Poster(6)
    p.sky("#0a0a0d", "#1b1c22", "#3a3b42", "#1a1a1f", "#060607")
    for side, edge in ((-1, 0), (1, 600)):
        for k in range(4):
            x0, x1 = edge - side * k * 52, edge - side * (k + 1) * 52
            top = 120 + k * 88
            grey = ("#09090c", "#121216", "#1b1b20", "#24242a")[k]
            p.shape([(x0, top), (x1, top + 30), (x1, 760), (x0, 820)], grey)
            for wy in range(top + 60, 640, 46):
                if p.random.random() < 0.35:
                    wx = (x0 + x1) / 2
                    p.shape(
                        [(wx - 8, wy), (wx + 8, wy), (wx + 8, wy + 22), (wx - 8, wy + 22)],
                        "#e8c86a",
                        opacity=0.8,
                    )
    p.shape([(392, 300), (420, 300), (560, 800), (190, 800)], "#f3dfa0", blur=22, opacity=0.38)
    p.line([(460, 800), (460, 300), (440, 280), (406, 286)], "#050506", 8)
    p.disc(406, 296, 30, "#fff0b8", blur=14)
    p.disc(406, 296, 13, "#fffbe6")
    p.shape([(0, 770), (600, 770), (600, 900), (0, 900)], "#08080a")
    p.shape([(240, 775), (520, 775), (430, 900), (150, 900)], "#c9b57a", blur=26, opacity=0.4)
    p.shape([(318, 776), (352, 776), (260, 900), (120, 900)], "#020203", blur=5)
    person(p, 335, 780, 330, "#040405", hat=True)
    p.line([(350, 484), (372, 478)], "#f1f1ea", 3)
    p.disc(373, 478, 4, "#ff7a2e", blur=1)
    for k in range(14):
        p.disc(
            378 + 9 * math.sin(k * 0.9), 468 - k * 15, 5 + k * 1.2, "#cfd0d6", blur=7, opacity=0.10
        )
    for _ in range(220):
        x, y = p.random.uniform(0, 620), p.random.uniform(0, 860)
        p.line([(x, y), (x - 9, y + 34)], "#cfd6e0", 1, 0.28)
    p.lettering(
        ["A QUIET ALIBI"], "Everyone saw him. Nobody will say so.", 812, "#f1f1ea", "#a9abb5"
    )
    return p.finish(16)


POSTERS: dict[str, Callable[[], Image.Image]] = {
    "the-house-on-harrow-hill": horror,
    "the-last-water": western,
    "far-side-of-silence": space,
    "two-umbrellas": romance,
    "undertow-bay": shark,
    "a-quiet-alibi": noir,
}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in POSTERS.items():
        draw().save(FOLDER / f"{name}.jpg", quality=88, optimize=True)
