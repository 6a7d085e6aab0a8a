"""Bars beside a poster, as screenshots and video frames have them, which are no part of it."""

import math
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom, in px

_ASPECT = 2 / 3  # width to height of a poster
_LIKE_A_POSTER = (0.58, 0.82)  # from that of a slim one to 8 × 10 inches
_FLAT = 24  # levels that the pixels across a bar may differ by, as JPEG leaves some beside edges
_STATUS_LINE = 0.08  # of the picture, at most: a clock, a battery, buttons
_SMALLEST = 0.1  # of the picture that a poster may be


def between_bars(picture: Image.Image) -> Box | None:
    """Where the poster is in an RGB picture that is of another shape and has flat bars beside it.

    Lines of signs within the bars, such as the clock of a telephone, belong to them. None for a
    picture that has the shape of a poster, or of which nothing in that shape would be left.
    """
    width, height = picture.size
    if is_like_a_poster(width / height):
        return None
    colors = np.stack([np.asarray(band) for band in picture.split()])  # (3, height, width)
    rows = _busy(colors, across=2)
    columns = _busy(colors[:, slice(*rows)], across=1)
    rows = _busy(colors[:, :, slice(*columns)], across=2)  # without what stood beside it
    # A poster may have flat edges of its own, so that its shape tells which bars there are.
    boxes = [
        (left, top, right, bottom)
        for (left, right), (top, bottom) in product(((0, width), columns), ((0, height), rows))
    ]
    posters = [
        box
        for box in boxes
        if is_like_a_poster(_aspect(box)) and _area(box) >= _SMALLEST * width * height
    ]
    return min(posters, key=lambda box: abs(math.log(_aspect(box) / _ASPECT)), default=None)


def is_like_a_poster(aspect: float) -> bool:
    """Whether that is how width and height of a poster relate."""
    return _LIKE_A_POSTER[0] <= aspect <= _LIKE_A_POSTER[1]


def _aspect(box: Box) -> float:
    return (box[2] - box[0]) / (box[3] - box[1])


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _busy(colors: npt.NDArray[np.uint8], across: int) -> tuple[int, int]:
    """From the first line that is not of one bar's colour to behind the last, but status lines.

    `across` is the axis of `colors` (3, height, width) along which lines run. All of them where
    there is none.
    """
    darkest, brightest = (each(axis=across).astype(int) for each in (colors.min, colors.max))
    flat = (brightest - darkest <= _FLAT).all(axis=0)
    of_end = [(abs(darkest - darkest[:, [end]]) <= _FLAT).all(axis=0) for end in (0, -1)]
    bar = flat & (of_end[0] & flat[0] | of_end[1] & flat[-1])
    runs = np.flatnonzero(np.diff(np.concatenate([[0], ~bar, [0]]))).reshape(-1, 2).tolist()
    runs = [run for run in runs if run[1] - run[0] > _STATUS_LINE * len(bar)]
    return (runs[0][0], runs[-1][1]) if runs else (0, len(bar))
