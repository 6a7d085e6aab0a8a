"""What a user can name as an input: an image file, a folder of them, an IMDb id or URL, a name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from PIL import Image

from poster2plot.errors import InputError
from poster2plot.images.decoding import read_image
from poster2plot.images.limits import IMAGE_SUFFIXES
from poster2plot.images.listing import image_files
from poster2plot.images.releasable_picture import ReleasablePicture
from poster2plot.imdb.finder import PosterFinder
from poster2plot.imdb.ids import looks_like_title
from poster2plot.imdb.poster import Poster
from poster2plot.imdb.search import LONGEST_NAME
from poster2plot.title_prompts import clean_title
from poster2plot.title_reading.reader import read_title

READ_IN_VAIN = "{} is for plots written from titles, and {} turns those off; leave one out."


@dataclass(frozen=True)
class Title:
    """What a poster's title is, cleaned, and who says so.

    That is the user, a look-up by IMDb id, or what is read from the poster itself, which has a
    `confidence`: the probability that this is the title.
    """

    text: str
    source: Literal["given", "IMDb", "read"]
    confidence: float | None = None


@dataclass(frozen=True)
class LoadedPoster:
    """A picture and, where it came by IMDb title, what the service tells of it.

    `given_title` is what the user says its title is, if anything, `printed_title` what is read
    from the poster, if that was asked for, and `reading_failed` whether that could not be done.
    """

    picture: ReleasablePicture
    poster: Poster | None = None
    given_title: str = ""
    printed_title: Title | None = None
    reading_failed: bool = False

    @property
    def image(self) -> Image.Image:
        """The picture, upright RGB."""
        return self.picture.image

    @property
    def title(self) -> Title | None:
        """The title to write from: the given one, else that of the look-up, else the printed."""
        if text := clean_title(self.given_title):
            return Title(text, "given")
        if text := clean_title((self.poster and self.poster.title) or ""):
            return Title(text, "IMDb")
        return self.printed_title

    def with_printed_title(self) -> LoadedPoster:
        """The same with the title read from the poster, where none is known otherwise.

        Takes a fraction of a second. Whatever fails in it costs the title alone and is logged.
        """
        if self.title:
            return self
        read, failed = read_title(self.image)
        text = clean_title(read.title) if read else ""
        title = Title(text, "read", read.confidence) if read and text else None
        return replace(self, printed_title=title, reading_failed=failed)


def expand(inputs: Iterable[str]) -> Iterator[str]:
    """The inputs with every folder replaced by the image files in it, and what may not be read.

    A folder without any stays itself: it is `load` that explains what is wrong with an input.
    """
    for source in inputs:
        try:
            yield from map(str, image_files(Path(source)) if _is_folder(source) else [source])
        except InputError:
            yield source


def load(source: str, finder: PosterFinder, given_title: str = "") -> LoadedPoster:
    """The poster that an input of `expand` names, whose title may be given.

    Raises `InputError`, `ImageError` or `PosterLookupError`.
    """
    if looks_like_title(source):
        return from_title(source, finder, given_title)
    if looks_like_name(source):
        return from_name(source, finder, given_title)
    if _is_folder(source):
        image_files(Path(source))  # raises: there is no poster in it
    return LoadedPoster(
        ReleasablePicture(partial(read_image, Path(source))), given_title=given_title
    )


def looks_like_name(text: str) -> bool:
    """Tell what is meant as the name of a title from a path: there is no such file or folder.

    Something that ends as pictures do, or begins or ends as only paths do, is a path that is wrong.
    """
    if looks_like_title(text) or not any(map(str.isalnum, text)) or len(text) > LONGEST_NAME:
        return False
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        return False
    if text.startswith(("/", "./", "../", "~")) or text.endswith("/"):
        return False
    try:
        return Path(text).suffix.lower() not in IMAGE_SUFFIXES and not Path(text).exists()
    except PermissionError:
        return False
    except OSError:  # longer than a path may be
        return True


def _is_folder(source: str) -> bool:
    try:
        return bool(source) and not looks_like_title(source) and Path(source).is_dir()
    except OSError:  # longer than a path may be
        return False


def from_title(title: str, finder: PosterFinder, given_title: str = "") -> LoadedPoster:
    """The poster of an IMDb id or URL. Raises `PosterLookupError` or `ImageError`."""
    return _of_service(finder.find(title), given_title)


def from_name(name: str, finder: PosterFinder, given_title: str = "") -> LoadedPoster:
    """The poster of the one title that a name clearly means.

    Raises `PosterLookupError`, `AmbiguousNameError` among them, or `ImageError`.
    """
    return _of_service(finder.find_by_name(name), given_title)


def _of_service(poster: Poster, given_title: str) -> LoadedPoster:
    picture = ReleasablePicture(partial(read_image, poster.image_bytes, name=poster.title_id))
    return LoadedPoster(picture, poster, given_title)
