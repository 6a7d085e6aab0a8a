"""What a viewer passes over in a picture that Pillow refuses: odd metadata, a missing end mark."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_NEEDED = (b"tRNS", b"eXIf")  # beside the chunks that every reader has to know
_MAX_CHUNKS = 20_000
_MAX_SEGMENTS = 2000
_SHORTEST = {0xE0: 18, 0xEE: 16}  # bytes of a segment of JFIF and of Adobe's
_TRANSPARENT = {0: (2,), 2: (6,), 3: range(1, 257)}  # bytes of tRNS, by the colour type
_COLOUR_TYPE = 25  # its place in a PNG
_ZLIB_HEADER = 2  # bytes
_PIECE = 2**14  # bytes of packed pixels at once, which may be a thousand times as many
_MAX_ROWS = 2**29  # bytes; more than the rows of the largest picture that is read
_END_OF_IMAGE = b"\xff\xd9"
_FILLER = bytes(range(1, 255)) * 4  # as if the pixels went on: no mark of a JPEG is in it


class Repair(NamedTuple):
    """A picture to try instead. Where `alike` is there, both have to give the same pixels."""

    data: bytes
    alike: bytes | None = None


def repairs(data: bytes) -> Iterator[Repair]:
    """What to try for a picture that could not be decoded, none for what is no PNG or JPEG."""
    if data.startswith(_PNG):
        plain = _plain_png(data)
        for repaired in (plain, _with_sum_of_pixels(plain)):
            if repaired != data:
                yield Repair(repaired)
    elif data.startswith(b"\xff\xd8"):
        plain = _plain_jpeg(data)
        if plain != data:
            yield Repair(plain)
        # If only the end mark is missing, it makes no difference what comes in its place; if
        # pixels are missing, they are made of what comes.
        whole = plain.rstrip(b"\xff")
        yield Repair(whole + _END_OF_IMAGE, whole + _FILLER + _END_OF_IMAGE)


def _plain_png(data: bytes) -> bytes:
    """A PNG with the chunks that make its pixels and its orientation.

    Texts and colour profiles may be longer than Pillow allows, or have a wrong check sum, which
    makes no other reader give up.
    """
    kept, place = [_PNG], len(_PNG)
    for _ in range(_MAX_CHUNKS):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        is_critical = not kind[:1].islower()
        is_sound = zlib.crc32(data[place + 4 : end - 4]).to_bytes(4, "big") == data[end - 4 : end]
        if kind == b"tRNS":
            is_sound &= end - place - 12 in _TRANSPARENT.get(data[_COLOUR_TYPE], ())
        if is_critical or (kind in _NEEDED and is_sound):
            kept.append(data[place:end])
        place = end
        if kind == b"IEND" or place >= len(data):
            return b"".join(kept)
    return data


def _with_sum_of_pixels(data: bytes) -> bytes:
    """A PNG whose pixels are all there, with the sum over them that it should have.

    That is at the end of what its IDAT hold together, each of which has a sum of its own.
    """
    pieces, start, place = [], 0, len(_PNG)
    for _ in range(_MAX_CHUNKS):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if end > len(data):
            break
        if data[place + 4 : place + 8] == b"IDAT":
            if zlib.crc32(data[place + 4 : end - 4]).to_bytes(4, "big") != data[end - 4 : end]:
                return data
            start = start or place
            pieces.append(data[place + 8 : end - 4])
        place = end
    packed, unpacker, total, rows = b"".join(pieces), zlib.decompressobj(-zlib.MAX_WBITS), 1, 0
    for at in range(_ZLIB_HEADER, len(packed), _PIECE):
        piece = packed[at : at + _PIECE]
        try:
            some = unpacker.decompress(piece)
        except zlib.error:
            return data
        total, rows = zlib.adler32(some, total), rows + len(some)
        if unpacker.eof:
            whole = packed[: at + len(piece) - len(unpacker.unused_data)]
            return (
                data[:start] + _chunk(b"IDAT", whole + total.to_bytes(4, "big")) + _chunk(b"IEND")
            )
        if rows > _MAX_ROWS:
            break
    return data


def _chunk(kind: bytes, data: bytes = b"") -> bytes:
    checked = kind + data
    return len(data).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")


def _plain_jpeg(data: bytes) -> bytes:
    """A JPEG without profiles, comments and other pictures before its pixels."""
    kept, place = [data[:2]], 2
    for _ in range(_MAX_SEGMENTS):
        if data[place : place + 1] != b"\xff":
            break
        marker = data[place + 1] if place + 1 < len(data) else 0
        if marker == 0xDA or not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= 0xD9:
            break
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        segment = data[place:end]
        is_exif = marker == 0xE1 and segment[4:10] == b"Exif\0\0"
        is_note = marker == 0xFE or (0xE1 <= marker <= 0xEF and marker != 0xEE)
        is_short = len(segment) < _SHORTEST.get(marker, 0)
        if is_exif or not (is_note or is_short):
            kept.append(segment)
        place = end
    return b"".join([*kept, data[place:]])
