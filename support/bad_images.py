"""Pictures that a visitor might send, sound, odd and hostile, all drawn and encoded on the spot.

`quick_cases` and `slow_cases` give `(name, bytes)`, the name as "family/case"; the two are apart
because the slow ones take seconds to encode or to decode. Nothing is random but the seeded noise,
so that a name always means the same bytes, but for the time of day in PDF and moving AVIF.
"""

import base64
import io
import random
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from PIL import Image

from poster2plot.images.limits import FORMATS, MAX_BYTES, MAX_INPUT_SIDE

Case = tuple[str, bytes]
Colour = Any  # a number or a tuple, as the mode wants it

LEFT, RIGHT = (200, 60, 30), (30, 90, 200)
SIZE = (48, 32)
MODES = (
    "1", "L", "P", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA",
    "La", "PA", "I;16", "I;16L", "I;16B",
)  # fmt: skip
LARGEST = {
    "JPEG": (7142, 7000), "PNG": (7142, 7000), "WEBP": (7142, 7000), "GIF": (7142, 7000),
    "BMP": (2900, 2400), "TIFF": (2900, 2400), "AVIF": (7142, 7000),
}  # fmt: skip  # these BMP and TIFF are not compressed, and 20 MB hold no more
# avif_header(8, 8, (12_000, 12_000)), which takes a minute to encode
TALL_TALE = (
    "c-muNU{FXasVqn=%S>Yc0uY^>nP!-qnV9D5Xy^nKdYzkElE?r7iWw<6MNl?FL1uCZ0~+8f$SlbPvlxL`E;A=T8N_h`@fjh"
    "ajKT~IY!yJZMrLMS8eFXukdw*;<t3IG7&_<Y<b&<X$}A`<0Mg!>1<Cn9S|qc$AQfsK2NVkwWL9K?1eiHEKzyFWGDGJ^c^;"
    "6EaB_Z5QC@OR1<+((2DS#Eka%W6F3e9rhp{j+HM0O+)sUN#SR%y0#V!9m@BZ%EMNCq>97fN01RNPxIWSZL)h3-krLpKlXU"
    "5&BTCd)p>VKWF?VnhKUj4@^^)7}GW~X`CFL&&ouh-vu_|1c99FpH2idq-vai)Bm_G{wi=X0&&ANXiID&u^%Mc#4xl)3&}b"
    "kpQ^hga|y%qliqpQY>U@U~2Id)K6t^QT;bnYGubOjv5%T>IeCbDQMNijxYKMQZkXT~Mu*HShei;Z<}A@6rwPJA*DJ&w47e"
    "@cy<ZiW?3t$oVCdvfYRy#((-vvrqSXa^|qca($g)$34Tr*HAsJ+SO$1LznuLwA=H#-6jl9TVDDZ7A;<AdwG%m$3qW%LV}f"
    "KZ=VzHepbM?D$sB3jQ_`yl^({4y=-1mIjtbnY+{wZifepCVZ%rcvC()LjhDd~FYd$27CJ;r4FKY>NgM"
)


# Tools


def halves(
    size: tuple[int, int] = SIZE, left: Colour = LEFT, right: Colour = RIGHT, mode: str = "RGB"
) -> Image.Image:
    picture = Image.new(mode, size, left)
    picture.paste(right, (size[0] // 2, 0, *size))
    return picture


def noise(size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.frombytes("RGB", size, random.Random(0).randbytes(3 * size[0] * size[1]))


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    if kind == "AVIF":
        options = {"speed": 10, "quality": 95} | options
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def frames(count: int, size: tuple[int, int] = SIZE) -> list[Image.Image]:
    """Frames that all differ, as encoders merge those that do not."""
    return [Image.new("RGB", size, (i % 256, i // 256, 255 * (i % 2))) for i in range(count)]


def animation(kind: str, count: int, size: tuple[int, int] = SIZE, **options: Any) -> bytes:
    first, *rest = frames(count, size)
    return encode(first, kind, save_all=True, append_images=rest, **options)


def png(
    width: int,
    height: int,
    depth: int = 8,
    colour: int = 2,
    rows: bytes = b"",
    extra: bytes = b"",
    interlace: int = 0,
) -> bytes:
    """A PNG by hand: `rows` are raw scanlines with their filter byte, `extra` more chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + body


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff(
    width: int,
    height: int,
    samples: bytes,
    tags: Iterable[tuple[int, int | tuple[int, ...]]] = (),
    bits: int = 8,
    photometric: int = 1,
    sample_format: int = 1,
    order: str = "<",
) -> bytes:
    """An uncompressed TIFF by hand, for kinds that Pillow reads but does not write."""
    entries: dict[int, int | tuple[int, ...]] = {
        0x0100: width, 0x0101: height, 0x0102: bits, 0x0103: 1, 0x0106: photometric, 0x0111: 0,
        0x0115: 1, 0x0116: height, 0x0117: len(samples), 0x0153: sample_format, **dict(tags),
    }  # fmt: skip
    offset = 8 + 2 + 12 * len(entries) + 4
    if entries[0x0111] == 0:
        entries[0x0111] = offset + 64
    tail = b""
    rows = b""
    for tag, value in sorted(entries.items()):
        if isinstance(value, tuple):
            packed = struct.pack(f"{order}{len(value)}H", *value)
            if len(packed) > 4:
                where, tail = offset + len(tail), tail + packed
                packed = struct.pack(f"{order}I", where)
            rows += struct.pack(f"{order}HHI", tag, 3, len(value)) + packed.ljust(4, b"\0")
        else:
            rows += struct.pack(f"{order}HHII", tag, 4, 1, value)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(f"{order}I", 8) + struct.pack(f"{order}H", len(entries))
    return head + rows + bytes(4) + tail.ljust(64, b"\0") + samples


def directory(entries: Iterable[tuple[int, int, int, int]], after: int = 0) -> bytes:
    """A TIFF's bytes up to the end of its one directory of (tag, type, count, value or place)."""
    rows = [struct.pack("<HHII", *entry) for entry in sorted(entries)]
    start = b"II*\0" + struct.pack("<IH", 8, len(rows))
    return start + b"".join(rows) + struct.pack("<I", after)


def grey_tiff(
    width: int, height: int, more: Iterable[tuple[int, int, int, int]], data: bytes
) -> bytes:
    """An 8-bit grey TIFF of 14 entries or fewer; `data` begins at byte 512."""
    basis = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)]
    return directory([*basis, (262, 3, 1, 1), *more]).ljust(512, b"\0") + data


def segment(marker: int, data: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def with_segments(segments: bytes, jpeg: bytes | None = None) -> bytes:
    jpeg = encode(halves(), "JPEG") if jpeg is None else jpeg
    return jpeg[:2] + segments + jpeg[2:]


def gif_header(width: int, height: int, frame: tuple[int, int]) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x4c\x01\0;"


def with_extensions(blocks: bytes) -> bytes:
    gif = encode(halves(), "GIF")
    start = 13 + (3 << (gif[10] % 8 + 1))  # after the palette
    return gif[:start] + blocks + gif[start:]


def jpeg_header(width: int, height: int, **options: Any) -> bytes:
    data = bytearray(encode(Image.new("RGB", (8, 8)), "JPEG", **options))
    start = data.index(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_header(width: int, height: int, bits: int = 24, compression: int = 0) -> bytes:
    info = struct.pack("<IiiHHIIIIII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def webp_header(width: int, height: int) -> bytes:
    data = bytearray(animation("WEBP", 2, (8, 8)))
    assert data[12:16] == b"VP8X"  # an animation's canvas may be larger than its frames
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def avif_header(width: int, height: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """An AVIF that claims one size in its `ispe` box and has another in its AV1 frame."""
    data = bytearray(encode(Image.new("RGB", size, LEFT), "AVIF"))
    start = data.index(b"ispe") + 8
    data[start : start + 8] = struct.pack(">II", width, height)
    return bytes(data)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP"
    for kind, data in chunks:
        body += kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_with(kind: bytes, data: bytes) -> bytes:
    """A lossless WebP with one chunk of metadata."""
    flag = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}[kind]
    pixels = encode(halves(), "WEBP", lossless=True)[20:]
    head = struct.pack("<I", flag) + b"".join((side - 1).to_bytes(3, "little") for side in SIZE)
    extra, picture = (kind, data), (b"VP8L", pixels)
    return riff((b"VP8X", head), *((extra, picture) if kind == b"ICCP" else (picture, extra)))


def with_exif(kind: str, block: bytes) -> bytes:
    """A picture with an EXIF block that an encoder would look into and refuse."""
    if kind == "JPEG":
        return with_segments(segment(0xE1, b"Exif\0\0" + block))
    if kind == "PNG":
        return png(2, 2, 8, 2, bytes(14), chunk(b"eXIf", block))
    if kind == "WEBP":
        return webp_with(b"EXIF", block)
    sound = directory([]).ljust(max(len(block), 14), b"?")
    return encode(halves(), kind, exif=sound).replace(sound, block.ljust(14, b"\0"))


def oriented(kind: str, orientation: int) -> bytes:
    return with_exif(kind, directory([(0x0112, 3, 1, orientation)]))


# Cases


def quick_cases() -> Iterator[Case]:
    """Cases that are encoded and decoded in milliseconds."""
    families = {
        "modes": _modes, "orientations": _orientations, "animations": _animations,
        "refused formats": _refused, "cut off": _cut, "tiny": _tiny, "thin": _thin,
        "disguised": _disguised, "polyglots": _polyglots, "size bombs": _size_bombs,
        "odd metadata": _odd_metadata,
    }  # fmt: skip
    for family, make in families.items():
        for name, data in make():
            yield f"{family}/{name}", data


def slow_cases() -> Iterator[Case]:
    """Cases near the limits on bytes and pixels."""
    families = {
        "largest": _largest, "at the limit": _at_the_limit, "frame bombs": _frame_bombs,
        "metadata bombs": _metadata_bombs, "work bombs": _work_bombs,
    }  # fmt: skip
    for family, make in families.items():
        for name, data in make():
            yield f"{family}/{name}", data


def _modes() -> Iterator[Case]:
    picture = halves()
    for kind in FORMATS:
        for mode in MODES:
            try:
                # LAB and La have no way from RGB but these
                step = picture.convert("LA") if mode == "La" else picture
                step = step.convert("L") if mode.startswith("I;16") else step
                step = step.convert("RGBA") if mode == "RGBa" else step
                step = step.convert(mode)
                step.info.clear()  # LAB has a profile in it with the time of day
                yield f"{kind} {mode}", encode(step, kind)
            except (OSError, ValueError):
                continue  # the format has no such mode
    for depth in (1, 2, 4, 8, 16, 32):  # 32 and many of the pairs are not PNG's
        for colour in range(7):
            for interlace in (0, 1):
                extra = chunk(b"PLTE", bytes(range(6))) if colour == 3 else b""
                rows = bytes(1 + 8 * depth * 4) * 16
                yield (
                    f"PNG depth {depth} colour {colour} interlace {interlace}",
                    png(8, 8, depth, colour, rows, extra, interlace),
                )
    for bits in (1, 2, 4, 8, 12, 16, 32, 64):
        for photometric in (0, 1, 2, 3, 5, 6, 8, 9, 32803):
            for sample_format in (1, 2, 3):
                yield (
                    f"TIFF {bits} bits photometric {photometric} sample format {sample_format}",
                    tiff(8, 8, bytes(4096), (), bits, photometric, sample_format),
                )
    for samples in range(7):
        tags: dict[int, int | tuple[int, ...]] = {0x0115: samples, 0x0102: (8,) * (samples or 1)}
        for planar in (1, 2):
            yield (
                f"TIFF {samples} samples planar {planar}",
                tiff(8, 8, bytes(4096), {**tags, 0x011C: planar}.items(), photometric=2),
            )
    for name in ("tiff_ccitt", "group3", "group4"):
        yield f"TIFF {name}", encode(picture.convert("1"), "TIFF", compression=name)
    for name in ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "jpeg", "packbits", "lzma",
                 "zstd"):  # fmt: skip
        try:
            yield f"TIFF {name}", encode(picture, "TIFF", compression=name)
        except OSError:
            continue  # libtiff was built without it
    for bits in (1, 2, 4, 8, 16, 24, 32, 48, 64):
        for compression in range(7):
            yield (
                f"BMP {bits} bits compression {compression}",
                bmp_header(8, 8, bits, compression) + bytes(1024),
            )
    for options in (
        {"progressive": True}, {"subsampling": 0}, {"subsampling": 2}, {"quality": 1},
        {"quality": 100}, {"restart_marker_blocks": 1}, {"optimize": True},
    ):  # fmt: skip
        yield f"JPEG {options}", encode(picture, "JPEG", **options)
    for options in ({"lossless": True}, {"quality": 0}, {"exact": True, "lossless": True}):
        yield f"WEBP {options}", encode(picture.convert("RGBA"), "WEBP", **options)
    for subsampling in ("4:0:0", "4:2:0", "4:2:2", "4:4:4"):
        yield f"AVIF {subsampling}", encode(picture, "AVIF", subsampling=subsampling)


def _orientations() -> Iterator[Case]:
    for kind in ("JPEG", "PNG", "WEBP", "AVIF"):
        for orientation in (*range(10), 255, 65_535):
            yield f"{kind} {orientation}", oriented(kind, orientation)
    for orientation in (*range(10), 255, 65_535):
        yield f"TIFF {orientation}", tiff(8, 8, bytes(64), {0x0112: orientation}.items())


def _animations() -> Iterator[Case]:
    for kind in ("GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO"):
        for count in (2, 5):
            yield f"{kind} {count} frames", animation(kind, count)
    for disposal in range(4):
        yield f"GIF disposal {disposal}", animation("GIF", 3, disposal=disposal)
        yield (
            f"PNG disposal {disposal % 3}, blend {disposal // 3}",
            animation("PNG", 3, disposal=disposal % 3, blend=disposal // 3),
        )
    control = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield "PNG claims two thousand million frames", png(4, 4, 8, 0, bytes(5) * 4, control)
    yield "PNG claims no frame", png(4, 4, 8, 0, bytes(5) * 4, chunk(b"acTL", bytes(8)))


def _refused() -> Iterator[Case]:
    Image.init()
    for kind in sorted(set(Image.SAVE) - {*FORMATS, "MPO"}):
        for mode in ("RGB", "L", "1", "RGBA", "P", "F"):
            try:
                yield f"{kind}", encode(halves((64, 64)).convert(mode), kind)
            except Exception:  # each plugin has its own way to say no
                continue
            break
    yield from {
        "PSD": b"8BPS\0\1" + bytes(60),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "SVG with a declaration": b'<?xml version="1.0"?><svg width="9" height="9"/>',
        "SVG with an entity bomb": b'<!DOCTYPE svg [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><svg/>',
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60),
        "HEIF": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(60),
        "MP4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(60),
        "JPEG XL": b"\xff\x0a" + bytes(60),
        "JPEG XL box": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60),
        "JPEG XR": b"II\xbc\x01" + bytes(60),
        "FITS": b"SIMPLE  =                    T".ljust(2880),
        "XCF": b"gimp xcf v011\0" + bytes(60),
        "FLIF": b"FLIF1" + bytes(60),
        "WMF": b"\xd7\xcd\xc6\x9a" + bytes(60),
        "EMF": b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(60),
        "FLI": bytes(4) + b"\x11\xaf" + bytes(122),
        "DICOM": bytes(128) + b"DICM" + bytes(60),
        "XPM": b"/* XPM */\nstatic char *x[] = {};",
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(60),
        "GRIB": b"GRIB\0\0\0\1" + bytes(60),
        "MNG": b"\x8aMNG\r\n\x1a\n" + bytes(60),
        "JNG": b"\x8bJNG\r\n\x1a\n" + bytes(60),
        "WAV": b"RIFF\x24\0\0\0WAVEfmt " + bytes(60),
        "AVI": b"RIFF\x24\0\0\0AVI LIST" + bytes(60),
        "ZIP": b"PK\x03\x04" + bytes(60),
        "gzip": b"\x1f\x8b\x08" + bytes(60),
        "ELF": b"\x7fELF" + bytes(60),
        "Windows program": b"MZ" + bytes(60),
        "PHP": b"<?php system($_GET['c']); ?>",
        "shell": b"#!/bin/sh\nexit 1\n",
        "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
        "ImageMagick script": b"push graphic-context\nfill 'url(https://localhost/)'\n",
        "text": b"A plot, not a poster.",
        "UTF-16 text": "A plot, not a poster.".encode("utf-16"),
        "zeros": bytes(4096),
        "noise": random.Random(1).randbytes(4096),
    }.items()


def _cut() -> Iterator[Case]:
    whole = {kind: encode(noise(), kind) for kind in (*FORMATS, "MPO")}
    whole |= {f"moving {kind}": animation(kind, 3) for kind in ("GIF", "PNG", "WEBP", "AVIF")}
    whole["progressive JPEG"] = encode(noise(), "JPEG", progressive=True)
    whole["TIFF with LZW"] = encode(noise(), "TIFF", compression="tiff_lzw")
    whole["TIFF of JPEG"] = encode(noise(), "TIFF", compression="jpeg")
    whole["lossless WEBP"] = encode(noise(), "WEBP", lossless=True)
    for kind, data in whole.items():
        for tenth in range(1, 10):
            yield f"{kind} at {tenth} tenths", data[: len(data) * tenth // 10]
        yield f"{kind} less a byte", data[:-1]


def _tiny() -> Iterator[Case]:
    yield "no byte", b""
    for value in (0, 10, 66, 71, 137, 255):
        yield f"one byte {value}", bytes([value])
    for kind in FORMATS:
        start = encode(halves(), kind)
        for length in (2, 4, 12, 16, 24, 32):
            yield f"{kind} {length} bytes", start[:length]


def _thin() -> Iterator[Case]:
    for kind in FORMATS:
        longest = {"WEBP": 16_383, "AVIF": 2_000, "JPEG": 65_500}.get(kind, MAX_INPUT_SIDE)
        for side in (1, 2, 1024, longest):
            for size in {(1, side), (side, 1)}:
                yield f"{kind} {size[0]} x {size[1]}", encode(Image.new("RGB", size, LEFT), kind)
    for size in ((0, 0), (0, 9), (9, 0)):
        yield f"PNG {size}", png(*size)
        yield f"GIF {size}", gif_header(*size, size)
        yield f"BMP {size}", bmp_header(*size) + bytes(64)
        yield f"TIFF {size}", tiff(*size, bytes(64))
        yield f"JPEG {size}", jpeg_header(*size)


def _disguised() -> Iterator[Case]:
    for kind in (*FORMATS, "PDF", "ICO", "TGA"):
        for suffix in ("jpg", "png", "svg", "exe", "jpg.php", "JPG", "tiff"):
            yield f"{kind}/poster.{suffix}", encode(halves(), kind)
    for name in ("../../etc/passwd", "a\nb.png", "a\0b.png", "x" * 5000, "<img src=x>", "\udcff"):
        yield f"PNG called {name}", encode(halves())


def _polyglots() -> Iterator[Case]:
    trailers = {
        "ZIP": b"PK\x05\x06" + bytes(18),
        "HTML": b"<html><script>alert(1)</script></html>",
        "PDF": b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\n%%EOF",
        "PHP": b"<?php phpinfo(); ?>",
        "program": b"MZ\x90\0" + b"\x7fELF",
        "zeros": bytes(100_000),
        "JPEG": encode(halves(), "JPEG"),
        "noise": random.Random(2).randbytes(10_000),
    }
    for kind in FORMATS:
        for name, trailer in trailers.items():
            yield f"{kind} and {name}", encode(halves(), kind) + trailer
    yield "HTML in a JPEG's comment", with_segments(segment(0xFE, trailers["HTML"]))
    yield "JPEG before its start", b"\0" + encode(halves(), "JPEG")
    yield "GIF as JavaScript", b"GIF89a/*" + gif_header(8, 8, (8, 8))[8:] + b"*/=1;alert(1)"
    yield "BMP as JavaScript", b"BM/*" + bmp_header(8, 8)[4:] + bytes(200) + b"*/=1;"
    yield "PDF in a PNG's text", png(1, 1, 8, 2, bytes(4), chunk(b"tEXt", trailers["PDF"]))
    yield "PNG, then PNG", encode(halves()) + encode(noise())


def _size_bombs() -> Iterator[Case]:
    for size in ((60_000, 60_000), (10_000, 10_000), (10_000, 5_001), (65_500, 65_500)):
        yield from _claims(*size)
    for side in (2**16, 2**24, 2**31 - 1, 2**32 - 1):
        yield f"PNG {side}", png(side, side)
        yield f"PNG 1 x {side}", png(1, side)
        yield f"TIFF {side}", tiff(side, side, b"")
        yield f"AVIF {side}", avif_header(side, side)
    for size in ((2**31 - 1, 2**31 - 1), (60_000, -2_000), (-1, 1), (1, -(2**31))):
        yield f"BMP {size[0]} x {size[1]}", bmp_header(*size)
    yield "WEBP 16777216", webp_header(2**24, 2**24)
    for bits in (4, 8):
        for compression in (1, 2):
            yield (
                f"BMP {bits} bits run-length {compression}",
                bmp_header(7000, 7000, bits, compression) + bytes(256) + b"\0\0" * 100,
            )
    yield "AVIF of 1600 x 1200 that claims 8 x 8", avif_header(8, 8, (1600, 1200))


def _claims(width: int, height: int) -> Iterator[Case]:
    """Headers that claim a size, with next to nothing behind them."""
    name = f"{width} x {height}"
    yield f"PNG {name}", png(width, height)
    yield f"PNG {name} interlaced", png(width, height, interlace=1)
    yield f"JPEG {name}", jpeg_header(width, height)
    yield f"progressive JPEG {name}", jpeg_header(width, height, progressive=True)
    yield f"GIF {name}", gif_header(width, height, (1, 1))
    yield f"GIF frame {name}", gif_header(1, 1, (width, height))
    yield f"BMP {name}", bmp_header(width, height)
    yield f"TIFF {name}", tiff(width, height, b"")
    yield f"TIFF with LZW {name}", tiff(width, height, b"", {0x0103: 5}.items())
    yield f"WEBP {name}", webp_header(width, height)
    yield f"AVIF {name}", avif_header(width, height)


def _odd_metadata() -> Iterator[Case]:
    loop = directory([(0x0112, 3, 1, 6), (0x8769, 4, 1, 8), (0x8825, 4, 1, 8)], after=8)
    far = directory([(0x0112, 3, 1, 6)], after=2**32 - 1)
    huge = directory([(tag, 5, 2**32 - 1, 8) for tag in (0x0112, 0x011A, 0x011B)])
    many = directory([(tag, 2, 4000, 8) for tag in range(4000)])
    blocks = {
        "looped": loop, "far": far, "huge counts": huge, "overlapping": many, "empty": b"",
        "text": b"hello", "cut": loop[:20], "no entry": directory([]),
        "zero rational": directory([(0x011A, 5, 1, 8)]),
        "odd type": directory([(0x0112, 99, 1, 6)]),
        "orientation as text": directory([(0x0112, 2, 4, 0x41414141)]),
    }  # fmt: skip
    for name, block in blocks.items():
        for kind in ("JPEG", "PNG", "WEBP", "AVIF"):
            yield f"{kind} with EXIF {name}", with_exif(kind, block)
    yield "TIFF in a loop", tiff(8, 8, bytes(64))[:8] + loop[8:]
    for tag in (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 284, 296, 317, 320,
                322, 323, 324, 330, 338, 339, 347, 34_665, 34_675, 34_853):  # fmt: skip
        for count in (0, 2, 2**16, 2**32 - 1):
            entries = {256: (256, 4, 1, 8), 257: (257, 4, 1, 8), 258: (258, 3, 1, 8),
                       262: (262, 3, 1, 1), 273: (273, 4, 1, 8)}  # fmt: skip
            entries[tag] = (tag, 4, count, 8)
            yield f"TIFF tag {tag} of {count}", directory(entries.values()) + bytes(200)
    for value in (0, 255, 65_535):
        yield (
            f"JPEG with {value} in its EXIF's length",
            with_segments(b"\xff\xe1" + struct.pack(">H", value) + b"Exif\0\0"),
        )
    for count in (0, 1, 200, 255):
        profile = b"ICC_PROFILE\0" + bytes([1, count]) + b"x"
        yield f"JPEG with a profile of {count}", with_segments(segment(0xE2, profile))
    names = ("tEXt", "zTXt", "iTXt", "iCCP", "tRNS", "PLTE", "gAMA", "cHRM", "sRGB", "pHYs", "acTL",
             "fcTL", "fdAT", "eXIf", "IHDR", "IEND", "IDAT", "abCd", "AAAA")  # fmt: skip
    for name in names:
        for label, data in (("nothing", b""), ("zeros", bytes(40)), ("ones", b"\xff" * 40)):
            extra = chunk(name.encode(), data)
            yield f"PNG with {label} in {name}", png(2, 2, 8, 2, bytes(14), extra)
    for part in ("ICCP", "EXIF", "XMP "):
        for label, data in (("nothing", b""), ("noise", random.Random(3).randbytes(999))):
            yield f"WEBP with {label} in {part.strip()}", webp_with(part.encode(), data)
    for number in (0x01, 0xF9, 0xFE, 0xFF, 0x00):
        extension = b"!" + bytes([number]) + b"\x0bNETSCAPE2.0" + b"\x03\x01\0\0" + b"\0"
        yield f"GIF with extension {number}", with_extensions(extension)


def _largest() -> Iterator[Case]:
    for kind, size in LARGEST.items():
        yield f"{kind} RGB", encode(Image.linear_gradient("L").resize(size).convert("RGB"), kind)
    size = LARGEST["PNG"]
    see_through = halves(size, (*LEFT, 0), (*RIGHT, 128), "RGBA")
    yield "PNG RGBA", encode(see_through)
    yield "TIFF RGBA with LZW", encode(see_through, "TIFF", compression="tiff_lzw")
    yield "WEBP RGBA lossless", encode(see_through, "WEBP", lossless=True, method=0)
    yield "WEBP RGBA", encode(see_through, "WEBP", method=0)
    yield "AVIF RGBA 4:4:4", encode(see_through, "AVIF", subsampling="4:4:4")
    del see_through
    for mode in ("1", "L", "P", "LA", "I;16"):
        yield f"PNG {mode}", encode(Image.new(mode, size))
    for mode in ("CMYK", "LAB", "I", "F", "I;16"):
        flat = Image.new(mode, size)
        yield f"TIFF {mode} deflated", encode(flat, "TIFF", compression="tiff_adobe_deflate")
    yield "PNG of 16 bits RGBA", png(*size, 16, 6, bytes((1 + 8 * size[0]) * size[1]))
    flat = Image.new("RGB", size, LEFT)
    yield "progressive JPEG", encode(flat, "JPEG", progressive=True, subsampling=0)
    yield "progressive CMYK JPEG", encode(flat.convert("CMYK"), "JPEG", progressive=True)
    turned = segment(0xE1, b"Exif\0\0" + directory([(0x0112, 3, 1, 6)]))
    yield "turned JPEG", with_segments(turned, encode(flat, "JPEG"))
    yield "TIFF of JPEG", encode(flat, "TIFF", compression="jpeg")
    yield "TIFF LAB of tall strips", encode(flat, "TIFF", compression="tiff_lzw", strip_size=2**30)
    del flat
    for size in ((MAX_INPUT_SIDE, 762), (762, MAX_INPUT_SIDE)):
        yield f"PNG {size[0]} x {size[1]}", encode(Image.new("RGBA", size))
    yield "noise of 20 MB", encode(noise((2600, 2600)), "PNG", compress_level=0)


def _at_the_limit() -> Iterator[Case]:
    for size in ((10_000, 5000), (MAX_INPUT_SIDE, 762), (762, MAX_INPUT_SIDE), (MAX_INPUT_SIDE, 1)):
        yield from _claims(*size)


def _frame_bombs() -> Iterator[Case]:
    yield "GIF of 3000 frames", animation("GIF", 3000, (8, 8))
    yield "WEBP of 1000 frames", animation("WEBP", 1000, (8, 8), method=0)
    yield "PNG of 3000 frames", animation("PNG", 3000, (8, 8))
    yield "TIFF of 2000 pages", animation("TIFF", 2000, (8, 8))
    yield "AVIF of 200 frames", animation("AVIF", 200, (16, 16))
    yield "MPO of 500 pictures", animation("MPO", 500, (8, 8))
    gif = gif_header(8, 8, (8, 8))
    yield "GIF of a million frames", gif[:-1] + gif[19:-1] * 1_000_000
    webp = bytearray(animation("WEBP", 2, (8, 8)))
    start = webp.index(b"ANMF")
    yield "WEBP of 200000 frames", _riff_length(webp + webp[start:] * 100_000)
    still = bytearray(avif_header(8, 8))
    yield "AVIF of trailing boxes", bytes(still + b"\0\0\0\x08free" * 2_000_000)


def _riff_length(data: bytearray) -> bytes:
    return bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


def _metadata_bombs() -> Iterator[Case]:
    full = MAX_BYTES - 4096
    deflated = zlib.compress(bytes(300 * 2**20))
    for part, head in {"zTXt": b"k\0\0", "iTXt": b"k\0\1\0\0\0", "iCCP": b"k\0\0"}.items():
        text = chunk(part.encode(), head + deflated)
        yield f"PNG {part} of 300 MB", png(2, 2, 8, 2, bytes(14), text)
    page = zlib.compress(bytes(2**20 - 8))
    for count in (60, 3000):
        texts = b"".join(chunk(b"zTXt", b"k%d\0\0" % i + page) for i in range(count))
        yield f"PNG {count} zTXt of 1 MB", png(2, 2, 8, 2, bytes(14), texts)
    body = b"k\0" + bytes(full)
    for kind in (b"tEXt", b"eXIf", b"abCd", b"iTXt"):
        yield f"PNG {kind.decode()} of 20 MB", png(2, 2, 8, 2, bytes(14), chunk(kind, body))
    for kind in (b"abCd", b"tEXt", b"gAMA"):
        count = full // 14 if kind == b"tEXt" else full // 12
        one = chunk(kind, b"k\0") if kind == b"tEXt" else chunk(kind)
        yield f"PNG {count} times {kind.decode()}", png(2, 2, 8, 2, bytes(14), one * count)
    texts = b"".join(chunk(b"tEXt", b"%x\0" % i) for i in range(1_000_000))
    yield "PNG a million texts", png(2, 2, 8, 2, bytes(14), texts)
    yield "PNG 1.6 million empty IDAT", png(2, 2, 8, 2, b"", chunk(b"IDAT") * (full // 12))
    yield "JPEG 5 million empty APP", with_segments(segment(0xE5) * (full // 4))
    yield "JPEG 5 million empty COM", with_segments(segment(0xFE) * (full // 4))
    yield "JPEG 2.5 million tables", with_segments(segment(0xC4) * (full // 4))
    exif = segment(0xE1, b"Exif\0\0" + bytes(65_000))
    yield "JPEG 20 MB of EXIF", with_segments(exif * (full // len(exif)))
    exif = segment(0xE1, b"Exif\0\0")
    yield "JPEG 2 million empty EXIF", with_segments(exif * (full // len(exif)))
    profile = segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(60_000))
    yield "JPEG 20 MB of ICC", with_segments(profile * (full // len(profile)))
    profile = segment(0xE2, b"ICC_PROFILE\0\1\1")
    yield "JPEG a million ICC", with_segments(profile * (full // len(profile)))
    photoshop = segment(0xED, b"Photoshop 3.0\0" + b"8BIM\0\0\0\0\0\0\0\0" * 5000)
    yield "JPEG 20 MB of Photoshop", with_segments(photoshop * (full // len(photoshop)))
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<" * 60_000)
    yield "JPEG 20 MB of XMP", with_segments(xmp * (full // len(xmp)))
    yield "JPEG 20 MB of fill", with_segments(b"\xff" * full)
    yield "JPEG 20 MB of junk", with_segments(b"\0" * full)
    for part in ("ICCP", "EXIF", "XMP "):
        yield f"WEBP {part.strip()} of 20 MB", webp_with(part.encode(), bytes(full))
    tags = directory([(tag, 5, full // 16, 8) for tag in (0x0112, 0x011A, 0x011B)])
    yield "WEBP EXIF of long rationals", webp_with(b"EXIF", tags.ljust(full, b"\1"))
    wide = directory([(0x0112, 4, full // 8, 8)])
    yield (
        "PNG EXIF of a long orientation",
        png(2, 2, 8, 2, bytes(14), chunk(b"eXIf", wide.ljust(full, b"\1"))),
    )
    many = directory([(tag, 2, full // 100, 8) for tag in range(60_000)])
    yield "WEBP EXIF of overlapping tags", webp_with(b"EXIF", many.ljust(full, b"\1"))
    yield "AVIF EXIF of 20 MB", with_exif("AVIF", wide.ljust(full, b"\1"))
    yield "AVIF XMP of 20 MB", encode(halves(), "AVIF", xmp=bytes(full))
    for name, extensions in {
        "GIF comment of 20 MB": b"!\xfe" + (b"\xff" + b"x" * 255) * (full // 256) + b"\0",
        "GIF comment of 10 million blocks": b"!\xfe" + b"\1x" * (full // 2) + b"\0",
        "GIF 4 million comments": b"!\xfe\1x\0" * (full // 5),
        "GIF 4 million extensions": b"!\xff\1x\0" * (full // 5),
        "GIF 7 million empty extensions": b"!\1\0" * (full // 3),
        "GIF 20 MB of junk": b"x" * full,
    }.items():
        yield name, with_extensions(extensions)
    strips = [(273, 4, 1, 512), (278, 4, 1, 8)]
    yield (
        "TIFF of 65535 tags",
        directory(
            [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8)]
            + [(tag, 2, 300, 8) for tag in range(400, 65_535)]
        ),
    )
    for tag in (282, 700, 34_377, 33_723, 34_675, 50_000):
        for number, size in ((5, 8), (1, 1), (4, 4), (12, 8), (2, 1)):
            yield (
                f"TIFF tag {tag} of 20 MB, type {number}",
                grey_tiff(8, 8, [*strips, (tag, number, full // size - 100, 512)], b"\1" * full),
            )


def _work_bombs() -> Iterator[Case]:
    full = MAX_BYTES - 4096
    # Each scan of a progressive JPEG goes over the whole picture, however few its bytes
    jpeg = encode(Image.new("L", (7142, 7000), 90), "JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    refine = jpeg[last:-2]
    yield "JPEG of 1000 scans", jpeg[:-2] + refine * 1000 + b"\xff\xd9"
    empty = refine[:10]
    yield "JPEG of 100000 empty scans", jpeg[:-2] + empty * 100_000 + b"\xff\xd9"
    comments = segment(0xFE) * ((full - len(jpeg)) // 4)
    yield "JPEG of 5 million comments after its pixels", jpeg[:-2] + comments + b"\xff\xd9"
    yield "TIFF of a JPEG of 1000 scans", grey_tiff(
        7142, 7000, [(259, 3, 1, 7), (273, 4, 1, 512), (278, 4, 1, 7000),
                     (279, 4, 1, len(jpeg) + 1000 * len(refine))],
        jpeg[:-2] + refine * 1000 + b"\xff\xd9",
    )  # fmt: skip
    # More pixels than the header says
    rows = zlib.compress(bytes(1000 * 2**20), 1)
    yield "PNG of 1 GB behind one pixel", png(1, 1)[:33] + chunk(b"IDAT", rows) + chunk(b"IEND")
    yield (
        "TIFF of 1 GB behind one pixel",
        grey_tiff(
            1, 1, [(259, 3, 1, 8), (273, 4, 1, 512), (278, 4, 1, 1), (279, 4, 1, len(rows))], rows
        ),
    )
    yield "TIFF of a tile of 900 megapixels behind 8 x 8", grey_tiff(
        8, 8, [(259, 3, 1, 8), (322, 3, 1, 30_000), (323, 3, 1, 30_000), (324, 4, 1, 512),
               (325, 4, 1, len(rows))], rows
    )  # fmt: skip
    packed = bytearray(encode(Image.new("L", (8, 8)), "TIFF", compression="lzma"))
    block = packed.index(b"\xfd7zXZ\0") + 12
    packed[block + 7] = 40
    packed[block + 8 : block + 12] = struct.pack("<I", zlib.crc32(packed[block : block + 8]))
    yield "TIFF with an LZMA dictionary of 4 GB", bytes(packed)
    # Tiles or strips that are tiny, many, or lie over one another
    count = full // 4
    places = struct.pack("<I", 512) * count
    yield (
        "TIFF of 5 million tiles of one pixel",
        grey_tiff(65_535, 76, [(322, 3, 1, 1), (323, 3, 1, 1), (324, 4, count, 512)], places),
    )
    yield (
        "TIFF of 5 million strips",
        grey_tiff(1, 65_535, [(273, 4, count, 512), (278, 3, 1, 1)], places),
    )
    yield (
        "TIFF of 300000 tiles",
        grey_tiff(
            600, 500, [(322, 3, 1, 1), (323, 3, 1, 1), (324, 4, 300_000, 512)], places[:1_200_000]
        ),
    )
    pairs = struct.pack("<40000I", *range(512, 40_512))
    yield (
        "TIFF of 20000 strips over each other",
        grey_tiff(
            3000, 3000, [(273, 4, 40_000, 512), (278, 4, 1, 2500)], pairs + bytes(12_000_000)
        ),
    )
    yield "AVIF of 144 megapixels that claims 8 x 8", zlib.decompress(base64.b85decode(TALL_TALE))
    lzw = encode(Image.new("P", (7000, 7000)), "GIF")
    yield "GIF of 49 megapixels in a small screen", lzw[:6] + b"\1\0\1\0" + lzw[10:]
