"""From posters and plots as people have them to a clean dataset with a split that stays.

Sources: the Kaggle layout of the original (`IMDb movies.csv` and a tree of `<id>.jpg`), or any CSV
with an id and a text column beside a folder that holds pictures and tars of pictures. The prepared
dataset is a folder of its own: `pairs.csv` says where each picture lies, `references.csv` holds
further plots of the same titles, `report.json` what was left out and why.
"""

import csv
import hashlib
import json
import sys
import tarfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from PIL import Image

from poster2plot.errors import ImageError, InputError
from poster2plot.images.decoding import read_image
from poster2plot.images.limits import IMAGE_SUFFIXES
from poster2plot.training.tables import ID_COLUMNS, UNEVEN, is_packed, read_rows

SPLITS = ("train", "valid", "test")
TEXT_COLUMNS = ("description", "text", "plot", "overview")
SHORTEST_PLOT = 20  # characters; what is shorter is a tagline or a placeholder

# As others call the splits.
_SPLIT_NAMES = {"training": "train", "val": "valid", "validation": "valid", "dev": "valid",
                "development": "valid", "testing": "test"}  # fmt: skip
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".zip",
             ".7z", ".rar")  # fmt: skip


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
        try:
            for row in read_rows(folder / "pairs.csv"):
                picture = Picture(row["file"], int(row["offset"]), int(row["size"]))
                pairs.append(Pair(**{name: row[name] for name in names}, picture=picture))
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{str(folder / 'pairs.csv')!r} is damaged; prepare the dataset anew."
            ) from error
        references = defaultdict(list)
        if (folder / "references.csv").is_file():
            for row in read_rows(folder / "references.csv", id=("id",), text=("text",)):
                references[row["id"]].append(row["text"])
        return cls(tuple(pairs), {id: tuple(texts) for id, texts in references.items()})

    def split(self, name: str) -> list[Pair]:
        """The pairs of "train", "valid" or "test", in the source's order."""
        return [pair for pair in self.pairs if pair.split == name]

    def needed(self, name: str) -> list[Pair]:
        """As `split`. Raises `InputError` where it has no pairs."""
        if pairs := self.split(name):
            return pairs
        raise InputError(
            f"The dataset has no {name} pairs; prepare it anew with more rows or another share."
        )


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
    same id, plot or picture the first stays. Raises `InputError` for a source that cannot be used,
    or of which nothing stays.
    """
    valid, test = shares
    if not (valid >= 0 and test >= 0 and valid + test <= 1):  # nor NaN
        raise InputError(
            "The shares --valid and --test lie between 0 and 1, and so does their sum."
        )
    found = index_pictures(pictures)
    ids: set[str] = set()
    texts: set[str] = set()
    seen: set[bytes] = set()
    dropped: Counter[str] = Counter()
    pairs: list[Pair] = []
    total = 0
    rows = read_rows(
        table,
        dropped=dropped,
        hint="name its own with --id-column and --text-column",
        id=(id_column,) if id_column else ID_COLUMNS,
        text=(text_column,) if text_column else TEXT_COLUMNS,
    )
    for row in rows:
        total += 1
        id, text = plain_id(row["id"]), " ".join(row["text"].split())
        split = split_name(row.get("split", "")) or _split(id, shares, seed)
        picture, reason = None, ""
        if not id:
            reason = "no id"
        elif "/" in id or not id.isprintable():
            reason = "id that is no file's name"
        elif split not in SPLITS:
            reason = f"split that is none of {', '.join(SPLITS)}"
        elif id in ids:
            reason = "repeated id"
        elif len(text) < SHORTEST_PLOT:
            reason = "no plot"
        elif text in texts:
            reason = "repeated plot"
        elif id not in found:
            reason = "no picture"
        else:
            picture, reason = _look(found[id], seen)
        if picture is None:
            dropped[reason] += 1
            continue
        ids.add(id)
        texts.add(text)
        kind = row.get("kind") or ("movie" if "imdb_title_id" in row else "")
        language = row.get("language", "").split(",")[0].strip()
        pairs.append(Pair(id, split, kind, language, row.get("title", ""), text, picture))

    total += dropped[UNEVEN]
    report = Report(total, {s: sum(p.split == s for p in pairs) for s in SPLITS}, dict(+dropped))
    if not found:
        raise InputError(f"{str(pictures)!r} holds no pictures; name a folder or tar of posters.")
    if not pairs:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(report.dropped.items()))
        raise InputError(f"None of the {total} rows of {str(table)!r} is left: {why or 'no rows'}.")
    others = [] if references is None else _references(references, ids)
    out.mkdir(parents=True, exist_ok=True)
    for of_earlier_run in ("report.json", "references.csv"):
        (out / of_earlier_run).unlink(missing_ok=True)
    _write(out / "pairs.csv", [_flat(pair) for pair in pairs])
    if others:
        _write(out / "references.csv", others)
    (out / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    return report


def split_name(text: str) -> str:
    """A split as `SPLITS` has it, whatever others call it; what is none stays."""
    name = text.strip().lower()
    return _SPLIT_NAMES.get(name, name)


def plain_id(text: str) -> str:
    """An id or the name of a file; systems write é as one code point or as two."""
    return unicodedata.normalize("NFC", text.strip())


def _references(table: Path, ids: set[str]) -> list[dict[str, str]]:
    found = [
        {"id": id, "text": row["text"]}
        for row in read_rows(table, id=ID_COLUMNS, text=TEXT_COLUMNS)
        if (id := plain_id(row["id"])) in ids and row["text"].strip()
    ]
    if not found:
        raise InputError(f"{str(table)!r} has no text for an id of the pairs; check its ids.")
    return found


def index_pictures(source: Path) -> dict[str, list[Picture]]:
    """Pictures by id (the file's stem or name): in a folder at any depth, in tars in it, or a tar.

    An archive in the folder that cannot be read is told. Raises `InputError` where `source` is one.
    """
    if not source.exists():
        raise InputError(f"{str(source)!r} does not exist; name a folder or tar of posters.")
    found: dict[str, list[Picture]] = defaultdict(list)
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    for path in files:
        try:
            for name, picture in _pictures(path):
                for id in {plain_id(Path(name).stem), plain_id(Path(name).name)}:
                    found[id].append(picture)
        except InputError as error:
            if path == source:
                raise
            print(f"Passed over: {error}", file=sys.stderr)
    return dict(found)


def read_first(pictures: Sequence[Picture]) -> Image.Image:
    """The first picture that can be read. Raises `ImageError` or `InputError` where none can."""
    for picture in pictures[:-1]:
        with suppress(ImageError, InputError):
            return picture.read()
    return pictures[-1].read()


def _pictures(path: Path) -> Iterator[tuple[str, Picture]]:
    """The names and places of a file's pictures: one, those of a tar, or none."""
    suffix, file = path.suffix.lower(), str(path.resolve())
    if suffix in IMAGE_SUFFIXES:
        yield path.name, Picture(file)
    if not path.name.lower().endswith(_ARCHIVES):
        return
    if suffix != ".tar" or is_packed(path):
        raise InputError(
            f"{str(path)!r} is compressed, so that no poster in it can be read by itself; unpack "
            "it and give the folder or the .tar."
        )
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isfile() and Path(member.name).suffix.lower() in IMAGE_SUFFIXES:
                    yield member.name, Picture(file, member.offset_data, member.size)
    except tarfile.TarError as error:
        raise InputError(f"The tar {str(path)!r} is damaged; get it again.") from error


def _split(id: str, shares: tuple[float, float], seed: int) -> str:
    digest = hashlib.sha256(f"{seed}:{id}".encode()).digest()
    place = int.from_bytes(digest[:8]) / 2**64
    valid, test = shares
    return "valid" if place < valid else "test" if place < valid + test else "train"


def _look(pictures: Sequence[Picture], seen: set[bytes]) -> tuple[Picture | None, str]:
    """The first picture that can be read, or why none can be used.

    `seen` holds the digests of the ones before.
    """
    for picture in pictures:
        try:
            digest = hashlib.sha256(picture.bytes()).digest()
            if digest in seen:
                return None, "repeated picture"
            picture.read()
        except (ImageError, InputError):
            continue
        seen.add(digest)
        return picture, ""
    return None, "unreadable picture"


def _flat(pair: Pair) -> dict[str, str]:
    row = asdict(pair)
    picture: dict[str, str] = row.pop("picture")
    return row | picture


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
