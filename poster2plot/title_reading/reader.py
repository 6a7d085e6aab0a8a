"""The printed title of a poster, read from its picture."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from poster2plot.errors import InputError

if TYPE_CHECKING:
    from poster2plot.title_reading.recognition import TextReader
    from poster2plot.title_reading.scoring import Weights

LONGEST_ASPECT = 5.0  # of the longer side to the shorter; what is longer is no poster
# Letters of small posters are blurred, and what is misread passes for a title more often. Above the
# threshold of the weights, made for posters 300 pixels wide, 8.6 % of those get a wrong title, but
# 16.9 % of posters 168 pixels wide; above this one 8.9 % do.
SMALL = 250  # pixels of the shorter side
THRESHOLD_WHEN_SMALL = 0.85

_ROMAN = re.compile(r"(?=.)x{0,3}(?:ix|iv|v?i{0,3})\W*", re.IGNORECASE)
_RUN_TOGETHER = re.compile(r"(?<!\bMc)(?<!\bMac)(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-Þ][a-zß-öø-ÿ]{2})")
_QUOTES = '"“”„«»‹›*_~|=· '
_PUNCTUATION = ",.:;-–— "
# In English titles these are not capitalized.
_LOWER = frozenset({"a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or"})
_LOWER |= {"the", "to", "with"}

logger = logging.getLogger(__name__)


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
        self._turns = threading.BoundedSemaphore(_at_once())
        self._loaded: tuple[TextReader, Weights] | None = None

    def read(self, image: Image.Image) -> ReadTitle | None:
        """The title printed on an upright RGB poster; None where none is read for sure.

        As many posters are read at once as there are processors for; others wait for their turn.
        """
        from poster2plot.title_reading.scoring import best_candidate
        from poster2plot.title_reading.words import are_misread

        if max(image.size) > LONGEST_ASPECT * min(image.size):
            return None
        text_reader, weights = self._load()
        with self._turns:
            lines = text_reader.read(image)
        found = best_candidate(lines, image.height / image.width, weights)
        threshold = weights.threshold
        if min(image.size) < SMALL:
            threshold = max(threshold, THRESHOLD_WHEN_SMALL)
        if found is None or found[1] < threshold or are_misread(found[0].words):
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


def _at_once() -> int:
    """How many posters are read at once, each by two threads.

    OMP_NUM_THREADS is what torchrun and Ray give a process of several.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, (int(given) if given.isdecimal() else os.cpu_count() or 1) // 2)


def read_title(image: Image.Image) -> ReadTitle | None:
    """The title printed on an upright RGB poster, by the one reader of this process.

    None where none is read for sure, or where reading fails: a plot can be had without it. Why it
    fails is logged once.
    """
    try:
        with _making:
            reader = _reader()
        return reader.read(image)
    except InputError as error:
        _warn(str(error))
    except ImportError as error:
        _warn(f"Titles cannot be read from posters, as a package does not load ({error}).")
    except Exception as error:  # only its kind: a message may quote what is on a poster
        _warn(f"The title of a poster could not be read ({type(error).__name__}).")
    return None


def reader_version() -> str:
    """What a read title depends on beside the poster: the models and what is learnt of titles.

    Raises `InputError` where the packages for it are missing.
    """
    TitleReader()
    learnt = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.*")):
        if path.suffix in (".json", ".txt"):
            learnt.update(path.read_bytes())
    models = importlib.metadata.version("rapidocr")
    small = f"{THRESHOLD_WHEN_SMALL} below {SMALL}"
    return f"rapidocr {models}, {learnt.hexdigest()[:12]}, {small}"


_making = threading.Lock()  # or two threads would load the models twice


@functools.cache
def _reader() -> TitleReader:
    return TitleReader()


@functools.cache
def _warn(sentence: str) -> None:
    logger.warning(sentence)


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
