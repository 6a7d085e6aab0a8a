"""From the bytes of a poster to an upright RGB picture, under fixed rules.

Every input ends in one of two ways: a small RGB image, or an error of this package with one
sentence for the user. Pillow's own errors and bomb warnings stay inside.
"""

import math
import threading
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

from PIL import Image

from poster2plot.errors import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
    InputError,
    UnsupportedImageError,
)
from poster2plot.images.limits import (
    FORMATS,
    MAX_BYTES,
    MAX_INPUT_SIDE,
    MAX_PIXELS,
    MAX_SCANS,
    MAX_SIDE,
    GuardedSource,
    Reader,
    TooMuchWorkError,
    count_scans,
    guarded_directories,
    reader_of,
)
from poster2plot.images.repairs import repairs
from poster2plot.images.surroundings import without_surroundings

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


_locks: WeakValueDictionary[int, threading.Lock] = WeakValueDictionary()  # by the picture's id
_finding = threading.Lock()


def read_image(source: bytes | str | Path, *, name: str | None = None) -> Image.Image:
    """Decode a picture to upright RGB, at most `MAX_SIDE` px on its long side.

    The EXIF orientation is applied, transparency is laid on white, deep greys are scaled to
    8 bits, an animation gives its first frame, and no metadata is kept. The bars beside a poster in
    a screenshot are cut off, and a poster that is seen in a photograph is cut out and made straight
    (`images.surroundings`). `source` is the picture's bytes or the path of its file. `name` is how
    errors call the picture; it defaults to the file's name.

    Raises InputError (no such file), UnsupportedImageError (not one of `FORMATS`),
    ImageTooLargeError (over `MAX_BYTES`, `MAX_PIXELS` or `MAX_INPUT_SIDE`, or more work than an
    honest picture) or DamagedImageError (empty, cut off or corrupt). What viewers pass over, such
    as an odd profile or a missing end mark, is passed over (`images.repairs`).
    """
    if isinstance(source, str):
        source = Path(source)
    if name is None and isinstance(source, Path):
        name = source.name
    # repr keeps a line break or an undecodable byte of a file name out of the message
    label = f"The picture {name!r}" if name else "The picture"
    too_large = ImageTooLargeError(
        f"{label} is too large, as at most {MAX_PIXELS // 10**6} megapixels "
        f"and {MAX_INPUT_SIDE} pixels on a side can be read; make it smaller and try again."
    )

    data = _read_bytes(source, label)
    open_picture = reader_of(data)
    if open_picture is None:
        raise UnsupportedImageError(
            f"{label} is not in a format that can be read; "
            f"save it as {', '.join(FORMATS[:-1])} or {FORMATS[-1]} and try again."
        )
    try:
        return without_surroundings(_decode(data, open_picture))
    except (
        _TooLargeError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
        MemoryError,
    ) as error:
        raise too_large from error
    except TooMuchWorkError as error:
        raise ImageTooLargeError(
            f"{label} takes more work to read than any honest picture; save it anew as JPEG or PNG "
            "and try again."
        ) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on corrupt data
        if (repaired := _repaired(data, open_picture)) is not None:
            return without_surroundings(repaired)
        raise DamagedImageError(
            f"{label} cannot be decoded because it is cut off or damaged; "
            "download it again or save it anew as JPEG or PNG."
        ) from error


class _TooLargeError(Exception):
    """By what the header claims."""


def _decode(data: bytes, open_picture: Reader) -> Image.Image:
    with guarded_directories(), GuardedSource(data) as stream, open_picture(stream, "") as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS or max(width, height) > MAX_INPUT_SIDE:
            raise _TooLargeError
        # The decoder goes over the whole picture for each scan, even for an empty one
        jpeg = picture.format in {"JPEG", "MPO"}
        if jpeg and width * height * count_scans(data) > MAX_PIXELS * MAX_SCANS:
            raise TooMuchWorkError("more scans than any encoder writes")
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size; two times the size that is
        # needed is left for the better filter below. Other formats ignore this.
        picture.draft(None, _fit((width, height), 2 * MAX_SIDE))
        picture.load()
        return _upright_rgb(picture)


def _repaired(data: bytes, open_picture: Reader) -> Image.Image | None:
    """The picture that a viewer shows, None where it does not show all of it either."""
    for repair in repairs(data):
        with suppress(Exception):  # as damaged as before
            picture = _decode(repair.data, open_picture)
            if repair.alike is None:
                return picture
            if _decode(repair.alike, open_picture).tobytes() == picture.tobytes():
                return picture
    return None


def read_picture(picture: Image.Image | str | Path) -> Image.Image:
    """What `read_image` makes of a path, or of a picture that is open in Pillow, as a new picture.

    Several threads may read one open picture. Raises as `read_image` for a path, and ImageError for
    an open picture without pixels, or whose pixels cannot be had; `TypeError` for anything else.
    """
    if isinstance(picture, str | Path):
        return read_image(picture)
    if not isinstance(picture, Image.Image):
        raise TypeError(
            "A picture is a path or an image that is open in Pillow, not "
            f"{type(picture).__name__}; read_image decodes bytes."
        )
    width, height = picture.size
    if not width or not height:
        raise ImageError(f"The picture has no pixels, as it measures {width} × {height}.")
    with _finding:
        lock = _locks.setdefault(id(picture), threading.Lock())
    try:
        with lock:  # Pillow reads pixels and EXIF when first asked, and from one place in the file
            return without_surroundings(_upright_rgb(picture), copied_from=picture)
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError(
            "The picture cannot be read because it is closed, cut off or damaged; open it again, "
            "or save it anew as JPEG or PNG."
        ) from error


def _upright_rgb(picture: Image.Image) -> Image.Image:
    page = _flatten(_eight_bit(picture), _fit(picture.size, MAX_SIDE))
    turn = _turn(picture)
    return page if turn is None else page.transpose(turn)


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
