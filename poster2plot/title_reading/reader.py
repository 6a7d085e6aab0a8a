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

from poster2plot.errors import InputError, is_out_of_memory
from poster2plot.images.decoding import read_picture
from poster2plot.title_spelling import cased_letters, title_case

if TYPE_CHECKING:
    from poster2plot.title_reading.recognition import TextReader
    from poster2plot.title_reading.scoring import Weights

LONGEST_ASPECT = 5.0  # of the longer side to the shorter; what is longer is no poster
# Letters of small posters are blurred, and what is misread passes for a title more often. Above the
# threshold of the weights, made for posters 300 pixels wide, 8.6 % of those get a wrong title, but
# 16.9 % of posters 168 pixels wide; above this one 8.9 % do.
SMALL = 250  # pixels of the shorter side
THRESHOLD_WHEN_SMALL = 0.85

_RUN_TOGETHER = re.compile(r"(?<!\bMc)(?<!\bMac)(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-Þ][a-zß-öø-ÿ]{2})")
_QUOTES = '"“”„«»‹›*_~|=· '
_PUNCTUATION = ",.:;-–— "

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
        self._does_not_load = ""  # why

    def read(self, image: Image.Image | str | Path) -> ReadTitle | None:
        """The title printed on a poster, or on that at a path; None where none is read for sure.

        It becomes upright RGB as `read_image` makes it. As many posters are read at once as there
        are processors for; others wait for their turn. Raises `ImportError` where a package does
        not load, `ImageError`, and `InputError` for a path.
        """
        image = read_picture(image)
        if max(image.size) > LONGEST_ASPECT * min(image.size):
            return None
        text_reader, weights = self._load()
        from poster2plot.title_reading.scoring import best_candidate
        from poster2plot.title_reading.words import are_misread

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
            # A package that did not load is half there, and says something else the next time.
            if self._does_not_load:
                raise ImportError(self._does_not_load)
            if self._loaded is None:
                try:
                    from poster2plot.title_reading.recognition import TextReader
                    from poster2plot.title_reading.scoring import Weights
                except ImportError as error:
                    self._does_not_load = str(error)
                    raise
                self._loaded = TextReader(), Weights.read()
            return self._loaded


def _at_once() -> int:
    """How many posters are read at once, each by two threads.

    OMP_NUM_THREADS is what torchrun and Ray give a process of several.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, (int(given) if given.isdecimal() else os.cpu_count() or 1) // 2)


def read_title(image: Image.Image) -> tuple[ReadTitle | None, bool]:
    """The title printed on a poster, by the one reader of this process.

    None where none is read for sure, or where reading fails: a plot can be had without it. Beside
    it, whether reading failed; why it does is logged once.
    """
    try:
        return _reader().read(image), False
    except Exception as error:
        _warn(_why(error))
        return None, True


def reader_version() -> str:
    """What a read title depends on beside the poster: the models and what is learnt of titles.

    Raises `InputError` where the packages for it are missing, or they or the models do not load.
    """
    TitleReader()
    try:
        _reader()._load()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise InputError(_why(error)) from error
    learnt = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.*")):
        if path.suffix in (".json", ".txt"):
            learnt.update(path.read_bytes())
    models = importlib.metadata.version("rapidocr")
    small = f"{THRESHOLD_WHEN_SMALL} below {SMALL}"
    return f"rapidocr {models}, {learnt.hexdigest()[:12]}, {small}"


def _why(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, ImportError):
        return f"Titles cannot be read from posters, as a package does not load ({error})."
    # Only its kind: a message may quote what is on a poster.
    return f"The title of a poster could not be read ({type(error).__name__})."


_once = threading.Lock()  # or two threads would load the models twice, and say the same


def _reader() -> TitleReader:
    with _once:
        return _made()


@functools.cache
def _made() -> TitleReader:
    return TitleReader()


def _warn(sentence: str) -> None:
    with _once:
        _logged(sentence)


@functools.cache
def _logged(sentence: str) -> None:
    logger.warning(sentence)


def as_title(text: str) -> str:
    """Printed words as a title is written: without quotation marks, and not in capitals.

    >>> as_title('"GUYS AND DOLLS" PART II')
    'Guys and Dolls Part II'
    """
    text = " ".join("".join(" " if char in '"“”„«»' else char for char in text).split())
    text = _RUN_TOGETHER.sub(" ", text.strip(_QUOTES).strip(_PUNCTUATION))
    letters = cased_letters(text)
    return text if sum(map(str.isupper, letters)) < 0.7 * len(letters) else title_case(text)
