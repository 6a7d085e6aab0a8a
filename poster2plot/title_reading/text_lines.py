"""Lines of text on a poster: where each stands, and which of several readings of it is kept."""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Corners = tuple[tuple[float, float], ...]  # top left, top right, bottom right, bottom left

LOWEST_SCORE = 0.6  # of a line's recognition; below it texture passes for letters
LOWEST_IDEOGRAPHS = 0.9  # the same for one or two ideographs, which texture resembles more
COVERED = 0.5  # of a line's area, by another reading of the same letters
SAME_SIZE = 0.4  # the height of one reading to the other's; else they are not the same letters


@dataclass(frozen=True, eq=False)
class TextLine:
    """A line as it was recognized; all lengths are in widths of the poster.

    `scale` is the shorter side, in pixels, of the picture in which it was detected.
    """

    text: str
    score: float  # mean probability of its characters
    corners: Corners
    turned: bool  # by a quarter, so that it reads upwards or downwards
    scale: int

    @property
    def height(self) -> float:
        """Height of the letters."""
        top_left, top_right, _, bottom_left = self.corners
        return math.dist(top_left, top_right if self.turned else bottom_left)

    @property
    def length(self) -> float:
        """From the first letter to the last."""
        top_left, top_right, _, bottom_left = self.corners
        return math.dist(top_left, bottom_left if self.turned else top_right)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the upright box around it."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def one_reading(lines: Iterable[TextLine]) -> list[TextLine]:
    """The lines without noise, and without those that stand where better ones do.

    Small letters are read better in a large picture, very large ones in a small one. Of the
    readings of a place that of most letters, most surely read, is kept, be it one line or several.
    """
    left = sorted(filter(is_text, lines), key=lambda line: line.scale)
    for line in list(left):  # from the smallest picture on, so that one of two always stays
        if _worth(line) < _worth_of_parts(line, left):
            left.remove(line)
    kept: list[TextLine] = []
    for line in sorted(left, key=_worth, reverse=True):
        others = [other for other in kept if other.scale != line.scale]
        if not any(are_readings_of_the_same(line, other) for other in others):
            kept.append(line)
    return kept


def is_text(line: TextLine) -> bool:
    """Whether a line is letters rather than texture."""
    letters = [char for char in line.text if char.isalnum()]
    ideographs = sum(unicodedata.category(char) == "Lo" for char in letters)
    if not letters or line.height <= 0:
        return False
    if ideographs and len(letters) <= 2:
        return line.score >= LOWEST_IDEOGRAPHS
    return line.score >= LOWEST_SCORE


def are_readings_of_the_same(line: TextLine, other: TextLine) -> bool:
    """Whether one line has the letters of the other, or some of them."""
    return _is_part(line, other) or _is_part(other, line)


def _worth(line: TextLine) -> float:
    # A large picture keeps lines and words apart that run together in a small one.
    return (line.score - 0.5) * sum(map(str.isalnum, line.text)) * math.sqrt(line.scale)


def _worth_of_parts(line: TextLine, lines: Sequence[TextLine]) -> float:
    """That of the best other scale's reading of what one line is here."""
    parts: dict[int, float] = defaultdict(float)
    for other in lines:
        if other.scale != line.scale and _is_part(other, line):
            parts[other.scale] += _worth(other)
    return max(parts.values(), default=0.0)


def _is_part(part: TextLine, whole: TextLine) -> bool:
    """Whether two lines may be readings of the same letters, the first of no more than the second.

    Small print between the letters of a large word is not a part of it.
    """
    if min(part.height, whole.height) <= SAME_SIZE * max(part.height, whole.height):
        return False
    own, other = (np.array(line.corners, np.float32) for line in (part, whole))
    shared, _ = cv2.intersectConvexConvex(own, other)
    return shared > COVERED * cv2.contourArea(own)
