"""The poster in a photograph is found, cut out and made straight; other pictures stay."""

import sys

import cv2
import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

from poster2plot import read_image
from poster2plot.images import photographs
from poster2plot.images.decoding import read_picture
from poster2plot.images.photographs import find_poster
from poster2plot.images.surroundings import without_surroundings
from support.drawn_posters import draw_poster, encode

Corners = list[tuple[int, int]]

STRAIGHT = [(500, 110), (800, 110), (800, 560), (500, 560)]
FROM_ASIDE = [(430, 90), (760, 130), (750, 620), (450, 660)]
LEANING = [(520, 60), (840, 100), (790, 590), (470, 545)]
SMALL = [(300, 200), (530, 205), (528, 550), (297, 545)]


def wall(size: tuple[int, int], kind: str) -> Image.Image:
    picture = Image.new("RGB", size, "#b8a890" if kind != "blocks" else "#8f8a86")
    draw = ImageDraw.Draw(picture)
    width, height = size
    if kind == "blocks":
        for row, y in enumerate(range(0, height, 80)):
            for x in range(-200 + 100 * (row % 2), width, 200):
                draw.rectangle((x + 3, y + 3, x + 197, y + 77), "#a4563f")
    elif kind == "room":  # with a door, a lamp and a floor
        draw.rectangle((0, height * 0.85, width, height), "#5d4630")
        draw.rectangle((width * 0.04, height * 0.2, width * 0.2, height * 0.86), "#77573b")
        draw.ellipse((width * 0.85, height * 0.05, width * 0.95, height * 0.2), "#f6e7b0")
    elif kind == "noise":
        noise = Image.effect_noise(size, 90).filter(ImageFilter.GaussianBlur(2))
        picture = Image.merge("RGB", [noise] * 3)
    return picture


def photograph(
    poster: Image.Image, corners: Corners, kind: str = "plain", size: tuple[int, int] = (1280, 720)
) -> Image.Image:
    """A photograph, a little out of focus and with noise, of a poster that hangs on a wall."""
    source = [(0, 0), (poster.width, 0), poster.size, (0, poster.height)]
    matrix = cv2.getPerspectiveTransform(
        np.array(source, np.float32), np.array(corners, np.float32)
    )
    picture = np.asarray(wall(size, kind)).copy()
    cv2.warpPerspective(
        np.asarray(poster), matrix, size, picture, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT
    )
    blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1))
    noise = np.random.default_rng(0).normal(0, 4, (size[1], size[0], 3))
    return Image.fromarray((np.asarray(blurred) + noise).clip(0, 255).astype(np.uint8))


def alike(one: Image.Image, other: Image.Image) -> bool:
    small = [picture.resize((40, 60), Image.Resampling.BOX) for picture in (one, other)]
    return max(ImageStat.Stat(ImageChops.difference(*small)).mean) < 10


@pytest.mark.parametrize("kind", ["plain", "blocks", "room", "noise"])
@pytest.mark.parametrize("corners", [STRAIGHT, FROM_ASIDE, LEANING, SMALL])
def test_the_poster_on_a_wall_is_cut_out_and_straight(corners: Corners, kind: str):
    poster = draw_poster("darkred", (400, 600))
    found = without_surroundings(photograph(poster, corners, kind))
    assert alike(found, poster)
    assert not alike(photograph(poster, corners, kind), poster)


@pytest.mark.parametrize("size", [(480, 640), (540, 960), (640, 480), (900, 900)])
def test_however_the_camera_is_held(size: tuple[int, int]):
    width, height = size
    side = min(width / 2, height / 3) * 0.8
    left, top = round((width - 2 * side) / 2), round((height - 3 * side) / 2)
    right, bottom = round(left + 2 * side), round(top + 3 * side)
    corners = [(left, top), (right, top + 8), (right - 5, bottom), (left + 4, bottom - 8)]
    poster = draw_poster("teal", (400, 600))
    assert alike(without_surroundings(photograph(poster, corners, size=size)), poster)


def test_the_corners_are_those_of_the_poster():
    corners = find_poster(np.asarray(photograph(draw_poster("teal"), FROM_ASIDE)))
    assert corners is not None
    assert np.abs(corners - FROM_ASIDE).max() < 8


def test_a_hand_that_holds_the_poster_hides_some_of_its_side():
    poster = draw_poster("darkred", (400, 600))
    picture = photograph(poster, STRAIGHT)
    ImageDraw.Draw(picture).ellipse((440, 330, 540, 410), "#d9a384")
    assert abs(without_surroundings(picture).width - 300) < 8


def framed_panel() -> Image.Image:
    poster = Image.new("RGB", (400, 600), "ivory")
    poster.paste(draw_poster("teal", (200, 300)), (100, 120))
    return poster


@pytest.mark.parametrize(
    "picture",
    [
        draw_poster(),
        framed_panel(),
        draw_poster(size=(900, 400)),
        *(wall((1280, 720), kind) for kind in ("plain", "blocks", "room", "noise")),
        wall((480, 640), "blocks"),
        Image.new("RGB", (900, 300), "navy"),
        Image.new("RGB", (1, 900), "navy"),
        Image.new("RGB", (1000, 1), "navy"),
        Image.new("RGB", (3, 3), "navy"),
    ],
)
def test_other_pictures_stay_as_they_are(picture: Image.Image):
    assert without_surroundings(picture) is picture


def test_without_opencv_a_photograph_stays_as_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "poster2plot.images.photographs")
    monkeypatch.setitem(sys.modules, "cv2", None)
    picture = photograph(draw_poster(), STRAIGHT)
    assert without_surroundings(picture) is picture


def test_whoever_reads_a_photograph_gets_the_poster_alone():
    poster = draw_poster("purple", (400, 600))
    read = read_image(encode(photograph(poster, LEANING), "JPEG"))
    assert alike(read, poster)
    assert read_picture(read).tobytes() == read.tobytes()


def test_a_picture_is_looked_at_once(monkeypatch: pytest.MonkeyPatch):
    looks = []
    find = photographs.find_poster

    def look(pixels: photographs.Pixels) -> photographs.Points | None:
        looks.append(pixels.shape)
        return find(pixels)

    monkeypatch.setattr(photographs, "find_poster", look)
    for picture in (photograph(draw_poster("purple"), LEANING), wall((1280, 720), "room")):
        read = read_picture(read_picture(read_image(encode(picture))))
        assert read.tobytes() == read_picture(picture).tobytes()
    assert len(looks) == 4
