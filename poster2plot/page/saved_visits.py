"""A visit as a file and back: records with votes, the posters, and the cards to share."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image
from pydantic import TypeAdapter, create_model

from poster2plot import Poster2PlotError
from poster2plot.page.escaping import file_stem
from poster2plot.page.session_state import (
    MOST_KEPT,
    PlotKey,
    WrittenPlots,
    keep_plots,
    written_plots,
)
from poster2plot.page.share_card import plot_card
from poster2plot.page.thumbnails import small_jpeg
from poster2plot.page.votes import set_vote, vote_of
from poster2plot.records import title_and_year
from poster2plot.server.http_types import PlotRecord
from poster2plot.server.service import PlotService
from poster2plot.server.visitor import Visitor

RECORDS = "plots.json"
_MOST_RECORD_BYTES = 4 * 2**20
_MOST_POSTER_BYTES = 2**20  # of one; those that `small_jpeg` makes have a tenth
_SIDE_IN_JSON = 360  # px of a poster's longer side
_JPEG_URL = "data:image/jpeg;base64,"
# What zipfile raises for damaged, encrypted and odd archives, and base64 for what is none.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError),
    *(ValueError, KeyError, RuntimeError, NotImplementedError),
)
_WRONG = "This is no visit that was saved here; choose the plots.zip or plots.json of a download."

_Vote: Any = Literal["good", "nonsense", ""]
_SavedPlot: Any = create_model(
    "SavedPlot", __base__=PlotRecord, vote=(_Vote, ""), picture=(str, "")
)
_SavedPlots = TypeAdapter(list[_SavedPlot])


@dataclass(frozen=True)
class KeptPlot:
    """A plot with the visitor's vote: what a download needs, which is made outside of the visit."""

    written: WrittenPlots
    vote: str | None

    @property
    def record(self) -> dict[str, Any]:
        """The plot's record with the vote, "" where there is none."""
        return {**self.written.record, "vote": (self.vote or "").lower()}


def kept(plots: Sequence[PlotKey]) -> list[KeptPlot]:
    """Those of the plots that are still there."""
    written = written_plots()
    return [KeptPlot(written[plot], vote_of(plot)) for plot in plots if plot in written]


def as_json(plots: Sequence[KeptPlot]) -> str:
    """The records of plots with their votes, and the posters in small as `data:` URLs."""
    return _dumped([{**plot.record, "picture": _as_url(plot.written.picture)} for plot in plots])


def as_archive(plots: Sequence[KeptPlot]) -> bytes:
    """A ZIP of the records, the posters, and the cards."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # pictures are compressed already
        records = _dumped([plot.record for plot in plots])
        archive.writestr(RECORDS, records, zipfile.ZIP_DEFLATED)
        for number, plot in enumerate(plots, 1):
            written = plot.written
            archive.writestr(_poster_name(number), written.picture)
            name = f"cards/{number:03}-{file_stem(written.label)}.png"
            archive.writestr(name, plot_card(written.picture, written.record))
    return buffer.getvalue()


def open_visit(data: bytes, desk: PlotService, visitor: Visitor) -> int:
    """Add the plots of `as_archive` or `as_json` that this visit lacks, and return how many.

    Raises `Poster2PlotError` where it is no such file, or a picture in it is none, and then adds
    nothing.
    """
    opened = _open_archive if zipfile.is_zipfile(io.BytesIO(data)) else _open_json
    try:
        saved, pictures = opened(data)
    except _UNREADABLE:
        raise Poster2PlotError(_WRONG) from None
    posters = [desk.read(picture, name="a poster", visitor=visitor) for picture in pictures]
    here, added = {_digest(plots.record) for plots in written_plots().values()}, 0
    for each, poster in zip(saved, posters, strict=True):
        record = each.model_dump(mode="json", exclude_unset=True)
        record.pop("picture", None)
        vote = record.pop("vote", "")
        key = ("saved", _digest(record))
        if key[1] in here:
            continue
        added += 1
        label = title_and_year(record["title"]) if _has_title(record) else record["source"]
        keep_plots(key, WrittenPlots(label, small_jpeg(poster.image), [], record, {}))
        set_vote(key, vote.capitalize() or None)
    return added


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _open_archive(data: bytes) -> tuple[list[Any], list[bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        saved = _validated(_read(archive, RECORDS, _MOST_RECORD_BYTES))
        names = [_poster_name(number) for number in range(1, len(saved) + 1)]
        return saved, [_read(archive, name, _MOST_POSTER_BYTES) for name in names]


def _open_json(data: bytes) -> tuple[list[Any], list[bytes]]:
    saved = _validated(data)
    if not all(each.picture.startswith(_JPEG_URL) for each in saved):
        raise ValueError("no posters")  # as in the JSON that other faces write
    return saved, [
        base64.b64decode(each.picture.removeprefix(_JPEG_URL), validate=True) for each in saved
    ]


def _validated(records: bytes) -> list[Any]:
    """Raises `ValidationError`, or `Poster2PlotError` where there are too many."""
    saved: list[Any] = _SavedPlots.validate_json(records)
    if len(saved) > MOST_KEPT:
        raise Poster2PlotError(f"A visit has at most {MOST_KEPT} plots.")
    return saved


def _dumped(records: list[dict[str, Any]]) -> str:
    return json.dumps(records, ensure_ascii=False, indent=2)


def _as_url(jpeg: bytes) -> str:
    with Image.open(io.BytesIO(jpeg)) as picture:
        small = small_jpeg(picture, _SIDE_IN_JSON)
    return f"{_JPEG_URL}{base64.b64encode(small).decode()}"


def _has_title(record: dict[str, Any]) -> bool:
    return bool((record["title"] or {}).get("title"))


def _poster_name(number: int) -> str:
    return f"posters/{number:03}.jpg"


def _read(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file of an archive. Raises `KeyError` where it is not there, `BadZipFile` where too big."""
    with archive.open(name) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise zipfile.BadZipFile
    return data
