"""Tars of pictures, such as WebDataset's."""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any, Literal, NamedTuple

from poster2plot.batch.catalogues.columns import TITLES, title_in
from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.names import is_hidden, printable
from poster2plot.batch.catalogues.passed_over import PassedOver
from poster2plot.batch.catalogues.stores import Place, version
from poster2plot.batch.catalogues.trouble import is_failure, raise_failure
from poster2plot.errors import InputError
from poster2plot.images.limits import IMAGE_SUFFIXES

COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_JSON_BYTES = 2**20  # a longer one is not about a picture
_LONGEST_LINE = 80  # characters; longer ones are captions and plots
_BLOCK = 512  # bytes; of zeros, it ends a tar


class _Member(NamedTuple):
    kind: Literal["part", "sparse"]
    offset: int
    size: int


def tar_items(place: Place, passed_over: PassedOver) -> Iterator[Item]:
    """The pictures of a tar in its order, without unpacking it.

    Of members with the same name the last counts, as it does when a tar is unpacked; links lead to
    the members that they name. The `title` that a .json says is that of the pictures under its
    name, as in WebDataset, or else the line of a .txt. Where a tar is cut off, a last item says so.
    Raises `InputError` where it is not a tar, or is compressed.
    """
    url, before = place.url, version(place.url)
    try:
        members, titles, cut = _members(place, passed_over)
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise_failure(error, place.shown, place.url)
        raise InputError(f"{place.shown!r} is not a tar, or it is damaged.") from error
    if version(url) != before:
        raise InputError(f"{place.shown!r} changed while it was listed; start again later.")
    for name, member in members.items():
        source = f"{place.shown}/{printable(name)}"
        title = titles.get(_sample(name), "")
        yield Item(source, member.kind, url, member.offset, member.size, before, title=title)
    if cut:
        why = f"{place.shown!r} is cut off or damaged after {cut!r}; what came then is lost."
        yield Item(place.shown, "nothing", url, version=before, detail=why)


def _members(
    place: Place, passed_over: PassedOver
) -> tuple[dict[str, _Member], dict[str, str], str]:
    """The pictures by name, titles by sample and, where the end is missing, the last member."""
    found: dict[str, _Member | str] = {}  # or what a link of that name leads to
    titles: dict[str, str] = {}
    texts: dict[str, str] = {}
    last = ""
    with place.fs.open(place.path) as file:
        _refuse_compressed(file, place)
        tar = tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape")
        while True:
            try:
                member = tar.next()
            except (OSError, tarfile.TarError, EOFError, ValueError) as error:
                if not last or is_failure(error, place.url):
                    raise
                break
            if member is None:
                file.seek(tar.offset)
                if file.read(_BLOCK).strip(b"\0"):
                    break  # no header and no end
                if (more := _after_the_end(file)) is None:
                    last = ""
                    break
                tar.offset = more  # another tar, as `cat a.tar b.tar` leaves it
                continue
            tar.members = []  # type: ignore[attr-defined]  # what is listed would be kept
            name = member.name.removeprefix("./")
            last = printable(name) or "."
            if member.isdir():
                continue
            shown, suffix = f"{place.shown}/{last}", PurePosixPath(name).suffix.lower()
            if is_hidden(name):
                passed_over.add("hidden", shown)
            elif suffix == ".json" and _is_short_file(member):
                titles[_sample(name)] = _title(tar.extractfile(member))
            elif suffix == ".txt" and _is_short_file(member):
                texts[_sample(name)] = _title_of_text(tar.extractfile(member))
            elif suffix not in IMAGE_SUFFIXES:
                passed_over.add("of another kind", shown)
            else:
                if found.pop(name, None):
                    passed_over.add("replaced by later members of the same name", shown)
                if member.islnk():  # to what bears that name now, not to what replaces it later
                    target = member.linkname.removeprefix("./")
                    found[name] = found.get(target, target)
                elif member.issym():
                    above = posixpath.dirname(name)
                    found[name] = posixpath.normpath(posixpath.join(above, member.linkname))
                elif member.issparse():
                    found[name] = _Member("sparse", member.offset, member.size)
                else:
                    found[name] = _Member("part", member.offset_data, member.size)
    pictures: dict[str, _Member] = {}
    for name in found:
        end = _end_of(name, found)
        if isinstance(end, _Member):
            pictures[name] = end
        else:
            passed_over.add("links that lead nowhere", f"{place.shown}/{printable(name)}")
    return pictures, texts | {sample: title for sample, title in titles.items() if title}, last


def _after_the_end(file: Any) -> int | None:
    """Where the next header is after the zeros that end a tar, None where there is nothing."""
    while block := file.read(_BLOCK):
        if block.strip(b"\0"):
            place: int = file.tell() - len(block)
            try:
                tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError:  # what tar passes over, too
                return None
            return place
    return None


def _sample(name: str) -> str:
    """The part of a name that all files of a sample share: up to the first dot after the folder."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.split('.')[0]}"


def _is_short_file(member: tarfile.TarInfo) -> bool:
    return member.isfile() and not member.issparse() and member.size <= _JSON_BYTES


def _title(file: IO[bytes] | None) -> str:
    """The title in a file of JSON, or nothing, whatever else the file may be."""
    try:
        about = json.loads(file.read()) if file else None
    except (ValueError, RecursionError):
        return ""
    return title_in(about.get(TITLES)) if isinstance(about, dict) else ""


def _title_of_text(file: IO[bytes] | None) -> str:
    """The title in a file of text: its only line, where that is as short as titles are."""
    text = file.read().decode("utf-8", "surrogateescape").strip() if file else ""
    return "" if len(text.splitlines()) > 1 or len(text) > _LONGEST_LINE else title_in(text)


def _end_of(name: str, found: dict[str, _Member | str]) -> _Member | str | None:
    """What a name leads to in the end, over links; no member where it leads nowhere."""
    seen: set[str] = set()
    end: _Member | str | None = name
    while isinstance(end, str) and end not in seen:
        seen.add(end)
        end = found.get(end)
    return end


def _refuse_compressed(file: Any, place: Place) -> None:
    start = file.read(8)
    file.seek(0)
    for magic, program in COMPRESSIONS.items():
        if start.startswith(magic):
            raise InputError(
                f"{place.shown!r} is compressed with {program}, so that no poster in it can be "
                "read by itself; unpack it and give the folder or the .tar."
            )
