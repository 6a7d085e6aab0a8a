"""How many titles are read right, wrong, or not at all."""

import csv
import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from poster2plot.title_reading.words import words

LONGER = 4  # letters of a word that counts
FOUND = 0.6  # share of the longer words for a title to be right
STRAY = 1  # words that it may have beside its own
SIMILAR_WORD = 0.8  # ratio of two words that differ by a letter misread


class Verdict(StrEnum):
    """What became of a poster's title."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"


@dataclass(frozen=True)
class Reading:
    """A title that was read; `read` is empty where there was none."""

    id: str
    titles: tuple[str, ...]  # of which any may be printed
    read: str
    confidence: float

    @property
    def verdict(self) -> Verdict:
        """Whether it is one of the titles."""
        if not self.read:
            return Verdict.NONE
        right = any(is_right(self.read, title) for title in self.titles)
        return Verdict.RIGHT if right else Verdict.WRONG


def is_right(read: str, title: str) -> bool:
    """Whether `FOUND` of the title's longer words were read, and no more than `STRAY` others.

    Words that run together count, and so do those with a letter misread.
    """
    own, found = words(title), words(read)
    if not own or not found:
        return False
    together, title_together = "".join(found), "".join(own)
    if together == title_together:
        return True
    longer = [word for word in own if len(word) >= LONGER] or own

    def was_read(word: str) -> bool:
        if (len(word) >= LONGER and word in together) or word in found:
            return True
        return any(_ratio(word, other) >= SIMILAR_WORD for other in found)

    def is_stray(word: str) -> bool:
        if (len(word) >= LONGER - 1 and word in title_together) or word in own:
            return False
        runs = ("".join(own[i:j]) for i in range(len(own)) for j in range(i + 1, len(own) + 1))
        return not any(_ratio(run, word) >= SIMILAR_WORD for run in runs)

    share = sum(map(was_read, longer)) / len(longer)
    return share >= FOUND and sum(map(is_stray, found)) <= STRAY


def likeness(read: str, title: str) -> float:
    """How alike two titles are, from 0 to 1, letter by letter."""
    return _ratio(" ".join(words(read)), " ".join(words(title)))


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()


def table(readings: Iterable[Reading]) -> str:
    """Right, wrong and none in Markdown."""
    counts = Counter(reading.verdict for reading in readings)
    total = max(1, counts.total())
    rows = [f"| {each} | {counts[each]} | {counts[each] / total:.1%} |" for each in Verdict]
    return "\n".join([f"| of {counts.total()} titles | | |", "|---|---|---|", *rows])


def list_of(readings: Iterable[Reading]) -> str:
    """Each title and what was read in Markdown, the surest first."""
    rows = [
        f"| {each.titles[0]} | {each.read} | {each.confidence:.2f} | {each.verdict} |"
        for each in sorted(readings, key=lambda each: -each.confidence)
    ]
    return "\n".join(["| title | read | confidence | |", "|---|---|---|---|", *rows])


def save(readings: Sequence[Reading], path: Path) -> None:
    """Write the titles, what was read, and the verdicts as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "title", "read", "confidence", "verdict"])
        for each in readings:
            writer.writerow(
                [each.id, each.titles[0], each.read, f"{each.confidence:.3f}", each.verdict]
            )
