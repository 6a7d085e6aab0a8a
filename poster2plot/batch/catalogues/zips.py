"""Zip archives of pictures."""

from __future__ import annotations

import contextlib
import posixpath
import stat
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.names import is_hidden, printable
from poster2plot.batch.catalogues.passed_over import PassedOver
from poster2plot.batch.catalogues.stores import Place, version
from poster2plot.batch.catalogues.trouble import raise_failure
from poster2plot.errors import InputError
from poster2plot.images.limits import IMAGE_SUFFIXES

_UTF_8 = 0x800  # flag of a name
_ENCRYPTED = 0x1
_WINDOWS = 0  # or MS-DOS


def zip_items(place: Place, passed_over: PassedOver) -> Iterator[Item]:
    """The pictures of a zip in its order, without unpacking it; links lead to members.

    Raises `InputError` where it is not a whole zip.
    """
    before = version(place.url)
    found: dict[str, zipfile.ZipInfo] = {}
    for member in zip_members(place):
        name = member_name(member)
        shown = f"{place.shown}/{printable(name)}"
        if name.endswith("/"):
            continue
        if is_hidden(name):
            passed_over.add("hidden", shown)
        elif PurePosixPath(name).suffix.lower() not in IMAGE_SUFFIXES:
            passed_over.add("of another kind", shown)
        else:
            if found.pop(name, None):
                passed_over.add("replaced by later members of the same name", shown)
            found[name] = member
    if version(place.url) != before:
        raise InputError(f"{place.shown!r} changed while it was listed; start again later.")
    for name, member in found.items():
        item = _item(place, name, member, before)
        if stat.S_ISLNK(member.external_attr >> 16) and item.kind != "nothing":
            target = item.read().decode("utf-8", "surrogateescape")
            above = posixpath.dirname(name)
            end = found.get(posixpath.normpath(posixpath.join(above, target)))
            if end is None or stat.S_ISLNK(end.external_attr >> 16):
                passed_over.add("links that lead nowhere", item.source)
                continue
            item = _item(place, name, end, before)
        yield item


def zip_members(place: Place) -> list[zipfile.ZipInfo]:
    """What a zip says that it holds. Raises `InputError`."""
    try:
        with place.fs.open(place.path) as file, zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise_failure(error, place.shown, place.url)
        raise InputError(f"{place.shown!r} is not a zip, or it is cut off or damaged.") from error


def member_name(member: zipfile.ZipInfo) -> str:
    """The name of a member; Macs write UTF-8 without saying so, some of Windows backslashes."""
    name = member.filename
    if not member.flag_bits & _UTF_8 and not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    if member.create_system == _WINDOWS:
        name = name.replace("\\", "/")
    return name.removeprefix("./")


def _item(place: Place, name: str, member: zipfile.ZipInfo, version_of_zip: str) -> Item:
    source, url = f"{place.shown}/{printable(name)}", place.url
    why = ""
    if member.flag_bits & _ENCRYPTED:
        why = f"{source!r} is encrypted; unpack the archive first."
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        kind = zipfile.compressor_names.get(member.compress_type, "a rare method")  # type: ignore[attr-defined]
        why = f"{source!r} is compressed with {kind}; unpack the archive first."
    if why:
        return Item(source, "nothing", url, version=version_of_zip, detail=why)
    stored = member.compress_type == zipfile.ZIP_STORED
    kind_of_item = "stored" if stored else "deflated"
    return Item(
        source,
        kind_of_item,  # type: ignore[arg-type]
        url,
        member.header_offset,
        member.compress_size,
        version_of_zip,
    )
