"""From the bytes of a poster to an upright RGB picture, under fixed rules.

Every input ends in one of two ways: a small RGB image, or an error of this package with one
sentence for the user. Pillow's own errors and bomb warnings stay inside.
"""

import io
import math
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile, TiffImagePlugin, TiffTags

from poster2plot.errors import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
    InputError,
    UnsupportedImageError,
)

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000  # width times height, as the header claims them
MAX_INPUT_SIDE = 65_535  # px; what JPEG and GIF can hold, and Pillow spends memory on each row
MAX_SIDE = 1024  # px on the long side of what `read_image` returns
MAX_SCANS = 20  # of a JPEG of `MAX_PIXELS`, smaller ones may have more; encoders write 10 to 18
MAX_SEGMENTS = 2000  # of a JPEG; full ones would fill `MAX_BYTES` with 320
MAX_READ = 100 * 2**20  # what a reader may spend: the bytes it reads, and a price for each look
MAX_TAG_BYTES = 2**20  # of the numbers in one TIFF or EXIF tag

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # Pillow's names; JPEG reads MPO
IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff",
    ".webp",
)  # fmt: skip

_ORIENTATION = 0x0112  # EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# A marker of a JPEG that a length follows; FF 00 and the restart marks belong to the pixels
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_START_OF_SCAN, _END_OF_IMAGE = b"\xda", b"\xd9"


def read_image(source: bytes | Path, *, name: str | None = None) -> Image.Image:
    """Decode a picture to upright RGB, at most `MAX_SIDE` px on its long side.

    The EXIF orientation is applied, transparency is laid on white, deep greys are scaled to
    8 bits, an animation gives its first frame, and no metadata is kept. `name` is how errors
    call the picture; it defaults to the file's name.

    Raises InputError (no such file), UnsupportedImageError (not one of `FORMATS`),
    ImageTooLargeError (over `MAX_BYTES`, `MAX_PIXELS` or `MAX_INPUT_SIDE`) or
    DamagedImageError (empty, cut off, corrupt, or more work than an honest picture).
    """
    if name is None and isinstance(source, Path):
        name = source.name
    # repr keeps a line break or an undecodable byte of a file name out of the message
    label = f"The picture {name!r}" if name else "The picture"
    too_large = ImageTooLargeError(
        f"{label} is too large, as at most {MAX_PIXELS // 10**6} megapixels "
        f"and {MAX_INPUT_SIDE} pixels on a side can be read; make it smaller and try again."
    )

    data = _read_bytes(source, label)
    open_picture = _reader(data)
    if open_picture is None:
        raise UnsupportedImageError(
            f"{label} is not in a format that can be read; "
            f"save it as {', '.join(FORMATS[:-1])} or {FORMATS[-1]} and try again."
        )
    try:
        with _Source(data) as stream, open_picture(stream, "") as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS or max(width, height) > MAX_INPUT_SIDE:
                raise too_large
            # The decoder goes over the whole picture for each scan, even for an empty one
            jpeg = picture.format in {"JPEG", "MPO"}
            if jpeg and width * height * _scans(data) > MAX_PIXELS * MAX_SCANS:
                raise ValueError("more scans than any encoder writes")
            # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size; two times the size that is
            # needed is left for the better filter below. Other formats ignore this.
            picture.draft(None, _fit((width, height), 2 * MAX_SIDE))
            picture.load()
            page = _flatten(_eight_bit(picture), _fit((width, height), MAX_SIDE))
            turn = _turn(picture)
            return page if turn is None else page.transpose(turn)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise too_large from error
    except Exception as error:  # Pillow's decoders raise nearly anything on corrupt data
        raise DamagedImageError(
            f"{label} cannot be decoded because it is cut off or damaged; "
            "download it again or save it anew as JPEG or PNG."
        ) from error


def claimed_pixels(data: bytes) -> int:
    """Width times height as a picture's header gives them, 0 where it gives nothing of use."""
    open_picture = _reader(data)
    if open_picture is None:
        return 0
    try:
        with _Source(data) as stream, open_picture(stream, "") as picture:
            return picture.width * picture.height
    except Exception:  # as in read_image, which then says what is wrong
        return 0


def image_files(folder: Path) -> list[Path]:
    """List the pictures in a folder and below it, by suffix and in natural order (2 before 10).

    Hidden files and folders are skipped. Raises InputError where there is no folder or no picture.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder at {str(folder)!r}; check the path.")
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [child for child in folders if not child.startswith(".")]
        paths = [Path(parent, file) for file in files if not file.startswith(".")]
        found += [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise InputError(
            f"The folder {str(folder)!r} holds no picture; "
            f"put files in it that end in {', '.join(IMAGE_SUFFIXES)}."
        )
    return sorted(found, key=_natural_key)


def _natural_key(path: Path) -> tuple[list[list[str | int]], str]:
    # re.split puts text at even and digits at odd places, so like is compared with like
    parts = [re.split(r"(\d+)", part.casefold()) for part in path.parts]
    return [[int(p) if i % 2 else p for i, p in enumerate(part)] for part in parts], str(path)


def _read_bytes(source: bytes | Path, label: str) -> bytes:
    try:
        if isinstance(source, Path) and not source.is_file():
            raise InputError(f"There is no file at {str(source)!r}; check the path.")
        size = source.stat().st_size if isinstance(source, Path) else len(source)
        if size > MAX_BYTES:
            raise ImageTooLargeError(
                f"{label} is larger than {MAX_BYTES // 2**20} MB; "
                "make it smaller or compress it more and try again."
            )
        data = source.read_bytes() if isinstance(source, Path) else source
    except OSError as error:
        raise InputError(f"{label} cannot be opened; check that you may read the file.") from error
    if not data:
        raise DamagedImageError(f"{label} is empty (0 bytes); download or export it again.")
    return data


def _reader(data: bytes) -> Callable[[IO[bytes], str], ImageFile.ImageFile] | None:
    """Find Pillow's reader by the first bytes; the name's suffix plays no part.

    `Image.open` is passed over because it warns of pictures over 89 megapixels, and silencing a
    warning is not thread-safe, whereas the reader alone gives the size for a check of our own.
    """
    Image.init()
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        # accepts() answers with a text where Pillow was built without the format
        if accepts is not None and accepts(data[:16]) is True:
            # HEIC shares its first bytes with AVIF; only the brands that follow differ
            brands = data[8 : int.from_bytes(data[:4], "big")]
            if name == "AVIF" and not (b"avif" in brands or b"avis" in brands):
                return None
            return factory
    return None


class _Source(io.BytesIO):
    """The bytes, for a reader that gives up where an honest picture would long be read.

    Pillow's readers go through segments, chunks and strips one by one in Python, and 20 MB hold
    millions of empty ones, or thousands that lie over one another.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = MAX_READ

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self._left -= len(piece) + 1024
        if self._left < 0:
            raise ValueError("read over and over")
        return piece


class _Directory(TiffImagePlugin.ImageFileDirectory_v2):
    """A TIFF or EXIF directory without the tags that would become millions of Python numbers."""

    def load(self, fp: IO[bytes]) -> None:
        super().load(fp)
        for tag, data in list(self._tagdata.items()):
            plain = self.tagtype[tag] in {TiffTags.BYTE, TiffTags.ASCII, TiffTags.UNDEFINED}
            if len(data) > MAX_TAG_BYTES and not plain:
                del self._tagdata[tag]


# Each tag of a directory can warn in other words, and would fill the log
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")
# Pillow offers no other way in, as the readers of JPEG and AVIF look into EXIF while they open
TiffImagePlugin.ImageFileDirectory_v2 = _Directory  # type: ignore[misc]


def _scans(data: bytes) -> int:
    """Count a JPEG's scans; raises ValueError where its segments are too many to look at."""
    scans, place = 0, 2
    for _ in range(MAX_SEGMENTS):
        marker = _MARKER.search(data, place)
        if marker is None or marker[1] == _END_OF_IMAGE:
            return scans
        scans += marker[1] == _START_OF_SCAN
        place = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    raise ValueError("more segments than any encoder writes")


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Shrink (width, height) in proportion until the long side is at most `side`, all in px."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Convert any mode to RGB, or to RGBA where something may be transparent."""
    if picture.mode in {"I", "F"} or picture.mode.startswith("I;16"):
        return _deep_grey(picture).convert("RGB")
    if picture.mode == "La":
        picture = picture.convert("LA")  # Pillow knows no direct way from La to RGBA
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def _deep_grey(picture: Image.Image) -> Image.Image:
    """Scale a grey of 16 or 32 bits to L; Pillow's own conversion clips all above 255 to white.

    A 16-bit file means 0 to 65535. Modes I and F do not say what white is: the first of 1
    (F only), 255 and 65535 that no pixel exceeds, and failing that the brightest pixel.
    """
    if picture.mode.startswith("I;16"):
        picture, low, high = picture.convert("I"), 0.0, 65535.0
    else:
        low, high = (float(value) for value in picture.getextrema())  # type: ignore[arg-type]
        if not math.isfinite(high - low):
            raise ValueError("a pixel is infinite or not a number")
        whites = (1.0, 255.0, 65535.0) if picture.mode == "F" else (255.0, 65535.0)
        if low >= 0 and high <= whites[-1]:
            low, high = 0.0, next(white for white in whites if high <= white)
    scale = 255 / ((high - low) or 1)
    offset = 0.5 - low * scale  # a half, because the conversion to L cuts off
    return picture.convert("F").point(lambda value: value * scale + offset).convert("L")


def _flatten(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize RGB or RGBA and lay it on a new white page, which thus has no metadata."""
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    page = Image.new("RGB", size, "white")
    page.paste(picture, mask=picture if picture.mode == "RGBA" else None)
    return page


def _turn(picture: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # the pixels are fine, and a broken EXIF block says nothing to rely on
        return None
