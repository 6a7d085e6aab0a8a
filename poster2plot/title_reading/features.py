"""What speaks for and against each candidate, in numbers: size, place, words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import fmean

from poster2plot.title_reading.candidates import TitleCandidate, are_neighbours
from poster2plot.title_reading.text_lines import TextLine
from poster2plot.title_reading.words import (
    CREDITS,
    DATES,
    GIVEN_NAMES,
    LABELS,
    SENTENCE,
    SMALL,
    TITLE_WORDS,
    words,
)
from poster2plot.title_spelling import cased_letters

_AS_TALL = 0.75  # of two lines' heights, the smaller to the larger, for them to look alike
_DATE = re.compile(r"\b[0-9]{1,2}[./-][0-9]{1,2}\b")
_SURNAME = re.compile(rf"\b(?:{'|'.join(sorted(GIVEN_NAMES))}) ([^\W\d]{{3,}})")


@dataclass(frozen=True)
class Line:
    """What is asked of a line again and again."""

    line: TextLine
    height: float
    box: tuple[float, float, float, float]
    words: tuple[str, ...]
    letters: int
    case: str

    @classmethod
    def of(cls, line: TextLine) -> Line:
        letters = max(1, sum(map(str.isalnum, line.text)))
        return cls(line, line.height, line.box, tuple(words(line.text)), letters, _case(line.text))

    @cached_property
    def area(self) -> float:
        return self.height * self.line.length


class PosterText:
    """All lines of a poster whose height is `aspect` times its width."""

    def __init__(self, lines: Sequence[TextLine], aspect: float) -> None:
        self.aspect = aspect
        self._lines = {line: Line.of(line) for line in lines}
        self._near = {
            line: [other for other in lines if other is not line and are_neighbours(line, other)]
            for line in lines
        }
        self._tallest = max(each.height for each in self._lines.values())
        self._area = sum(each.area for each in self._lines.values())

    def features(self, candidate: TitleCandidate) -> dict[str, float]:
        """What speaks for and against one candidate of this poster."""
        own = [self._lines[line] for line in candidate.lines]
        others = [each for line, each in self._lines.items() if line not in candidate.lines]
        near_lines = {other for line in candidate.lines for other in self._near[line]}
        near = [each for each in others if each.line in near_lines]
        return {
            **self._size(own, others),
            **self._place(own),
            **_text(candidate, own),
            **_left_out(own, near),
            **_elsewhere(candidate, others),
        }

    def _size(self, own: Sequence[Line], others: Sequence[Line]) -> dict[str, float]:
        tallest = max(each.height for each in own)
        mean = _mean_height(own)
        rest = max((each.height for each in others), default=0.25 * tallest)
        relative = mean / self._tallest
        count = sum(len(each.words) for each in own)
        main = [each.height for each in own if not SMALL.issuperset(each.words)] or [tallest]
        tall = [each for each in self._lines.values() if each.height > 0.6 * tallest]
        return {
            "height of the tallest to all": math.log(tallest / self._tallest),
            "mean height to all": math.log(relative),
            "mean height to the rest": math.log(min(4.0, mean / rest)),
            "mean height": math.log(mean),
            "heights differ": math.log(min(each.height for each in own) / tallest),
            "share of the area": sum(each.area for each in own) / self._area,
            "shortest to the rest": math.log(min(4.0, max(0.25, min(main) / rest))),
            "share of tall letters": sum(each.letters for each in own if each in tall)
            / sum(each.letters for each in tall),
            "alone as tall": float(rest < 0.8 * mean),
            "many words, tall": relative * max(0, count - 4),
            "lines, tall": relative * (len(own) - 1),
            "small letters": math.log1p(
                sum(
                    each.letters
                    for each in own
                    if each.height < 0.5 * tallest and not SMALL.issuperset(each.words)
                )
            ),
        }

    def _place(self, own: Sequence[Line]) -> dict[str, float]:
        left, top = (min(each.box[i] for each in own) for i in (0, 1))
        right, bottom = (max(each.box[i] for each in own) for i in (2, 3))
        middle = (top + bottom) / 2 / self.aspect
        gaps = [_gap(a, b) for a, b in pairwise(own)]
        return {
            "width": right - left,
            "compact": min(
                1.5, sum(each.area for each in own) / max(1e-6, (right - left) * (bottom - top))
            ),
            "ragged": fmean(abs(each.box[0] - left) + abs(right - each.box[2]) for each in own),
            "lines off centre": fmean(
                abs(each.box[0] + each.box[2] - left - right) / 2 for each in own
            ),
            "off centre": abs((left + right) / 2 - 0.5),
            "middle": middle,
            "middle squared": (middle - 0.5) ** 2,
            "gap": max(gaps, default=0.0) / max(each.height for each in own),
            "turned": float(any(each.line.turned for each in own)),
        }


def _text(candidate: TitleCandidate, own: Sequence[Line]) -> dict[str, float]:
    text, found = candidate.text, candidate.words
    letters = sum(each.letters for each in own)
    scores = [each.line.score for each in own]
    cases = {each.case for each in own} - {""}

    longer = [word for word in found if word not in SMALL]
    common = sum(len(word) for word in longer if word in TITLE_WORDS)

    def share(known: frozenset[str]) -> float:
        return sum(word in known for word in found) / max(1, len(found))

    return {
        "lines": len(own) - 1.0,
        "several lines": float(len(own) > 1),
        "words": math.log(max(1, len(found))),
        "many words": max(0.0, len(found) - 4.0),
        "letters": math.log(letters),
        "few letters": float(letters < 3),
        "worst score": min(scores),
        "mean score": fmean(scores),
        "title words": common / max(1, sum(map(len, longer))),
        "other words": math.log1p(sum(word not in TITLE_WORDS for word in longer)),
        "date": float(bool(_DATE.search(text))),
        "credits": share(CREDITS),
        "labels": share(LABELS),
        "dates": share(DATES),
        "sentence": share(SENTENCE),
        "given names": share(GIVEN_NAMES),
        "any given name": float(any(word in GIVEN_NAMES for word in found)),
        "the first": float(found[:1] == ["the"]),
        "small word last": float(len(found) > 1 and found[-1] in SMALL),
        "small words only": float(SMALL.issuperset(found)),
        "small words": share(SMALL),
        "full stop": float(text.rstrip("\"'”’ ")[-1:] in {".", ",", ":", ";", "!", "?", "…"}),
        "quotation": float(text[:1] in "\"“'‘«"),
        "list": float(any(mark in text for mark in ("·", ",", " - ", "•", "/", ";", "&"))),
        "possessive": float("'s " in f"{text.casefold()} "),
        "mixed case": float(len(cases) > 1),
        "lower case": float("lower" in cases),
        "digits": sum(map(str.isdigit, text)) / max(1, len(text)),
        "not Latin": sum(char.isalpha() and ord(char) > 0x24F for char in text) / max(1, len(text)),
    }


def _left_out(own: Sequence[Line], near: Sequence[Line]) -> dict[str, float]:
    """What stands beside a candidate and looks as if it belonged to it, or shows what it is."""
    mean = _mean_height(own)
    bottom = max(each.box[3] for each in own)
    cases = {each.case for each in own}
    alike = [min(each.height / mean, mean / each.height) for each in near]
    return {
        "left out alike": max(alike, default=0.0),
        "left out as wide": float(any(_is_as_wide(own, each) for each in near)),
        "left out alike squared": max(alike, default=0.0) ** 2,
        "left out alike lines": min(
            3.0,
            sum(
                ratio > _AS_TALL and each.case in cases
                for ratio, each in zip(alike, near, strict=True)
            ),
        ),
        "left out small word": float(
            any(
                each.words and SMALL.issuperset(each.words) and each.height > 0.25 * mean
                for each in near
            )
        ),
        "given name near": float(
            any(
                each.words and GIVEN_NAMES.issuperset(each.words) and each.box[1] < bottom
                for each in near
            )
        ),
    }


def _elsewhere(candidate: TitleCandidate, others: Sequence[Line]) -> dict[str, float]:
    """What other lines tell of a candidate's words."""
    text = " ".join(" ".join(each.words) for each in others)
    surnames = set(_SURNAME.findall(text))
    longer = [word for word in candidate.words if len(word) > 3]
    return {
        "surname elsewhere": float(any(word in surnames for word in longer)),
        "again elsewhere": sum(word in text for word in longer) / max(1, len(longer)),
    }


def _is_as_wide(own: Sequence[Line], other: Line) -> bool:
    """Whether a line begins and ends where lines above or below it do."""
    left, right = min(each.box[0] for each in own), max(each.box[2] for each in own)
    return abs(other.box[0] - left) < 0.05 and abs(other.box[2] - right) < 0.05


def _mean_height(own: Sequence[Line]) -> float:
    """That of the letters."""
    return sum(each.height * each.letters for each in own) / sum(each.letters for each in own)


def _gap(a: Line, b: Line) -> float:
    """The space between two lines from top to bottom."""
    return max(0.0, max(a.box[1], b.box[1]) - min(a.box[3], b.box[3]))


def _case(text: str) -> str:
    """ "upper", "lower" or "mixed"; empty where a text has no case."""
    letters = cased_letters(text)
    if not letters:
        return ""
    if all(map(str.isupper, letters)):
        return "upper"
    return "mixed" if any(map(str.isupper, letters)) else "lower"
