"""The canvas that the example posters are painted on.

Every coordinate is in poster units, 600 wide and 900 high. The canvas holds twice that in each
direction, masks are drawn at twice the canvas again, and `Canvas.finish` scales everything down,
so that edges are smooth without a vector library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter

WIDTH, HEIGHT = 600, 900
SCALE = 2  # canvas pixels per poster unit
MASK = 2  # mask pixels per canvas pixel, before the mask is reduced

Point = tuple[float, float]
Points = Sequence[Point]
Stops = Sequence[tuple[float, str]]
Field = np.ndarray  # float32, one number per canvas pixel


def rgb(color: str) -> np.ndarray:
    """A CSS colour as three floats from 0 to 255."""
    return np.array(ImageColor.getrgb(color)[:3], dtype=np.float32)


def ramp(values: Field, stops: Stops) -> np.ndarray:
    """Map each value to a colour, interpolating between (value, colour) stops."""
    at = [stop for stop, _ in stops]
    colors = np.stack([rgb(color) for _, color in stops])
    channels = [np.interp(values, at, colors[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def smooth(points: Points, closed: bool = True, steps: int = 10) -> list[Point]:
    """A Catmull-Rom curve through the points; a point given twice in a row is a corner."""
    nodes = np.array(points, dtype=float)
    count = len(nodes)
    curve: list[Point] = []
    for i in range(count if closed else count - 1):
        around = [i - 1, i, i + 1, i + 2]
        if closed:
            index = [j % count for j in around]
        else:
            index = [min(max(j, 0), count - 1) for j in around]
        before, start, end, after = nodes[index]
        if np.array_equal(start, end):
            continue
        t = np.linspace(0, 1, steps, endpoint=False)[:, None]
        leave, arrive = (end - before) / 2, (after - start) / 2
        piece = (
            (2 * t**3 - 3 * t**2 + 1) * start
            + (t**3 - 2 * t**2 + t) * leave
            + (3 * t**2 - 2 * t**3) * end
            + (t**3 - t**2) * arrive
        )
        curve.extend((float(x), float(y)) for x, y in piece)
    if not closed:
        curve.append((float(nodes[-1][0]), float(nodes[-1][1])))
    return curve


def place(
    points: Points, x: float, y: float, scale: float = 1, flip: bool = False, turn: float = 0
) -> list[Point]:
    """Move a shape drawn around the origin to (x, y), scaled, mirrored and turned (degrees)."""
    sin, cos = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    sign = -1 if flip else 1
    return [
        (
            float(x + scale * (sign * px * cos - py * sin)),
            float(y + scale * (sign * px * sin + py * cos)),
        )
        for px, py in points
    ]


def limb(points: Points, widths: Sequence[float]) -> list[Point]:
    """The outline of a line through the points whose width changes from one end to the other."""
    spine = np.array(smooth(points, closed=False, steps=8))
    along = np.gradient(spine, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)[:, None]
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    at = np.linspace(0, 1, len(spine))
    half = np.interp(at, np.linspace(0, 1, len(widths)), widths)[:, None] / 2
    edge = np.concatenate([spine + normal * half, (spine - normal * half)[::-1]])
    return [(float(x), float(y)) for x, y in edge]


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0) -> list[Point]:
    """The outline of an ellipse."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    outline = [(float(rx * np.cos(a)), float(ry * np.sin(a))) for a in angles]
    return place(outline, x, y, turn=turn)


def rectangle(x: float, y: float, width: float, height: float) -> list[Point]:
    """The outline of an upright rectangle from its top left corner."""
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


class Canvas:
    """A poster in the making: an array of light, painted from back to front."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        size = (HEIGHT * SCALE, WIDTH * SCALE)
        self.pixels = np.zeros((*size, 3), dtype=np.float32)
        rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
        self.x: Field = columns / SCALE
        self.y: Field = rows / SCALE

    # Masks

    def mask(self, *outlines: Points, blur: float = 0) -> Field:
        """How much of each pixel the outlines cover, from 0 to 1."""
        factor = SCALE * MASK
        image = Image.new("L", (WIDTH * factor, HEIGHT * factor))
        draw = ImageDraw.Draw(image)
        for outline in outlines:
            draw.polygon([(x * factor, y * factor) for x, y in outline], fill=255)
        return self._field(image.reduce(MASK), blur)

    def strokes(self, *lines: Points, width: float = 1, blur: float = 0) -> Field:
        """Like `mask`, for lines of one width."""
        factor = SCALE * MASK
        image = Image.new("L", (WIDTH * factor, HEIGHT * factor))
        draw = ImageDraw.Draw(image)
        for line in lines:
            points = [(x * factor, y * factor) for x, y in line]
            draw.line(points, fill=255, width=max(1, round(width * factor)), joint="curve")
        return self._field(image.reduce(MASK), blur)

    def soften(self, mask: Field, blur: float) -> Field:
        """The mask with its edges blurred."""
        return self._field(Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8)), blur)

    def noise(self, width: float, height: float, octaves: int = 5) -> Field:
        """Cloudy noise from 0 to 1 whose largest features are about width by height."""
        total = np.zeros_like(self.x)
        weight = 1.0
        for octave in range(octaves):
            columns = max(2, int(WIDTH / width * 2**octave) + 2)
            rows = max(2, int(HEIGHT / height * 2**octave) + 2)
            grid = self.rng.random((rows, columns), dtype=np.float32)
            size = (self.x.shape[1], self.x.shape[0])
            layer = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
            total += weight * np.asarray(layer)
            weight /= 2
        low, high = np.percentile(total, [1, 99])
        return np.clip((total - low) / (high - low), 0, 1).astype(np.float32)

    def band(self, top: float, bottom: float, feather: float) -> Field:
        """1 between two heights, falling to 0 over the feather outside them."""
        above = np.clip((self.y - top + feather) / feather, 0, 1)
        below = np.clip((bottom + feather - self.y) / feather, 0, 1)
        return np.minimum(above, below)

    @staticmethod
    def _field(image: Image.Image, blur: float) -> Field:
        if blur:
            image = image.filter(ImageFilter.GaussianBlur(blur * SCALE))
        return np.asarray(image, dtype=np.float32) / 255

    # Paint

    def fill(self, paint: str | np.ndarray, mask: Field | float = 1) -> None:
        """Cover the canvas with a colour, or with an image of colours, through the mask."""
        color = rgb(paint) if isinstance(paint, str) else paint
        alpha = mask[..., None] if isinstance(mask, np.ndarray) else mask
        self.pixels += (color - self.pixels) * alpha

    def light(self, color: str, mask: Field | float) -> None:
        """Add light of a colour, as the screen mode of paint programs does."""
        alpha = mask[..., None] if isinstance(mask, np.ndarray) else mask
        self.pixels += (255 - self.pixels) * (rgb(color) / 255) * alpha

    def shade(self, color: str, mask: Field | float) -> None:
        """Darken towards a colour, as the multiply mode of paint programs does."""
        alpha = mask[..., None] if isinstance(mask, np.ndarray) else mask
        self.pixels *= 1 + (rgb(color) / 255 - 1) * alpha

    def sky(self, *stops: tuple[float, str]) -> None:
        """Fill the canvas from top to bottom with a gradient of (height, colour) stops."""
        self.fill(ramp(self.y, stops))

    def shape(self, *outlines: Points, color: str, blur: float = 0, opacity: float = 1) -> None:
        """Fill outlines with one colour."""
        self.fill(color, self.mask(*outlines, blur=blur) * opacity)

    def falling(self, *outlines: Points, stops: Stops, blur: float = 0) -> None:
        """Fill outlines with a vertical gradient of (height, colour) stops."""
        self.fill(ramp(self.y, stops), self.mask(*outlines, blur=blur))

    def distance(self, x: float, y: float, stretch: float = 1) -> Field:
        """The distance of each pixel from a point; stretch widens the circles to ellipses."""
        return np.hypot((self.x - x) / stretch, self.y - y)

    def glow(
        self, x: float, y: float, radius: float, color: str, power: float = 2, stretch: float = 1
    ) -> None:
        """Light that fades out with the distance from a point."""
        near = np.clip(1 - self.distance(x, y, stretch) / radius, 0, 1)
        self.light(color, near**power)

    def stars(self, count: int, bottom: float, color: str = "white", size: float = 1.1) -> None:
        """Stars of random size and brightness above a height."""
        for brightness, share, scale in ((0.35, 0.7, 0.5), (0.65, 0.22, 0.75), (1.0, 0.08, 1.0)):
            dots = []
            for _ in range(int(count * share)):
                x, y = self.rng.uniform(0, WIDTH), self.rng.uniform(0, bottom)
                radius = size * scale * self.rng.uniform(0.6, 1.1)
                dots.append(ellipse(x, y, radius, radius))
            self.light(color, self.mask(*dots) * brightness)

    def ridge(self, points: Points, roughness: float = 0, base: float = HEIGHT + 20) -> list[Point]:
        """The outline of ground below a smooth line, with random roughness along its edge."""
        line = smooth(points, closed=False, steps=24)
        if roughness:
            line = [(x, y + float(self.rng.normal(0, roughness))) for x, y in line]
        return [*line, (points[-1][0], base), (points[0][0], base)]

    def grass(
        self, ground: Callable[[float], float], count: int, height: float, lean: float = 0
    ) -> list[list[Point]]:
        """Blades of grass along a line of ground."""
        blades = []
        for _ in range(count):
            x = float(self.rng.uniform(-10, WIDTH + 10))
            y = ground(x) + 3
            tall = height * float(self.rng.uniform(0.35, 1))
            tip = x + lean + float(self.rng.normal(0, height * 0.25))
            blades.append([(x - 1, y), (tip, y - tall), (x + 1, y)])
        return blades

    # Finish

    def vignette(self, strength: float, color: str = "black") -> None:
        """Darken the corners."""
        far = np.hypot((self.x / WIDTH - 0.5) * 1.25, (self.y / HEIGHT - 0.5) * 1.15)
        self.fill(color, np.clip((far - 0.3) / 0.5, 0, 1) ** 1.6 * strength)

    def finish(self, grain: float = 3) -> Image.Image:
        """The poster at its final size, with film grain."""
        pixels = np.clip(self.pixels, 0, 255).astype(np.uint8)
        image = Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        noise = self.rng.normal(0, grain, (HEIGHT, WIDTH, 1))
        grained = np.asarray(image, dtype=np.float32) + noise
        return Image.fromarray(np.clip(grained, 0, 255).astype(np.uint8))
