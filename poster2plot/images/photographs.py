"""The poster in a photograph of it: on a wall, in a shop, held before a camera."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from poster2plot.images.perspective import straightened

Pixels = NDArray[np.uint8]  # (height, width, 3)
Edges = NDArray[np.uint8]  # (height, width), 0 where there is none
Lines = NDArray[np.float64]  # (lines, 2): y at x = 0, and by how much it grows with x
Points = NDArray[np.float64]  # (..., 2): x and y

_LONG_SIDE = 400  # px of the picture in which lines are looked for
_EDGE = 30, 70  # the thresholds of `cv2.Canny`, of gradients by `cv2.Sobel`
_LEAN = math.radians(18)  # by which a poster's side may
_SHORTEST = 0.1  # of the long side that the edges of a line take
_LINES = 20  # of each direction, the longest, that may be a poster's sides
_APART = 5, 0.07  # in the middle, px, and in slope: two lines differ by one of them
_SMALLEST = 0.08  # of the picture that a poster takes
_ASPECTS = 0.55, 0.85  # of a poster that is seen from aside, too
_SEEN = 0.8  # of a poster's sides, on the average
_SEEN_OF_EACH = 0.64
_STANDS_OUT = 0.4  # by which less is seen beyond the corners


def find_poster(pixels: Pixels) -> Points | None:
    """The corners (4, 2) of the poster in a photograph, in px, clockwise from the top left one.

    Of the quadrilaterals between two upright and two level lines that are shaped like a poster it
    is the one whose sides are seen best and end at the corners, the larger of two alike; None where
    the sides of none are seen.
    """
    scale = min(1.0, _LONG_SIDE / max(pixels.shape))
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    level_edges, upright_edges = _edges(np.asarray(small, np.uint8))
    upright_edges = np.ascontiguousarray(upright_edges.T)  # lines are told by x, these by y
    level, upright = _lines(level_edges), _lines(upright_edges)
    tops, bottoms = np.triu_indices(len(level), 1)
    lefts, rights = np.triu_indices(len(upright), 1)
    top, left = (each.ravel() for each in np.meshgrid(tops, lefts))
    bottom, right = (each.ravel() for each in np.meshgrid(bottoms, rights))
    sides = [(left, top), (right, top), (right, bottom), (left, bottom)]
    corners = np.stack([_crossing(upright[one], level[other]) for one, other in sides], axis=1)
    across, down = _size(corners)
    area = across * down / (width * height)
    fit = (corners > -1).all((1, 2)) & (corners < (width + 1, height + 1)).all((1, 2))
    fit &= (area >= _SMALLEST) & (_ASPECTS[0] * down <= across) & (across <= _ASPECTS[1] * down)
    left, right, top, bottom, corners, area = (
        each[fit] for each in (left, right, top, bottom, corners, area)
    )
    xs, ys = np.moveaxis(corners, -1, 0)
    along_level, along_upright = _along(level_edges, level), _along(upright_edges, upright)
    spans = [
        (along_level[top], xs[:, 0], xs[:, 1]),
        (along_level[bottom], xs[:, 3], xs[:, 2]),
        (along_upright[left], ys[:, 0], ys[:, 3]),
        (along_upright[right], ys[:, 1], ys[:, 2]),
    ]
    seen = np.stack([_share(*span) for span in spans])
    # What goes on beyond the corners is a row of bricks or the edge of a table.
    beyond = np.stack([_share_beyond(*span) for span in spans])
    stand_out = (seen - beyond).mean(0)
    enough = (seen.mean(0) >= _SEEN) & (seen.min(0) >= _SEEN_OF_EACH) & (stand_out >= _STANDS_OUT)
    if not enough.any():
        return None
    best = np.where(enough, stand_out * area**0.25, 0).argmax()
    return np.asarray(corners[best] / scale)


def cut_out(pixels: Pixels, corners: Points) -> Pixels:
    """What lies between the corners of `find_poster`, made straight, in its own size."""
    width, height = (round(float(side)) for side in _size(corners))
    return straightened(pixels, corners, (width, height))


def _edges(pixels: Pixels) -> tuple[Edges, Edges]:
    """Where edges are level and where they are upright, by the colour that is clearest there."""
    smooth = cv2.GaussianBlur(pixels, (5, 5), 0)
    gradients = np.stack([cv2.Sobel(smooth, cv2.CV_16S, 1, 0), cv2.Sobel(smooth, cv2.CV_16S, 0, 1)])
    clearest = (gradients.astype(np.int32) ** 2).sum(0).argmax(-1)
    across, down = np.take_along_axis(gradients, clearest[None, ..., None], -1)[..., 0]
    edges = np.asarray(cv2.Canny(across, down, *_EDGE, L2gradient=True), np.uint8)
    return (
        np.where(abs(down) > 2 * abs(across), edges, 0),
        np.where(abs(across) > 2 * abs(down), edges, 0),
    )


def _lines(edges: Edges) -> Lines:
    """The level lines on which most edges lie, from the top on.

    By the Hough transform (Duda and Hart 1972, https://doi.org/10.1145/361237.361242).
    """
    found = cv2.HoughLinesWithAccumulator(
        edges,
        rho=1,
        theta=math.radians(1),
        threshold=round(_SHORTEST * max(edges.shape)),
        min_theta=math.pi / 2 - _LEAN,
        max_theta=math.pi / 2 + _LEAN,
    )
    distance, angle, votes = np.reshape([] if found is None else found, (-1, 3)).T.astype(float)
    slopes = -np.cos(angle) / np.sin(angle)
    heights = distance / np.sin(angle) + slopes * edges.shape[1] / 2  # in the middle
    longest: list[int] = []
    for line in np.argsort(-votes, stable=True):
        near = abs(heights[longest] - heights[line]) <= _APART[0]
        if not (near & (abs(slopes[longest] - slopes[line]) <= _APART[1])).any():
            longest.append(line)
        if len(longest) == _LINES:
            break
    longest.sort(key=lambda line: heights[line])
    return np.stack([distance / np.sin(angle), slopes], axis=-1)[longest]


def _crossing(upright: Lines, level: Lines) -> Points:
    """Where each of the upright lines (n, 2), which are told by y, meets that of the level ones."""
    (x0, by_y), (y0, by_x) = upright.T, level.T
    y = (y0 + by_x * x0) / (1 - by_x * by_y)
    return np.stack([x0 + by_y * y, y], axis=-1)


def _size(corners: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Width and height between corners (..., 4, 2), each the mean of two sides."""
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=-2), axis=-1)
    return (sides[..., 0] + sides[..., 2]) / 2, (sides[..., 1] + sides[..., 3]) / 2


def _along(edges: Edges, lines: Lines) -> NDArray[np.int64]:
    """How many edges there are on each line, or next to it, left of each x from 0 to the width."""
    wide = np.asarray(cv2.dilate(edges, np.ones((3, 3), np.uint8))) > 0
    height, width = edges.shape
    x = np.arange(width)
    y = np.rint(lines[:, :1] + lines[:, 1:] * x).astype(int)
    on = wide[y.clip(0, height - 1), x] & (y >= 0) & (y < height)
    return np.pad(on, ((0, 0), (1, 0))).cumsum(1)


def _share(
    along: NDArray[np.int64], begins: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each line (n, width + 1) how much has edges between two x."""
    first, last = (np.rint(x).astype(int).clip(0, along.shape[1] - 1) for x in (begins, ends))
    rows = np.arange(len(along))
    share = (along[rows, last] - along[rows, first]) / np.maximum(last - first, 1)
    return np.asarray(share, np.float64)


def _share_beyond(
    along: NDArray[np.int64], begins: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same of a fifth of that length before the first x and after the second."""
    fifth = (ends - begins) / 5
    return (_share(along, begins - fifth, begins) + _share(along, ends, ends + fifth)) / 2
