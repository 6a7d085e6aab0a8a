"""What a viewer passes over in a picture that Pillow refuses: odd metadata, a missing end mark."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_NEEDED = (b"tRNS", b"eXIf")  # beside the chunks that every reader has to know
_MAX_CHUNKS = 20_000
_MAX_SEGMENTS = 2000
_JFIF = 18  # bytes of its segment at least
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
        if plain != data:
            yield Repair(plain)
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
        if is_critical or (kind in _NEEDED and is_sound):
            kept.append(data[place:end])
        place = end
        if kind == b"IEND" or place >= len(data):
            return b"".join(kept)
    return data


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
        is_short = marker == 0xE0 and len(segment) < _JFIF
        if is_exif or not (is_note or is_short):
            kept.append(segment)
        place = end
    return b"".join([*kept, data[place:]])
