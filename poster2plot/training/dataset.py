"""From posters and plots as people have them to a clean dataset with a split that stays.

Sources: the Kaggle layout of the original (`IMDb movies.csv` and a tree of `<id>.jpg`), or any CSV
with an id and a text column beside a folder that holds pictures and tars of pictures. The prepared
dataset is a folder of its own: `pairs.csv` says where each picture lies, `references.csv` holds
further plots of the same titles, `report.json` what was left out and why.
"""

import csv
import hashlib
import json
import re
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from PIL import Image

from poster2plot.errors import ImageError, InputError
from poster2plot.images.decoding import read_image
from poster2plot.images.limits import IMAGE_SUFFIXES

SPLITS = ("train", "valid", "test")
ID_COLUMNS = ("imdb_title_id", "id", "tconst")
TEXT_COLUMNS = ("description", "text", "plot", "overview")
SHORTEST_PLOT = 20  # characters; what is shorter is a tagline or a placeholder

_ID = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Picture:
    """Where a picture's bytes lie: a whole file, or `size` bytes at `offset` of a tar."""

    file: str
    offset: int = 0
    size: int = -1

    def read(self) -> Image.Image:
        """The picture, upright RGB. Raises `ImageError` or `InputError`."""
        return read_image(self.bytes(), name=self.file)

    def bytes(self) -> bytes:
        """Raises `InputError`."""
        try:
            with Path(self.file).open("rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise InputError(f"The picture file {self.file!r} cannot be read.") from error


@dataclass(frozen=True)
class Pair:
    """A poster and the plot to learn for it."""

    id: str
    split: str
    kind: str  # "movie", "tv" or empty
    language: str  # of the title, as the source writes it; empty where it is silent
    title: str
    text: str
    picture: Picture


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset."""

    pairs: tuple[Pair, ...]
    references: dict[str, tuple[str, ...]]  # further plots by id

    @classmethod
    def read(cls, folder: Path) -> "Dataset":
        """Read what `prepare` wrote. Raises `InputError` where there is no dataset."""
        if not (folder / "pairs.csv").is_file() or not (folder / "report.json").is_file():
            raise InputError(
                f"{str(folder)!r} holds no prepared dataset; make one with "
                "`python -m poster2plot.training dataset`."
            )
        names = [field.name for field in fields(Pair) if field.name != "picture"]
        pairs = []
        for row in _rows(folder / "pairs.csv"):
            picture = Picture(row["file"], int(row["offset"]), int(row["size"]))
            pairs.append(Pair(**{name: row[name] for name in names}, picture=picture))
        references = defaultdict(list)
        if (folder / "references.csv").is_file():
            for row in _rows(folder / "references.csv"):
                references[row["id"]].append(row["text"])
        return cls(tuple(pairs), {id: tuple(texts) for id, texts in references.items()})

    def split(self, name: str) -> list[Pair]:
        """The pairs of "train", "valid" or "test", in the source's order."""
        return [pair for pair in self.pairs if pair.split == name]


@dataclass(frozen=True)
class Report:
    """What became of a source's rows."""

    rows: int
    kept: dict[str, int]  # pairs by split
    dropped: dict[str, int]  # rows by reason

    def __str__(self) -> str:
        lines = [f"{self.rows} rows, {sum(self.kept.values())} pairs kept"]
        lines += [f"  {count:6} {split}" for split, count in self.kept.items()]
        lines += [f"{sum(self.dropped.values())} dropped"]
        lines += [f"  {count:6} {reason}" for reason, count in sorted(self.dropped.items())]
        return "\n".join(lines)


def prepare(
    table: Path,
    pictures: Path,
    out: Path,
    *,
    references: Path | None = None,
    id_column: str | None = None,
    text_column: str | None = None,
    shares: tuple[float, float] = (0.1, 0.0),
    seed: int = 42,
) -> Report:
    """Write a clean dataset to `out` and report what was dropped.

    `pictures` is a folder, or one tar, whose pictures are called `<id>.<suffix>` at any depth.
    `shares` are those of valid and test. Each id's split follows from `seed` and the id alone, so
    that other rows do not move it; a `split` column of the table is kept instead. Of rows with the
    same id, plot or picture the first stays. Raises `InputError` for a source that cannot be used.
    """
    found = index_pictures(pictures)
    ids: set[str] = set()
    texts: set[str] = set()
    seen: set[bytes] = set()
    dropped: Counter[str] = Counter()
    pairs: list[Pair] = []
    total = 0
    for row in _rows(table):
        total += 1
        id = (row.get(id_column or _column(row, ID_COLUMNS, table)) or "").strip()
        text = (row.get(text_column or _column(row, TEXT_COLUMNS, table)) or "").strip()
        text = " ".join(text.split())
        split = row.get("split") or _split(id, shares, seed)
        reason = None
        if None in row or None in row.values() or not _ID.fullmatch(id) or split not in SPLITS:
            reason = "bad row"
        elif id in ids:
            reason = "repeated id"
        elif len(text) < SHORTEST_PLOT:
            reason = "no plot"
        elif text in texts:
            reason = "repeated plot"
        elif id not in found:
            reason = "no picture"
        else:
            reason = _look(found[id], seen)
        if reason:
            dropped[reason] += 1
            continue
        ids.add(id)
        texts.add(text)
        kind = row.get("kind") or ("movie" if "imdb_title_id" in row else "")
        language = (row.get("language") or "").split(",")[0].strip()
        pairs.append(Pair(id, split, kind, language, row.get("title") or "", text, found[id]))

    report = Report(total, {s: sum(p.split == s for p in pairs) for s in SPLITS}, dict(dropped))
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "pairs.csv", [_flat(pair) for pair in pairs])
    if references is not None:
        _write(out / "references.csv", [r for r in _rows(references) if r["id"] in ids])
    (out / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    return report


def index_pictures(source: Path) -> dict[str, Picture]:
    """Pictures by id (the file's stem): in a folder at any depth, in tars in it, or in one tar."""
    if not source.exists():
        raise InputError(f"{str(source)!r} does not exist; name a folder or tar of posters.")
    found: dict[str, Picture] = {}
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    for path in files:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found.setdefault(path.stem, Picture(str(path.resolve())))
        elif path.suffix == ".tar":
            try:
                with tarfile.open(path, "r:") as tar:
                    for member in tar:
                        if member.isfile():
                            place = Picture(str(path.resolve()), member.offset_data, member.size)
                            found.setdefault(Path(member.name).stem, place)
            except tarfile.TarError as error:
                raise InputError(f"The tar {str(path)!r} is damaged; get it again.") from error
    return found


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV file; a byte that is not UTF-8 costs one character, not the file."""
    csv.field_size_limit(2**24)
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            yield from csv.DictReader(file)
    except OSError as error:
        raise InputError(f"The table {str(path)!r} cannot be read; check the path.") from error


def _column(row: dict[str, str], candidates: Sequence[str], table: Path) -> str:
    for name in candidates:
        if name in row:
            return name
    raise InputError(
        f"{str(table)!r} has none of the columns {', '.join(candidates)}; name its own with "
        "--id-column and --text-column."
    )


def _split(id: str, shares: tuple[float, float], seed: int) -> str:
    digest = hashlib.sha256(f"{seed}:{id}".encode()).digest()
    place = int.from_bytes(digest[:8]) / 2**64
    valid, test = shares
    return "valid" if place < valid else "test" if place < valid + test else "train"


def _look(picture: Picture, seen: set[bytes]) -> str | None:
    """Why a picture cannot be used, if so; `seen` holds the digests of the ones before."""
    try:
        digest = hashlib.sha256(picture.bytes()).digest()
        if digest in seen:
            return "repeated picture"
        picture.read()
    except (ImageError, InputError):
        return "unreadable picture"
    seen.add(digest)
    return None


def _flat(pair: Pair) -> dict[str, str]:
    row = asdict(pair)
    picture: dict[str, str] = row.pop("picture")
    return row | picture


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["id"])
        writer.writeheader()
        writer.writerows(rows)
