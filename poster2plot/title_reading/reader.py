"""The printed title of a poster, read from its picture."""

from __future__ import annotations

import importlib.util
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from poster2plot.errors import InputError

if TYPE_CHECKING:
    from poster2plot.title_reading.recognition import TextReader
    from poster2plot.title_reading.scoring import Weights

LONGEST_ASPECT = 5.0  # of the longer side to the shorter; what is longer is no poster

_ROMAN = re.compile(r"(?=.)x{0,3}(?:ix|iv|v?i{0,3})\W*", re.IGNORECASE)
_RUN_TOGETHER = re.compile(r"(?<!\bMc)(?<!\bMac)(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-Þ][a-zß-öø-ÿ]{2})")
_QUOTES = '"“”„«»‹›*_~|=· '
_PUNCTUATION = ",.:;-–— "
# In English titles these are not capitalized.
_LOWER = frozenset({"a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or"})
_LOWER |= {"the", "to", "with"}


@dataclass(frozen=True)
class ReadTitle:
    """A title as it is printed, and the probability that this is the title."""

    title: str
    confidence: float


class TitleReader:
    """Reads titles; safe to share between threads.

    The models of text recognition are imported and loaded with the first poster.
    """

    def __init__(self) -> None:
        """Raises `InputError` where the packages for it are missing."""
        if importlib.util.find_spec("rapidocr") is None:
            raise InputError(
                "Reading titles needs more packages; `pip install 'poster2plot[titles]'`."
            )
        self._loading = threading.Lock()
        self._loaded: tuple[TextReader, Weights] | None = None

    def read(self, image: Image.Image) -> ReadTitle | None:
        """The title printed on an upright RGB poster; None where none is read for sure."""
        from poster2plot.title_reading.scoring import best_candidate

        if max(image.size) > LONGEST_ASPECT * min(image.size):
            return None
        text_reader, weights = self._load()
        found = best_candidate(text_reader.read(image), image.height / image.width, weights)
        if found is None or found[1] < weights.threshold:
            return None
        title = as_title(found[0].text)
        return ReadTitle(title, found[1]) if title else None

    def _load(self) -> tuple[TextReader, Weights]:
        with self._loading:
            if self._loaded is None:
                from poster2plot.title_reading.recognition import TextReader
                from poster2plot.title_reading.scoring import Weights

                self._loaded = TextReader(), Weights.read()
            return self._loaded


def as_title(text: str) -> str:
    """Printed words as a title is written: without quotation marks, and not in capitals.

    >>> as_title('"GUYS AND DOLLS" PART II')
    'Guys and Dolls Part II'
    """
    text = " ".join("".join(" " if char in '"“”„«»' else char for char in text).split())
    text = _RUN_TOGETHER.sub(" ", text.strip(_QUOTES).strip(_PUNCTUATION))
    letters = [char for char in text if char.upper() != char.lower()]
    if sum(map(str.isupper, letters)) < 0.7 * len(letters):
        return text
    written = [_as_written(word) for word in text.split(" ")]
    return " ".join([*(word[:1].upper() + word[1:] for word in written[:1]), *written[1:]])


def _as_written(word: str) -> str:
    if _ROMAN.fullmatch(word) or any(map(str.isdigit, word)):
        return word
    if word.lower() in _LOWER:
        return word.lower()
    # Not str.title, which makes "Don'T".
    return re.sub(r"[^\W\d_]+(?:['’][^\W\d_]+)*", lambda found: found[0].capitalize(), word)
