"""What a picture may be: formats, sizes, and how much work its reader may make.

Pillow's readers are guarded against pictures that are small on the disk and endless in the making.
"""

import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import IO, Any

from PIL import Image, ImageFile, TiffImagePlugin, TiffTags

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

# A marker of a JPEG that a length follows; FF 00 and the restart marks belong to the pixels
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_START_OF_SCAN, _END_OF_IMAGE = b"\xda", b"\xd9"


def claimed_pixels(data: bytes) -> int:
    """Width times height as a picture's header gives them, 0 where it gives nothing of use."""
    open_picture = reader_of(data)
    if open_picture is None:
        return 0
    try:
        with (
            guarded_directories(),
            GuardedSource(data) as stream,
            open_picture(stream, "") as picture,
        ):
            return picture.width * picture.height
    except Exception:  # as in read_image, which then says what is wrong
        return 0


Reader = Callable[[IO[bytes], str], ImageFile.ImageFile]


def reader_of(data: bytes) -> Reader | None:
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


class TooMuchWorkError(ValueError):
    """A picture asks for more than an honest one does."""


class GuardedSource(io.BytesIO):
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
            raise TooMuchWorkError("read over and over")
        return piece


_lock = threading.Lock()
_inside = 0  # threads in `guarded_directories`
_here = threading.local()  # `guarded` is there in these threads
_originals: dict[tuple[Any, str], Any] = {}


@contextmanager
def guarded_directories() -> Iterator[None]:
    """Here TIFF and EXIF directories lack tags of very many numbers, and do not warn.

    Pillow offers no other way in, as its readers of JPEG and AVIF look into EXIF while they open.
    Other threads notice nothing, and Pillow is as it was when the last thread leaves.
    """
    global _inside
    with _lock:
        if not _inside:
            _guard_pillow()
        _inside += 1
    _here.guarded = True
    try:
        yield
    finally:
        del _here.guarded
        with _lock:
            _inside -= 1
            if not _inside:
                for (owner, name), original in _originals.items():
                    setattr(owner, name, original)


def _guard_pillow() -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2
    load, warnings = directory.load, vars(TiffImagePlugin)["warnings"]

    def guarded_load(self: Any, fp: IO[bytes]) -> None:
        load(self, fp)
        for tag, data in list(self._tagdata.items()) if hasattr(_here, "guarded") else ():
            plain = self.tagtype[tag] in {TiffTags.BYTE, TiffTags.ASCII, TiffTags.UNDEFINED}
            if len(data) > MAX_TAG_BYTES and not plain:
                del self._tagdata[tag]  # each of its numbers would be an object

    def warn(message: str) -> None:
        if not hasattr(_here, "guarded"):  # each tag can warn in other words, and fill the log
            warnings.warn(message, stacklevel=2)

    _originals.update({(directory, "load"): load, (TiffImagePlugin, "warnings"): warnings})
    directory.load = guarded_load  # type: ignore[method-assign]
    setattr(TiffImagePlugin, "warnings", SimpleNamespace(warn=warn))  # noqa: B010  # for mypy


def count_scans(data: bytes) -> int:
    """Count a JPEG's scans; raises `TooMuchWorkError` for more segments than can be looked at."""
    scans, place = 0, 2
    for _ in range(MAX_SEGMENTS):
        marker = _MARKER.search(data, place)
        if marker is None or marker[1] == _END_OF_IMAGE:
            return scans
        scans += marker[1] == _START_OF_SCAN
        place = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    raise TooMuchWorkError("more segments than any encoder writes")
