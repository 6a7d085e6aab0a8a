"""What could be the title of a poster: lines that stand together.

A title may run over several lines, with small words in small letters between the large ones; so
every group of neighbouring lines is a candidate.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from poster2plot.title_reading.text_lines import TextLine
from poster2plot.title_reading.words import words

MOST_LINES = 14  # that are grouped, the tallest ones
MOST_IN_GROUP = 6
MOST_GROUPS = 1500
FAR_APART = 3  # so many of the tallest lines belong together even from far, if they are alike


@dataclass(frozen=True)
class TitleCandidate:
    """Lines in reading order."""

    lines: tuple[TextLine, ...]

    @cached_property
    def text(self) -> str:
        """The lines as one."""
        return " ".join(line.text.strip() for line in self.lines)

    @cached_property
    def words(self) -> list[str]:
        """Its words, made plain."""
        return words(self.text)


def candidates(lines: Sequence[TextLine]) -> list[TitleCandidate]:
    """Every group of up to `MOST_IN_GROUP` neighbours among the tallest lines."""
    tallest = sorted(lines, key=lambda line: -line.height)[:MOST_LINES]
    near = [
        {
            j
            for j, other in enumerate(tallest)
            if j != i
            and (
                are_neighbours(line, other)
                or (max(i, j) < FAR_APART and _are_aligned_alike(line, other))
            )
        }
        for i, line in enumerate(tallest)
    ]
    groups = sorted(_connected(near), key=len)[:MOST_GROUPS]
    found = (
        TitleCandidate(tuple(in_reading_order([tallest[i] for i in group]))) for group in groups
    )
    return [candidate for candidate in found if _has_a_word(candidate)]


def _has_a_word(candidate: TitleCandidate) -> bool:
    """Not a single letter: the corners and edges of anything pass for one."""
    ideographs = sum(unicodedata.category(char) == "Lo" for char in candidate.text)
    return ideographs > 1 or any(len(word) > 1 for word in candidate.words)


def _connected(near: Sequence[set[int]]) -> set[frozenset[int]]:
    found: set[frozenset[int]] = set()
    grown = {frozenset([i]) for i in range(len(near))}
    for _ in range(MOST_IN_GROUP):
        found |= grown
        grown = {
            group | {other}
            for group in grown
            for other in set().union(*(near[i] for i in group)) - group
        }
        if len(found) > MOST_GROUPS:
            break
    return found


def are_neighbours(a: TextLine, b: TextLine) -> bool:
    """Whether two lines stand beside or below each other without much space between."""
    (left, top, right, bottom), (left_b, top_b, right_b, bottom_b) = a.box, b.box
    taller = max(a.height, b.height)
    beside = max(left, left_b) - min(right, right_b)  # negative where one is over the other
    below = max(top, top_b) - min(bottom, bottom_b)
    if beside > 0 and below > 0:
        return beside < 0.3 * taller and below < 0.3 * taller
    return below < 0.8 * taller if beside <= 0 else beside < 1.2 * taller


def _are_aligned_alike(a: TextLine, b: TextLine) -> bool:
    """Whether two lines are as tall, and one is in the middle under the other."""
    middles = [(line.box[0] + line.box[2]) / 2 for line in (a, b)]
    alike = min(a.height, b.height) > 0.8 * max(a.height, b.height)
    return alike and abs(middles[0] - middles[1]) < 0.1


def in_reading_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """From top to bottom, and from left to right among those that stand side by side."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: line.box[1] + line.box[3]):
        _, top, _, bottom = line.box
        for row in rows:
            shared = min(bottom, min(other.box[3] for other in row)) - max(
                top, max(other.box[1] for other in row)
            )
            smallest = min(bottom - top, *(other.box[3] - other.box[1] for other in row))
            if shared > 0.5 * smallest:
                row.append(line)
                break
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.box[0])]
