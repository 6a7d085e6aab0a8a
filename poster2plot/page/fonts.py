"""Fonts for pictures: the page's own, and for scripts that it lacks those of the machine."""

import subprocess
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import streamlit as st
from PIL import ImageFont, features

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
FontOfSize = Callable[[int], Font]  # in px

_OWN = "static/static/media/SourceSansVF-Upright.*"  # of Streamlit
_SHAPED = {"R", "AL", "NSM"}  # right to left, or a mark at a letter: bidirectional classes
_PATIENCE = 10  # seconds; fontconfig looks through the machine's fonts when it is first asked


def page_font(size: int, weight: str) -> Font:
    """The page's own, with Latin, Greek and Cyrillic letters, else Pillow's, with ASCII alone."""
    for path in Path(st.__file__).parent.glob(_OWN):
        with suppress(OSError):
            font = ImageFont.truetype(path, size)
            font.set_variation_by_name(weight)
            return font
    return ImageFont.load_default(size)


def bold_font_for(text: str) -> FontOfSize | None:
    """The page's own font if it can write a text, else one of the machine's, else None."""
    own = partial(page_font, weight="Bold")
    if _can_write(own, text):
        return own
    is_shaped = any(unicodedata.bidirectional(char) in _SHAPED for char in text)
    if is_shaped and not (features.check("raqm") and features.check("fribidi")):
        return None  # it would come out backwards, or with its letters apart
    found = _of_machine(text)
    return found if found and _can_write(found, text) else None


def is_right_to_left(text: str) -> bool:
    """Whether the first letter says so, as browsers have it for `dir="auto"`."""
    classes = (unicodedata.bidirectional(char) for char in text)
    return next((each for each in classes if each in ("L", "R", "AL")), "L") != "L"


def _can_write(font_of_size: FontOfSize, text: str) -> bool:
    try:
        font = font_of_size(20)
    except OSError:  # a kind that FreeType does not scale, like coloured emoji
        return False
    box = bytes(font.getmask("\uffff"))  # what stands for a character that is not in the font
    return all(char.isspace() or bytes(font.getmask(char)) != box for char in text)


def _of_machine(text: str) -> FontOfSize | None:
    """What fontconfig, where there is one, has for the letters of a text."""
    letters = " ".join(sorted({f"{ord(char):x}" for char in text if not char.isspace()}))
    pattern = f":charset={letters}:bold:scalable=true:color=false:variable=false"
    command = ["fc-match", "--format=%{index} %{file}", pattern]
    try:
        answer = subprocess.run(  # noqa: S603  (of the text only hexadecimal numbers are in it)
            command, capture_output=True, check=True, text=True, timeout=_PATIENCE
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    index, _, path = answer.partition(" ")
    return partial(ImageFont.truetype, path, index=int(index)) if path else None
