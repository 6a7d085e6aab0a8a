"""What screenshots have beside a poster goes, and nothing of a poster does."""

import io

import pytest
from PIL import Image, ImageDraw

from poster2plot import read_image
from poster2plot.errors import DamagedImageError
from poster2plot.images.bars import between_bars
from support.drawn_posters import draw_poster, encode


def shown_on(
    size: tuple[int, int], poster: Image.Image, bars: str = "black", *, lines: bool = False
) -> Image.Image:
    """A screen on which a poster is shown, in the middle and as large as it gets."""
    screen = Image.new("RGB", size, bars)
    scale = min(size[0] / poster.width, size[1] / poster.height)
    shown = poster.resize((round(poster.width * scale), round(poster.height * scale)))
    screen.paste(shown, ((size[0] - shown.width) // 2, (size[1] - shown.height) // 2))
    if lines:
        draw = ImageDraw.Draw(screen)
        draw.text((size[0] * 0.1, size[1] * 0.02), "12:45", "grey", font_size=size[1] * 0.02)
        draw.rectangle((size[0] * 0.3, size[1] * 0.97, size[0] * 0.7, size[1] * 0.975), "grey")
    return screen


def close(size: tuple[int, int], wanted: tuple[int, int]) -> bool:
    # A JPEG smears an edge over its blocks of 8 pixels.
    return all(abs(own - other) <= 8 for own, other in zip(size, wanted, strict=True))


@pytest.mark.parametrize("bars", ["black", "white", "#181a1b"])
@pytest.mark.parametrize(
    ("screen", "poster"),
    [((960, 540), (360, 540)), ((473, 1024), (473, 710)), ((800, 800), (533, 800))],
)
def test_the_poster_of_a_screenshot_is_cut_out(
    screen: tuple[int, int], poster: tuple[int, int], bars: str
):
    for quality in (None, 60):
        picture = shown_on(screen, draw_poster("darkred"), bars, lines=screen[0] < screen[1])
        if quality:
            stored = io.BytesIO()
            picture.save(stored, "JPEG", quality=quality)
            picture = Image.open(stored).convert("RGB")
        assert close(picture.crop(between_bars(picture)).size, poster)


def test_a_poster_keeps_its_own_flat_edges():
    poster = Image.new("RGB", (400, 600), "black")
    poster.paste(draw_poster(size=(400, 420)), (0, 180))
    assert between_bars(poster) is None
    assert between_bars(shown_on((1000, 600), poster)) == (300, 0, 700, 600)


@pytest.mark.parametrize(
    "picture",
    [
        draw_poster(),
        draw_poster(size=(900, 400)),  # a banner
        shown_on((1024, 576), draw_poster(size=(1024, 430))),  # a still with bars
        Image.new("RGB", (900, 300), "navy"),
        Image.new("RGB", (1, 900), "navy"),
        shown_on((900, 900), draw_poster().resize((20, 30))).resize((900, 90)),
    ],
)
def test_other_pictures_stay_as_they_are(picture: Image.Image):
    assert between_bars(picture) is None


def test_whoever_reads_a_picture_gets_the_poster_alone():
    screenshot = shown_on((960, 540), draw_poster("purple"))
    read = read_image(encode(screenshot))
    assert close(read.size, (360, 540))
    assert between_bars(read) is None


def test_a_screenshot_whose_end_is_lost_is_damaged_even_if_that_is_a_bar():
    data = encode(shown_on((473, 1024), draw_poster("purple")), "JPEG")
    assert read_image(data[:-2]).tobytes() == read_image(data).tobytes()
    with pytest.raises(DamagedImageError, match="cut off or damaged"):
        read_image(data[:-200])
