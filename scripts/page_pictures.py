"""Draw the page's icons and the picture of its link previews: `python -m scripts.page_pictures`."""

from pathlib import Path

from PIL import Image, ImageDraw

import poster2plot
from poster2plot.bundled_files import EXAMPLE_POSTERS
from poster2plot.page.fonts import page_font

OUT = Path(poster2plot.__file__).parent / "page" / "pictures"
PAPER, INK, ACCENT, SUN = "#fbf8f3", "#231f1a", "#b3261e", "#e8b23a"
SHOWN = ("undertow-bay", "the-house-on-harrow-hill", "two-umbrellas")
SCALE = 4  # drawn larger, then made small, for smooth edges


def icon(side: int) -> Image.Image:
    """What `icon.svg` shows."""
    big = side * SCALE
    unit = big / 64
    image = Image.new("RGB", (big, big), ACCENT)
    draw = ImageDraw.Draw(image)

    def at(*numbers: float) -> tuple[float, ...]:
        return tuple(number * unit for number in numbers)

    draw.rounded_rectangle(at(13, 11, 35, 44), 3 * unit, fill=PAPER)
    draw.ellipse(at(24, 16, 32, 24), fill=SUN)
    hills = [(13, 35), (22, 26), (28, 32), (35, 28), (35, 41), (33, 44), (15, 44), (13, 41)]
    draw.polygon([(x * unit, y * unit) for x, y in hills], fill=INK)
    for left, right, y in ((41, 52, 25), (41, 52, 33), (41, 52, 41), (13, 52, 51)):
        draw.rounded_rectangle(at(left - 2, y - 2, right + 2, y + 2), 2 * unit, fill=PAPER)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def social() -> Image.Image:
    """1200 × 630 px, as link previews are cut."""
    image = Image.new("RGB", (1200, 630), PAPER)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 1200, 10), fill=ACCENT)
    for i, name in enumerate(SHOWN):
        with Image.open(EXAMPLE_POSTERS / f"{name}.jpg") as poster:
            small = poster.convert("RGB").resize((230, 345), Image.Resampling.LANCZOS)
        image.paste(small, (56 + i * 250, 56))
    image.paste(icon(200), (912, 56))
    draw.text((56, 440), "Poster2Plot", fill=ACCENT, font=page_font(88, "Bold"))
    says = "A poster in, a plot out: a small neural network invents it."
    draw.text((56, 545), says, fill=INK, font=page_font(38, "Regular"))
    return image


def main() -> None:
    """Write them where the page has them."""
    for side in (180, 192, 512):
        icon(side).save(OUT / f"icon-{side}.png", optimize=True)
    social().save(OUT / "social.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
