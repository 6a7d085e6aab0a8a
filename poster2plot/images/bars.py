"""Bars beside a poster, as screenshots and video frames have them, which are no part of it."""

import math
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image

_ASPECT = 2 / 3  # width to height of a poster
_LIKE_A_POSTER = (0.58, 0.82)  # from that of a slim one to 8 × 10 inches
_FLAT = 24  # levels that the pixels across a bar may differ by, as JPEG leaves some beside edges
_STATUS_LINE = 0.08  # of the picture, at most: a clock, a battery, buttons
_SMALLEST = 0.1  # of the picture that a poster may be


def without_bars(picture: Image.Image) -> Image.Image:
    """The poster in an RGB picture that is of another shape and has flat bars beside it.

    Lines of signs within the bars, such as the clock of a telephone, go with them. A picture that
    has the shape of a poster, or of which nothing in that shape would be left, stays as it is.
    """
    width, height = picture.size
    if _is_like_a_poster(width / height):
        return picture
    pixels = np.asarray(picture)
    rows = _busy(pixels)
    columns = _busy(pixels[slice(*rows)].transpose(1, 0, 2))
    rows = _busy(pixels[:, slice(*columns)])  # without what stood beside it
    # A poster may have flat edges of its own, so that its shape tells which bars there are.
    boxes = [
        (left, top, right, bottom)
        for (left, right), (top, bottom) in product(((0, width), columns), ((0, height), rows))
    ]
    posters = [
        box
        for box in boxes
        if _is_like_a_poster(_aspect(box)) and _area(box) >= _SMALLEST * width * height
    ]
    if not posters:
        return picture
    return picture.crop(min(posters, key=lambda box: abs(math.log(_aspect(box) / _ASPECT))))


def _is_like_a_poster(aspect: float) -> bool:
    return _LIKE_A_POSTER[0] <= aspect <= _LIKE_A_POSTER[1]


def _aspect(box: tuple[int, int, int, int]) -> float:
    return (box[2] - box[0]) / (box[3] - box[1])


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _busy(pixels: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """From the first row that is not of one bar's colour to behind the last, status lines aside.

    `pixels` are (rows, columns, 3). All rows where none is.
    """
    darkest, brightest = pixels.min(axis=1).astype(int), pixels.max(axis=1).astype(int)
    flat = (brightest - darkest <= _FLAT).all(axis=-1)
    ends = [(abs(darkest - darkest[end]) <= _FLAT).all(axis=-1) & flat[end] for end in (0, -1)]
    busy = np.concatenate([[0], ~(flat & (ends[0] | ends[1])), [0]])
    runs = np.flatnonzero(np.diff(busy)).reshape(-1, 2).tolist()
    runs = [run for run in runs if run[1] - run[0] > _STATUS_LINE * len(pixels)]
    return (runs[0][0], runs[-1][1]) if runs else (0, len(pixels))
