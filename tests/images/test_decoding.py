"""Every picture here is drawn and encoded by the test itself, so each check is on real bytes."""

import io
import random
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from poster2plot.errors import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
    InputError,
    UnsupportedImageError,
)
from poster2plot.images.decoding import read_image, read_picture
from poster2plot.images.limits import (
    FORMATS,
    IMAGE_SUFFIXES,
    MAX_SCANS,
    MAX_SEGMENTS,
    MAX_SIDE,
    MAX_TAG_BYTES,
    GuardedSource,
    claimed_pixels,
    guarded_directories,
)
from poster2plot.images.listing import image_files
from support.bad_images import (
    LEFT,
    RIGHT,
    SIZE,
    bmp_header,
    chunk,
    directory,
    encode,
    gif_header,
    grey_tiff,
    halves,
    jpeg_header,
    noise,
    png,
    segment,
    tiff,
    webp_header,
    with_exif,
    with_extensions,
    with_segments,
)

WHITE = (255, 255, 255)


def near(pixel, expected, tolerance=12):
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, expected, strict=True))


def pixel_at(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    """The bands of one pixel of a picture of several."""
    pixel = picture.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return pixel


def sides(picture):
    middle = picture.height // 2
    return picture.getpixel((picture.width // 5, middle)), picture.getpixel(
        (picture.width * 4 // 5, middle)
    )


# Formats, modes and depths


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *[("PNG", mode) for mode in ("RGB", "RGBA", "P", "L", "LA", "1")],
        *[("JPEG", mode) for mode in ("RGB", "L", "CMYK")],
        *[("WEBP", mode) for mode in ("RGB", "RGBA")],
        *[("AVIF", mode) for mode in ("RGB", "RGBA")],
        *[("GIF", mode) for mode in ("RGB", "P", "L", "1")],
        *[("BMP", mode) for mode in ("RGB", "RGBA", "P", "L", "1")],
        *[("TIFF", mode) for mode in ("RGB", "RGBA", "P", "L", "LA", "PA", "1")],
        *[("TIFF", mode) for mode in ("CMYK", "YCbCr", "LAB")],
    ],
)
def test_every_format_and_mode_becomes_rgb(kind, mode):
    source = halves()
    if mode == "1":
        source = halves(left=(0, 0, 0), right=WHITE)
    expected = sides(source.convert("L" if mode in {"L", "LA"} else "RGB").convert("RGB"))
    if mode in {"P", "PA"}:
        source = source.quantize(4)  # not convert("P"), which dithers
    source = source.convert(mode)
    picture = read_image(encode(source, kind))
    assert type(picture) is Image.Image
    assert (picture.mode, picture.size) == ("RGB", SIZE)
    assert all(near(*pair) for pair in zip(sides(picture), expected, strict=True))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_compressed_tiff(compression):
    picture = read_image(encode(halves(), "TIFF", compression=compression))
    assert near(sides(picture)[0], LEFT)


def test_mpo_counts_as_jpeg():
    data = encode(halves(), "MPO", save_all=True, append_images=[halves(left=(0, 255, 0))])
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == "MPO"
    picture = read_image(data)
    assert near(sides(picture)[0], LEFT)
    assert near(sides(picture)[1], RIGHT)


def test_progressive_jpeg():
    assert near(sides(read_image(encode(halves(), "JPEG", progressive=True)))[1], RIGHT)


def test_ycck_jpeg_is_read_as_such():
    # Y 160, neutral Cb and Cr, no K: grey as YCCK, and anything but grey as plain CMYK
    data = bytearray(
        encode(Image.new("CMYK", (32, 32), (255 - 160, 255 - 128, 255 - 128, 0)), "JPEG")
    )
    data[data.index(b"Adobe") + 11] = 2  # the colour transform of the Adobe marker
    pixel = pixel_at(read_image(bytes(data)), 16, 16)
    assert max(pixel) - min(pixel) <= 3
    assert 80 < pixel[0] < 180


@pytest.mark.parametrize("value", [0, 300, 12800, 32768, 52000, 65535])
@pytest.mark.parametrize(("mode", "kind"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I;16B", "TIFF")])
def test_16_bit_grey_keeps_its_brightness(mode, kind, value):
    picture = read_image(encode(Image.new(mode, (4, 3), value), kind))
    assert picture.size == (4, 3)
    assert set(picture.get_flattened_data()) == {(round(value / 257),) * 3}


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("I", (0, 100, 255), (0, 100, 255)),  # 8 bits in a wide file
        ("I", (0, 25700, 65535), (0, 100, 255)),  # 16 bits in a wide file
        ("I", (0, 10**9, 2 * 10**9), (0, 128, 255)),
        ("I", (-1000, 0, 1000), (0, 128, 255)),
        ("I", (100, 100, 255), (100, 100, 255)),  # without black
        ("I", (25700, 25700, 65535), (100, 100, 255)),
        ("F", (0.0, 0.5, 1.0), (0, 128, 255)),
        ("F", (0.5, 0.5, 1.0), (128, 128, 255)),
        ("F", (100.0, 100.0, 255.0), (100, 100, 255)),
        ("F", (25700.0, 25700.0, 65535.0), (100, 100, 255)),
        ("F", (0.0, 0.25, 0.5), (0, 64, 128)),  # a dark picture stays dark
        ("F", (0.0, 100.0, 255.0), (0, 100, 255)),
        ("F", (0.0, 25700.0, 65535.0), (0, 100, 255)),
        ("F", (-2.0, 0.0, 2.0), (0, 128, 255)),
        ("F", (-3.0, -3.0, -3.0), (0, 0, 0)),
    ],
)
def test_32_bit_greys_are_scaled(mode, values, expected):
    source = Image.new(mode, (3, 1))
    for x, value in enumerate(values):
        source.putpixel((x, 0), value)
    pixels = read_image(encode(source, "TIFF")).get_flattened_data()
    assert all(near(p, (e, e, e), 1) for p, e in zip(pixels, expected, strict=True)), list(pixels)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_float_without_a_range_is_damaged(value):
    with pytest.raises(DamagedImageError):
        read_image(encode(Image.new("F", (2, 2), value), "TIFF"))


@pytest.mark.parametrize("colour", [2, 6])
def test_16_bit_colour_png(colour):
    samples = (51400, 25700, 10280, 65535)[: 3 if colour == 2 else 4]
    rows = (b"\0" + struct.pack(f">{len(samples)}H", *samples) * 2) * 2
    assert near(read_image(png(2, 2, 16, colour, rows)).getpixel((1, 1)), (200, 100, 40), 1)


def test_premultiplied_grey_with_alpha():
    samples = bytes([100, 255] * 2 + [0, 0] * 2)
    data = tiff(4, 1, samples, [(0x0102, (8, 8)), (0x0115, 2), (0x0152, (1,))])
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == "La"
    picture = read_image(data)
    assert [pixel_at(picture, x, 0)[0] for x in range(4)] == [100, 100, 255, 255]


# Transparency


def see_through(mode):
    picture = halves(left=(0, 0, 0, 0), right=(*RIGHT, 255), mode="RGBA")
    return picture.convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "GIF", "TIFF"])
def test_transparent_pixels_become_white(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    left, right = sides(read_image(encode(see_through("RGBA"), kind, **options)))
    assert near(left, WHITE, 3)
    assert near(right, RIGHT, 12)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_with_alpha_becomes_white(kind):
    left, right = sides(read_image(encode(see_through("LA"), kind)))
    assert left == WHITE
    assert right == (right[0],) * 3 != WHITE


@pytest.mark.parametrize("transparency", [0, bytes([0, 255])])
def test_palette_transparency_becomes_white(transparency):
    picture = Image.new("P", SIZE, 0)
    picture.putpalette([0, 0, 0, *RIGHT])
    picture.paste(1, (SIZE[0] // 2, 0, *SIZE))
    assert sides(read_image(encode(picture, transparency=transparency))) == (WHITE, RIGHT)


def test_palette_with_alpha_becomes_white():
    picture = halves(left=0, right=1, mode="P")
    picture.putpalette([0, 0, 0, *RIGHT])
    picture = picture.convert("PA")
    picture.putalpha(halves(left=0, right=255, mode="L"))
    assert sides(read_image(encode(picture, "TIFF"))) == (WHITE, RIGHT)


@pytest.mark.parametrize(
    ("picture", "key"), [(halves(), LEFT), (halves(left=7, right=90, mode="L"), 7)]
)
def test_a_transparent_colour_becomes_white(picture, key):
    left, right = sides(read_image(encode(picture, transparency=key)))
    assert left == WHITE
    assert right != WHITE


@pytest.mark.parametrize(("depth", "colour", "samples"), [(16, 0, 1), (16, 2, 3)])
def test_a_transparent_16_bit_colour_does_no_harm(depth, colour, samples):
    key = chunk(b"tRNS", struct.pack(f">{samples}H", *[40000] * samples))
    rows = b"\0" + struct.pack(f">{2 * samples}H", *[25700] * 2 * samples)
    assert read_image(png(2, 1, depth, colour, rows, key)).getpixel((0, 0)) == (100, 100, 100)


def test_half_transparency_is_mixed_with_white():
    pixel = read_image(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 128)))).getpixel((1, 1))
    assert near(pixel, (127, 127, 127), 1)


def test_shrinking_lets_no_hidden_colour_through():
    picture = Image.new("RGBA", (2048, 64), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (1000, 0, 2048, 64))
    picture = read_image(encode(picture))
    row = [pixel_at(picture, x, 16) for x in range(picture.width)]
    assert (row[490], row[510]) == (WHITE, (0, 0, 255))
    assert all(red <= blue for red, _, blue in row)


# Animation


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_first_frame(kind):
    frames = [Image.new("RGB", SIZE, colour) for colour in (LEFT, RIGHT, (0, 255, 0))]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(data)) as opened:
        assert getattr(opened, "n_frames", 1) == 3
    assert near(read_image(data).getpixel((10, 10)), LEFT)


# Orientation

# What a camera has to do to the upright picture for the viewer's turn to bring it back
INVERSE = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
CORNERS = {(0, 0): (220, 30, 30), (1, 0): (30, 200, 30), (0, 1): (30, 30, 220), (1, 1): WHITE}


def four_corners(width, height):
    picture = Image.new("RGB", (width, height))
    for (x, y), colour in CORNERS.items():
        box = (x * width // 2, y * height // 2, (x + 1) * width // 2, (y + 1) * height // 2)
        picture.paste(colour, box)
    return picture


def corners_match(picture):
    width, height = picture.size
    return all(
        near(picture.getpixel(((1 + 2 * x) * width // 4, (1 + 2 * y) * height // 4)), colour)
        for (x, y), colour in CORNERS.items()
    )


def oriented(picture, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = INVERSE[orientation]
    return encode(picture if turn is None else picture.transpose(turn), kind, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation(kind, orientation):
    picture = read_image(oriented(four_corners(64, 96), orientation, kind))
    assert picture.size == (64, 96)
    assert corners_match(picture)


@pytest.mark.parametrize("orientation", [6, 7])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_orientation_of_a_large_picture(kind, orientation):
    picture = read_image(oriented(four_corners(1200, 2400), orientation, kind))
    assert picture.size == (512, 1024)
    assert corners_match(picture)


@pytest.mark.parametrize("exif", [b"nothing of use", b"II*\0", b""])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_broken_exif_block_is_passed_over(kind, exif):
    data = encode(halves(), kind, exif=b"Exif\0\0" + exif)
    assert near(sides(read_image(data))[0], LEFT)


# Sizes


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (1, 3000), (3000, 1)])
def test_thin_pictures(kind, size):
    picture = read_image(encode(Image.new("RGB", size, LEFT), kind))
    assert picture.size == (min(size[0], MAX_SIDE), min(size[1], MAX_SIDE))
    assert near(picture.getpixel((0, 0)), LEFT)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    ("size", "decoded", "result"),
    [
        ((300, 4000), (300, 4000), (77, 1024)),  # a half would be too near to the result
        ((300, 4200), (150, 2100), (73, 1024)),
        ((600, 8200), (150, 2050), (75, 1024)),
        ((8200, 3), (4100, 2), (1024, 1)),
    ],
)
def test_a_large_jpeg_is_decoded_small(monkeypatch, mode, size, decoded, result):
    seen = []
    load = JpegImagePlugin.JpegImageFile.load

    def noting(self: JpegImagePlugin.JpegImageFile) -> Any:
        seen.append(self.size)
        return load(self)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", noting)
    picture = read_image(encode(halves(size).convert(mode), "JPEG"))
    assert seen[0] == decoded
    assert picture.size == result
    if mode != "L" and size[1] > 3:
        assert all(near(*pair) for pair in zip(sides(picture), (LEFT, RIGHT), strict=True))


def test_small_pictures_are_not_enlarged_and_pixels_not_touched():
    source = noise((MAX_SIDE, 7))
    assert read_image(encode(source)).tobytes() == source.tobytes()


def test_fine_detail_is_averaged_when_shrinking():
    stripes = Image.frombytes("L", (2 * MAX_SIDE, 8), bytes([0, 255] * 8 * MAX_SIDE))
    assert near(read_image(encode(stripes)).getpixel((500, 2)), (128,) * 3, 2)


def test_one_pixel_over_the_side_is_shrunk():
    assert read_image(encode(noise((MAX_SIDE + 1, 5)))).size == (MAX_SIDE, 5)


@pytest.mark.parametrize(
    "data",
    [
        png(60_000, 60_000),
        png(10_000, 10_000),  # from 89 to 179 megapixels Pillow only warns
        png(10_000, 5_001),
        png(65_536, 1),
        png(1, 2**31 - 1),
        gif_header(65_535, 65_535, (1, 1)),
        gif_header(1, 1, (10_000, 10_000)),  # the frame outgrows the screen
        gif_header(1, 1, (65_535, 65_535)),
        jpeg_header(65_500, 65_500),
        jpeg_header(9_000, 9_000),
        bmp_header(60_000, 60_000),
        bmp_header(60_000, -2_000),
        tiff(60_000, 60_000, b""),
        tiff(10_000, 10_000, b""),
        webp_header(16_383, 16_383),
        webp_header(9_000, 9_000),
    ],
)
def test_bombs_are_refused_by_their_header(data):
    with pytest.raises(ImageTooLargeError, match="50 megapixels"):
        read_image(data)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_pixels_that_a_header_claims(kind):
    assert claimed_pixels(encode(halves(), kind)) == SIZE[0] * SIZE[1]


@pytest.mark.parametrize("data", [b"", b"A plot, not a poster.", png(9, 9)[:20]])
def test_what_has_no_header_claims_nothing(data):
    assert claimed_pixels(data) == 0


def test_a_bomb_claims_all_it_is():
    assert claimed_pixels(png(60_000, 60_000)) == 3_600_000_000


def test_pillow_is_as_it_was_after_the_last_of_many_threads():
    pictures = [encode(halves(), kind) for kind in ("TIFF", "JPEG", "PNG")] * 20
    with ThreadPoolExecutor(8) as pool:
        assert {image.size for image in pool.map(read_image, pictures)} == {SIZE}
    assert TiffImagePlugin.ImageFileDirectory_v2.load.__module__ == TiffImagePlugin.__name__
    assert vars(TiffImagePlugin)["warnings"] is warnings


def test_other_threads_read_as_pillow_does_meanwhile():
    numbers = struct.pack("<I", 6) * (MAX_TAG_BYTES // 4 + 2)
    strips = [(273, 4, 1, 512), (278, 4, 1, 8)]
    picture = grey_tiff(8, 8, [*strips, (282, 4, MAX_TAG_BYTES // 4 + 1, 512)], numbers)

    def has_the_tag() -> bool:
        with Image.open(io.BytesIO(picture)) as opened:
            assert isinstance(opened, TiffImagePlugin.TiffImageFile)
            return len(opened.tag_v2._tagdata[282]) > MAX_TAG_BYTES

    with warnings.catch_warnings(), ThreadPoolExecutor(1) as pool:
        warnings.simplefilter("ignore")  # of the tag's many numbers
        with guarded_directories(), pytest.raises(KeyError):
            has_the_tag()
        with guarded_directories():
            assert pool.submit(has_the_tag).result()
        assert has_the_tag()


def test_importing_the_package_leaves_pillow_and_the_warnings_alone():
    code = """
import warnings
from PIL import TiffImagePlugin
before = TiffImagePlugin.ImageFileDirectory_v2.load, TiffImagePlugin.warnings
import poster2plot
assert before == (TiffImagePlugin.ImageFileDirectory_v2.load, TiffImagePlugin.warnings)
assert not [module for _, _, _, module, _ in warnings.filters if "PIL" in str(module)]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("size", [(10_000, 5_000), (1, 65_535)])
def test_the_caps_are_not_lower_than_they_say(size):
    with pytest.raises(DamagedImageError):  # passes the caps, and then has no pixels
        read_image(png(*size))


def test_a_bomb_gives_no_warning_and_leaves_pillow_as_it_was():
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ImageTooLargeError):
            read_image(png(10_000, 10_000))
    assert not caught
    assert before == Image.MAX_IMAGE_PIXELS == 89_478_485
    assert TiffImagePlugin.ImageFileDirectory_v2.load.__module__ == TiffImagePlugin.__name__
    assert vars(TiffImagePlugin)["warnings"] is warnings
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_byte_cap(monkeypatch, tmp_path):
    data = encode(halves())
    path = tmp_path / "big.png"
    path.write_bytes(data)
    monkeypatch.setattr("poster2plot.images.decoding.MAX_BYTES", len(data))
    assert read_image(data).size == read_image(path).size == read_image(str(path)).size == SIZE
    monkeypatch.setattr("poster2plot.images.decoding.MAX_BYTES", len(data) - 1)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read before the size check"))
    for source in (data, path):
        with pytest.raises(ImageTooLargeError, match="larger than"):
            read_image(source, name="big.png")


def test_byte_cap_is_20_mb():
    with pytest.raises(ImageTooLargeError, match="20 MB"):
        read_image(bytes(20 * 2**20 + 1))
    with pytest.raises(UnsupportedImageError):
        read_image(bytes(20 * 2**20))


# Damage


@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_cut_off(kind, part):
    data = encode(noise(), kind)
    cut = data[: max(16, int(len(data) * part))]
    with pytest.raises(DamagedImageError, match="cut off or damaged"):
        read_image(cut)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_any_damage_ends_in_a_picture_or_an_error_of_ours(kind):
    data = encode(noise((24, 24)), kind)
    generator = random.Random(7)
    for _ in range(60):
        hurt = bytearray(data)
        reach = generator.choice((64, len(hurt)))  # the header, or anywhere
        for _ in range(generator.choice((1, 4, 20))):
            hurt[generator.randrange(reach)] = generator.randrange(256)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on odd metadata
                picture = read_image(bytes(hurt))
        except ImageError:
            continue
        assert picture.mode == "RGB"
        assert max(picture.size) <= MAX_SIDE


def test_a_png_with_flipped_bits_is_damaged():
    data = bytearray(encode(noise()))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(DamagedImageError):
        read_image(bytes(data))


def test_zero_bytes(tmp_path):
    with pytest.raises(DamagedImageError, match=r"^The picture is empty \(0 bytes\); "):
        read_image(b"")
    path = tmp_path / "nothing.jpg"
    path.touch()
    with pytest.raises(DamagedImageError, match=r"'nothing\.jpg' is empty"):
        read_image(path)


# More work than any honest picture gives


def with_scans(count):
    """A progressive JPEG of so many scans, the last of which are empty."""
    data = encode(halves(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    empty = data[last : last + 2 + int.from_bytes(data[last + 2 : last + 4], "big")]
    return data[:-2] + empty * (count - data.count(b"\xff\xda")) + data[-2:]


def test_a_jpeg_of_many_scans_is_refused(monkeypatch):
    assert near(sides(read_image(with_scans(1000)))[1], RIGHT)  # a small one costs little
    monkeypatch.setattr("poster2plot.images.decoding.MAX_PIXELS", SIZE[0] * SIZE[1])
    assert near(sides(read_image(with_scans(MAX_SCANS)))[1], RIGHT)
    with pytest.raises(ImageTooLargeError, match="more work"):
        read_image(with_scans(MAX_SCANS + 1))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_encoders_write_fewer_scans(mode):
    data = encode(halves().convert(mode), "JPEG", progressive=True)
    assert data.count(b"\xff\xda") <= MAX_SCANS


def test_what_only_looks_like_scans_is_not_counted():
    marks = b"\xff\xda\0\2" * 2 * MAX_SEGMENTS
    data = encode(halves(), "JPEG")
    for look_alike in (data + marks, with_segments(segment(0xFE, marks), data)):
        assert near(sides(read_image(look_alike))[1], RIGHT)


@pytest.mark.parametrize(
    "data",
    [
        with_segments(segment(0xE5) * 100_000),
        encode(halves(), "JPEG")[:-2] + segment(0xE5) * 5000 + b"\xff\xd9",
        with_segments(b"\xff" * 200_000),
        png(2, 2, 8, 2, bytes(14), chunk(b"abCd") * 100_000),
        with_extensions(b"!\xff\1x\0" * 100_000),
        with_extensions(b"x" * 200_000),
    ],
)
def test_endless_metadata_is_refused(data):
    with pytest.raises(ImageTooLargeError, match="more work"):
        read_image(data)


def test_the_largest_honest_metadata_is_read():
    profile = segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(65_000))
    chunks = chunk(b"abCd", bytes(8192)) * 2400  # as many as 20 MB hold of the usual size
    for data in (with_segments(profile * 255), png(2, 2, 8, 2, bytes(14), chunks)):
        assert read_image(data).mode == "RGB"
    tall = tiff(1, 65_535, bytes(65_535))
    assert read_image(tall).size == (1, MAX_SIDE)


@pytest.mark.parametrize(("kind", "size"), [(4, 4), (5, 8)])  # LONG and RATIONAL
def test_a_tag_of_very_many_numbers_is_passed_over(kind, size):
    count = MAX_TAG_BYTES // size + 1
    numbers = struct.pack("<I", 6) * (MAX_TAG_BYTES // 4 + 2)
    strips = [(273, 4, 1, 512), (278, 4, 1, 8)]
    picture = grey_tiff(8, 8, [*strips, (282, kind, count, 512)], numbers)
    with guarded_directories(), Image.open(io.BytesIO(picture)) as opened:
        assert isinstance(opened, TiffImagePlugin.TiffImageFile)
        assert 282 not in opened.tag_v2
    assert read_image(picture).size == (8, 8)
    for fits in (True, False):
        block = directory([(0x0112, kind, count - fits, 512)]).ljust(512, b"\0") + numbers
        exif = io.BytesIO(with_exif("WEBP", block))
        with guarded_directories(), Image.open(exif) as opened:
            assert (0x0112 in opened.getexif()) == fits


def test_a_source_counts_what_is_read_and_each_look(monkeypatch):
    monkeypatch.setattr("poster2plot.images.limits.MAX_READ", 2 * 1024 + 10)
    source = GuardedSource(b"x" * 10)
    assert (source.read(4), source.read()) == (b"xxxx", b"x" * 6)  # all that may be spent
    with pytest.raises(ValueError, match="over and over"):
        source.read(1)
    source = GuardedSource(b"x" * 11)
    source.read(4)
    with pytest.raises(ValueError, match="over and over"):
        source.read()


def test_strips_that_lie_over_one_another_are_refused():
    # in turn the first 250 rows and the other 50, each a byte after the one before
    places = struct.pack("<100000I", *range(512, 100_512))
    with pytest.raises(ImageTooLargeError, match="more work"):
        read_image(grey_tiff(300, 300, [(273, 4, 100_000, 512), (278, 4, 1, 250)], places))


def test_odd_metadata_writes_nothing_to_the_log():
    many = directory([(tag, 2, 300, 8) for tag in range(400, 2000)])
    code = "import sys; from poster2plot import read_image; read_image(sys.stdin.buffer.read())"
    data = with_exif("PNG", many)
    done = subprocess.run(
        [sys.executable, "-c", code], input=data, capture_output=True, check=True, timeout=60
    )
    assert done.stderr == b""


# What every viewer shows


def with_chunks(chunks: bytes) -> bytes:
    """A PNG with these before its pixels."""
    data = encode(halves())
    return data[:33] + chunks + data[33:]


def bad_sum(kind: bytes, data: bytes) -> bytes:
    return chunk(kind, data)[:-1] + b"?"


LONG_TEXT = zlib.compress(b"x" * (2**20 + 1))


@pytest.mark.parametrize(
    "chunks",
    [
        chunk(b"zTXt", b"Comment\0\0" + LONG_TEXT),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + LONG_TEXT),
        chunk(b"iCCP", b"profile\0\0" + LONG_TEXT),
        chunk(b"tEXt", b"Comment\0" + b"x" * 2**20) * 17,
        bad_sum(b"tEXt", b"Comment\0x"),
        bad_sum(b"iCCP", b"profile\0\0x"),
        bad_sum(b"eXIf", directory([(0x0112, 3, 1, 6)])),
        chunk(b"pHYs", b"short"),
        chunk(b"gAMA", b""),
        chunk(b"cHRM", b"odd"),
        chunk(b"acTL", b""),
        chunk(b"tRNS", b"\0"),
    ],
)
def test_a_png_is_its_pixels_whatever_its_notes_are(chunks: bytes):
    assert sides(read_image(with_chunks(chunks))) == (LEFT, RIGHT)


def test_a_png_keeps_its_transparency_and_orientation_when_its_notes_are_odd():
    exif = chunk(b"eXIf", directory([(0x0112, 3, 1, 6)]))
    long = chunk(b"zTXt", b"Comment\0\0" + LONG_TEXT)
    key = chunk(b"tRNS", struct.pack(">3H", *LEFT))
    picture = read_image(with_chunks(exif + long + key))
    assert picture.size == SIZE[::-1]
    assert picture.getpixel((5, 5)) == WHITE


@pytest.mark.parametrize(
    "segments",
    [
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"MPF\0II*\0" + bytes(40)),
        segment(0xED, b"Photoshop 3.0\08BIM\4\4"),
        segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 3,
        segment(0xE0, b"JFIF\0"),
        segment(0xEE, b"Adobe"),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_is_its_pixels_whatever_its_notes_are(segments: bytes, mode: str):
    data = with_segments(segments, encode(halves().convert(mode), "JPEG", quality=95))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of the second picture that is not there
        picture = read_image(data)
    assert near(sides(picture)[0], LEFT, 30)


def test_a_png_may_have_a_wrong_sum_over_its_pixels_and_nothing_else():
    data = encode(noise())
    start = data.index(b"IDAT") + 4
    size = int.from_bytes(data[start - 8 : start - 4], "big")
    packed = data[start : start + size]

    def with_pixels(*parts: bytes) -> bytes:
        return data[: start - 8] + b"".join(chunk(b"IDAT", part) for part in parts) + chunk(b"IEND")

    wrong = packed[:-4] + b"0000"
    for parts in ([wrong], [wrong[:90], b"", wrong[90:]], [packed[:-4] + b"0000 and more"]):
        assert read_image(with_pixels(*parts)).tobytes() == read_image(data).tobytes()
    cut = packed[: size // 2]
    for broken in (with_pixels(cut), with_pixels(cut + b"0000"), data[: start + size - 1] + b"0"):
        with pytest.raises(DamagedImageError, match="cut off or damaged"):
            read_image(broken)
    flipped = bytearray(with_pixels(wrong))
    flipped[start + size // 2] ^= 1
    with pytest.raises(DamagedImageError, match="cut off or damaged"):
        read_image(bytes(flipped))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("end", [b"", b"\xff", b"\0" * 40])
def test_a_jpeg_may_lack_its_end_mark_and_nothing_else(options, end: bytes):
    picture = noise()
    data = encode(picture, "JPEG", **options)
    assert read_image(data[:-2] + end).tobytes() == read_image(data).tobytes()
    for cut in (len(data) * 2 // 3, len(data) - 60):
        with pytest.raises(DamagedImageError, match="cut off or damaged"):
            read_image(data[:cut] + end[:1])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_bytes_after_the_end_are_passed_over(kind: str):
    data = encode(halves(), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert near(sides(read_image(data + b"<html>and more" * 99))[1], RIGHT)


def test_a_gif_is_its_first_frame_whatever_the_second_is():
    frames = [Image.new("RGB", SIZE, colour) for colour in (LEFT, RIGHT)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    second = data.rindex(b"\x2c")
    for broken in (data[: second + 12], data[:second] + b"\x2c" + b"\xff" * 30):
        assert near(read_image(broken).getpixel((10, 10)), LEFT)


# Not a picture, or not one of ours

PICTURES_OF_OTHER_FORMATS = {
    kind: encode(halves(), kind) for kind in ("EPS", "PDF", "PPM", "TGA", "ICO", "JPEG2000", "PCX")
}


@pytest.mark.parametrize(
    "data",
    [
        b"A plot, not a poster.",
        b"\x00",
        b"\xff\xd8",
        b"<!DOCTYPE html><html><body>404</body></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"PK\x03\x04" + bytes(60),
        b"\x7fELF" + bytes(60),
        b"8BPS\0\1" + bytes(60),
        b"RIFF\x24\0\0\0WAVEfmt " + bytes(60),
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60),
        b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(60),
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(60),
        *PICTURES_OF_OTHER_FORMATS.values(),
    ],
)
def test_other_bytes_are_unsupported(data):
    with pytest.raises(UnsupportedImageError, match=r"save it as JPEG, PNG, .* or AVIF"):
        read_image(data, name="poster.jpg")


def test_the_suffix_plays_no_part(tmp_path):
    path = tmp_path / "really a png.jpg"
    path.write_bytes(encode(halves()))
    assert sides(read_image(path)) == (LEFT, RIGHT)
    bare = tmp_path / "no suffix"
    bare.write_bytes(encode(halves(), "WEBP", lossless=True))
    assert sides(read_image(bare)) == (LEFT, RIGHT)


# Metadata


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_no_metadata_is_kept(kind):
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    icc = random.Random(0).randbytes(900_000)
    data = encode(halves(), kind, exif=exif, icc_profile=icc, dpi=(72, 72))
    assert len(data) > 950_000
    picture = read_image(data)
    assert picture.info == {}
    assert not picture.getexif()
    assert len(encode(picture)) < 1000
    assert near(sides(picture)[0], LEFT)


# Names, paths, threads


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"text", UnsupportedImageError),
        (b"", DamagedImageError),
        (encode(noise())[:500], DamagedImageError),
        (png(60_000, 60_000), ImageTooLargeError),
    ],
)
def test_one_sentence_that_names_the_file(tmp_path, data, kind):
    path = tmp_path / "Alien 3.png"
    path.write_bytes(data)
    for source, name, label in [
        (path, None, "The picture 'Alien 3.png' "),
        (path, "upload 2", "The picture 'upload 2' "),
        (data, "a\nb.png", r"The picture 'a\nb.png' "),
        (data, None, "The picture "),
    ]:
        with pytest.raises(kind) as caught:
            read_image(source, name=name)
        message = str(caught.value)
        assert message.startswith(label)
        assert message.endswith(".")
        assert "\n" not in message
        assert ". " not in message
        assert "; " in message  # what is wrong; what to do next


def test_missing_path(tmp_path):
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(InputError, match="There is no file at"):
            read_image(path)


def test_a_path_that_cannot_be_opened(tmp_path):
    with pytest.raises(InputError, match="cannot be opened"):
        read_image(tmp_path / ("x" * 300 + ".jpg"))


def test_threads():
    good, bad, bomb = encode(halves()), encode(noise())[:400], png(10_000, 10_000)

    def outcome(data):
        try:
            return read_image(data).size
        except ImageError as error:
            return type(error)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(outcome, [good, bad, bomb] * 40))
    assert results == [SIZE, DamagedImageError, ImageTooLargeError] * 40


# Folders


def test_suffixes_are_sorted_and_known_to_pillow():
    assert list(IMAGE_SUFFIXES) == sorted(set(IMAGE_SUFFIXES))
    known = Image.registered_extensions()
    assert {known[suffix] for suffix in IMAGE_SUFFIXES} == {*FORMATS, "MPO"}


def test_image_files(tmp_path):
    wanted = ["2/b.jpg", "10/a.png", "a 9.WEBP", "A 10.jpeg", "b.tif", "deep/er/still/x.AVIF"]
    others = [".hidden.jpg", ".git/x.jpg", "deep/.y/z.png", "notes.txt", "jpg", "movie.mp4"]
    for name in [*wanted, *others]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)] == wanted


def test_a_hidden_folder_can_be_asked_for(tmp_path):
    folder = tmp_path / ".posters"
    folder.mkdir()
    (folder / "a.jpg").touch()
    assert image_files(folder) == [folder / "a.jpg"]


def test_a_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"holds no picture; .*\.avif, .*\.webp\."):
        image_files(tmp_path)
    for path in (tmp_path / "missing", tmp_path / "notes.txt"):
        with pytest.raises(InputError, match="There is no folder at"):
            image_files(path)


def test_links_to_folders_are_followed_and_end(tmp_path):
    folder, elsewhere = tmp_path / "posters", tmp_path / "elsewhere"
    for each in (folder, elsewhere):
        each.mkdir()
        (each / "a.jpg").touch()
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    (folder / "nowhere").symlink_to(tmp_path / "gone")
    (elsewhere / "above").symlink_to(tmp_path)
    (folder / "again").symlink_to(elsewhere)
    found = [path.relative_to(folder).as_posix() for path in image_files(folder)]
    assert {"a.jpg", "again/a.jpg", "linked/a.jpg"} < set(found)
    assert len(found) < 20


class Yielding(io.BytesIO):
    """A file at whose every read other threads may run; `readers` are those that read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.readers: set[int] = set()

    def read(self, size: int | None = -1, /) -> bytes:
        self.readers.add(threading.get_ident())
        for _ in range(100):
            time.sleep(0)
        return super().read(size)


def test_an_open_picture_is_loaded_once_for_many_threads():
    data = encode(Image.effect_noise((400, 600), 50), "PNG")
    file = Yielding(data)
    picture, start = Image.open(file), threading.Barrier(4)
    file.readers.clear()

    def read(_: int) -> bytes:
        start.wait(30)
        return read_picture(picture).tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, range(4))) == {read_image(data).tobytes()}
    assert len(file.readers) == 1
