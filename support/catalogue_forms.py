"""Catalogues in every form in which people have posters, each made by the tool that makes them.

A form writes its files into an empty folder and gives the path to read, and what its rows are, in
order: the number of a picture of `picture`, or the id of a title.
"""

from __future__ import annotations

import csv
import gzip
import importlib.metadata
import io
import lzma
import os
import platform
import shutil
import subprocess
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

Rows = list[int | str]
Maker = Callable[[Path], tuple[Path, Rows]]

PROGRAMS = ("bsdtar", "tar", "zip")
COUNT = 6
ALL: Rows = list(range(COUNT))
TITLES: Rows = ["tt0111161", "tt0068646", "tt15239678"]


@dataclass(frozen=True)
class Form:
    """One form: what it is, and which program writes it."""

    name: str
    tool: str
    make: Maker

    @property
    def is_here(self) -> bool:
        """Whether the tool is here; `bsdtar` is in Debian's package libarchive-tools."""
        return self.tool not in PROGRAMS or shutil.which(self.tool) is not None

    @property
    def version(self) -> str:
        """That of the tool here."""
        if self.tool == "Python":
            return platform.python_version()
        if self.tool in PROGRAMS:
            return _version_of_program(self.tool)
        return importlib.metadata.version(self.tool)


@lru_cache
def _version_of_program(name: str) -> str:
    shown = subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout
    lines = shown.splitlines()
    line = lines[0] if name != "zip" else next(each for each in lines if "This is Zip" in each)
    return next(word for word in line.split() if word[0].isdigit())


FORMS: list[Form] = []


def form(name: str, tool: str = "Python") -> Callable[[Maker], Maker]:
    """Add a function to `FORMS`; its docstring is not needed, as the name says all."""

    def add(make: Maker) -> Maker:
        FORMS.append(Form(name, tool, make))
        return make

    return add


@lru_cache
def picture(number: int) -> bytes:
    """A small PNG, of another colour for each number."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 12), (number * 37 % 256, number * 101 % 256, 60)).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(folder: Path, names: list[str] | None = None) -> Path:
    """A folder of pictures, called 0.png, 1.png … unless there are names for them."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names or [f"{i}.png" for i in range(COUNT)]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(i))
    return folder


def _images() -> list[Image.Image]:
    return [Image.open(io.BytesIO(picture(i))) for i in range(COUNT)]


# Parquet and Arrow


def _parquet(kind: str) -> Maker:
    def make(folder: Path) -> tuple[Path, Rows]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {
            "binary": pa.binary(),
            "large_binary": pa.large_binary(),
            "binary_view": pa.binary_view(),
            "struct": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            "large struct": pa.struct({"bytes": pa.large_binary(), "path": pa.large_string()}),
            "list of structs": pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()})),
            "string": pa.string(),
            "large_string": pa.large_string(),
            "string_view": pa.string_view(),
            "dictionary": pa.dictionary(pa.int32(), pa.string()),
            "dictionary of binary": pa.dictionary(pa.int32(), pa.binary()),
        }
        values: list[Any] = [picture(i) for i in range(COUNT)]
        if "struct" in kind:
            values = [{"bytes": value, "path": f"{i}.png"} for i, value in enumerate(values)]
        if "list" in kind:
            values = [values[:2], values[2:3], values[3:]]
        if "string" in kind or kind == "dictionary":
            pictures(folder)
            values = [f"{i}.png" for i in range(COUNT)]
        array = pa.array(values, types[kind])
        table = pa.table({"title": ["x"] * len(values), "image": array})
        pq.write_table(table, folder / "posters.parquet", row_group_size=4)
        return folder / "posters.parquet", ALL

    return make


for _kind in (
    "binary", "large_binary", "binary_view", "struct", "large struct", "list of structs", "string",
    "large_string", "string_view", "dictionary", "dictionary of binary",
):  # fmt: skip
    form(f"Parquet, {_kind}", "pyarrow")(_parquet(_kind))


@form("folder of Parquet shards", "pyarrow")
def _shards(folder: Path) -> tuple[Path, Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "data").mkdir()
    for shard in range(3):
        some = [picture(2 * shard), picture(2 * shard + 1)]
        name = f"train-{shard:05}-of-00003.parquet"
        pq.write_table(pa.table({"image": some}), folder / "data" / name)
    (folder / "README.md").write_text("Posters.")
    (folder / "data" / "_metadata.parquet").write_bytes(b"PAR1")
    return folder, ALL


@form("Parquet, column within a struct", "pyarrow")
def _nested(folder: Path) -> tuple[Path, Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"film": {"title": "x", "image": {"bytes": picture(i), "path": None}}} for i in range(COUNT)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "nested.parquet")
    return folder / "nested.parquet", ALL


@form("Parquet, bytes and file name in a struct", "pyarrow")
def _data_and_name(folder: Path) -> tuple[Path, Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"filename": f"{i}.png", "data": picture(i)} for i in range(COUNT)]
    pq.write_table(pa.table({"image": rows}), folder / "posters.parquet")
    return folder / "posters.parquet", ALL


@form("Parquet, bytes of a picture beside other bytes", "pyarrow")
def _other_bytes(folder: Path) -> tuple[Path, Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    hashes, data = [b"\xff\x01"] * COUNT, [picture(i) for i in range(COUNT)]
    table = pa.table({"id": hashes, "embedding": hashes, "cover": data})
    pq.write_table(table, folder / "posters.parquet")
    return folder / "posters.parquet", ALL


@form("Parquet, file names as bytes", "pyarrow")
def _names_as_bytes(folder: Path) -> tuple[Path, Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pictures(folder)
    names = [f"{i}.png".encode() for i in range(COUNT)]
    pq.write_table(pa.table({"path": names}), folder / "posters.parquet")
    return folder / "posters.parquet", ALL


@form("Parquet, addresses of pictures beside ids", "pyarrow")
def _addresses(folder: Path) -> tuple[Path, Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    links = [f"https://example.org/{title}.jpg" for title in TITLES]
    pq.write_table(pa.table({"Poster": links, "imdbId": TITLES}), folder / "posters.parquet")
    return folder / "posters.parquet", TITLES


@form("Parquet of a data frame, ids as numbers", "pandas")
def _pandas_parquet(folder: Path) -> tuple[Path, Rows]:
    import pandas as pd

    numbers = [int(str(title)[2:]) for title in TITLES]
    frame = pd.DataFrame({"movieId": [1, 2, 3], "imdbId": numbers})
    frame.to_parquet(folder / "links.parquet")
    return folder / "links.parquet", TITLES


@form("Parquet of a data frame, ids as numbers, some missing", "pandas")
def _pandas_missing(folder: Path) -> tuple[Path, Rows]:
    import pandas as pd

    _frame_of_ids(pd).to_parquet(folder / "links.parquet")
    return folder / "links.parquet", TITLES


@form("CSV of a data frame, ids as numbers, some missing", "pandas")
def _pandas_missing_csv(folder: Path) -> tuple[Path, Rows]:
    import pandas as pd

    _frame_of_ids(pd).to_csv(folder / "links.csv")
    return folder / "links.csv", TITLES


@form("JSON lines of a data frame, ids as numbers, some missing", "pandas")
def _pandas_missing_json(folder: Path) -> tuple[Path, Rows]:
    import pandas as pd

    _frame_of_ids(pd).to_json(folder / "links.jsonl", orient="records", lines=True)
    return folder / "links.jsonl", TITLES


def _frame_of_ids(pd: Any) -> Any:
    """One that makes numbers with a point of the ids, as one of them is missing."""
    numbers: list[Any] = [int(str(title)[2:]) for title in TITLES]
    return pd.DataFrame({"imdbId": [*numbers[:1], None, *numbers[1:]]})


@form("Feather of a data frame", "pandas")
def _pandas_feather(folder: Path) -> tuple[Path, Rows]:
    import pandas as pd

    frame = pd.DataFrame({"image": [picture(i) for i in range(COUNT)]})
    frame.to_feather(folder / "posters.feather")
    return folder / "posters.feather", ALL


@form("CSV of a data frame, with its index", "pandas")
def _pandas_csv(folder: Path) -> tuple[Path, Rows]:
    import pandas as pd

    pictures(folder)
    notes = ['says "hello", twice\nand more'] * COUNT
    frame = pd.DataFrame({"note": notes, "file_name": [f"{i}.png" for i in range(COUNT)]})
    frame.to_csv(folder / "posters.csv.gz")
    return folder / "posters.csv.gz", ALL


@form("Parquet of a data frame", "polars")
def _polars_parquet(folder: Path) -> tuple[Path, Rows]:
    import polars as pl

    frame = pl.DataFrame({"image": [picture(i) for i in range(COUNT)]})
    frame.write_parquet(folder / "posters.parquet")
    return folder / "posters.parquet", ALL


@form("Parquet of a data frame, categories", "polars")
def _polars_categories(folder: Path) -> tuple[Path, Rows]:
    import polars as pl

    pictures(folder)
    paths = pl.Series("path", [f"{i}.png" for i in range(COUNT)], dtype=pl.Categorical)
    pl.DataFrame([paths]).write_parquet(folder / "posters.parquet")
    return folder / "posters.parquet", ALL


@form("Arrow file of a data frame", "polars")
def _polars_ipc(folder: Path) -> tuple[Path, Rows]:
    import polars as pl

    frame = pl.DataFrame({"image": [picture(i) for i in range(COUNT)]})
    frame.write_ipc(folder / "posters.arrow")
    return folder / "posters.arrow", ALL


@form("JSON lines of a data frame", "polars")
def _polars_ndjson(folder: Path) -> tuple[Path, Rows]:
    import polars as pl

    pictures(folder)
    frame = pl.DataFrame({"n": ALL, "file_name": [f"{i}.png" for i in range(COUNT)]})
    frame.write_ndjson(folder / "metadata.jsonl")
    return folder / "metadata.jsonl", ALL


# Folders of the library datasets


def _dataset() -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.Dataset.from_dict({"n": ALL, "image": _images()})


@form("saved data set", "datasets")
def _saved(folder: Path) -> tuple[Path, Rows]:
    _dataset().save_to_disk(folder / "saved")
    return folder / "saved", ALL


@form("saved data set, several shards", "datasets")
def _saved_shards(folder: Path) -> tuple[Path, Rows]:
    _dataset().save_to_disk(folder / "saved", num_shards=3)
    return folder / "saved", ALL


@form("saved data set, shuffled", "datasets")
def _shuffled(folder: Path) -> tuple[Path, Rows]:
    shuffled = _dataset().shuffle(seed=1)
    shuffled.save_to_disk(folder / "saved")
    return folder / "saved", list(shuffled["n"])


@form("saved data set, selected", "datasets")
def _selected(folder: Path) -> tuple[Path, Rows]:
    _dataset().select([4, 1, 3]).save_to_disk(folder / "saved")
    return folder / "saved", [4, 1, 3]


@form("saved data set, with the caches of shuffle and map", "datasets")
def _mapped(folder: Path) -> tuple[Path, Rows]:
    import datasets

    _dataset().save_to_disk(folder / "saved")
    saved = datasets.load_from_disk(folder / "saved")
    saved.shuffle(seed=1).map(lambda row: {"more": row["n"] + 1})
    assert list((folder / "saved").glob("cache-*.arrow"))
    return folder / "saved", ALL


@form("saved data set with splits", "datasets")
def _splits(folder: Path) -> tuple[Path, Rows]:
    import datasets

    whole = _dataset()
    splits = {"train": whole.select([0, 1, 2, 3]), "test": whole.select([4, 5])}
    datasets.DatasetDict(splits).save_to_disk(folder / "saved")
    return folder / "saved", ALL


@form("saved data set of paths", "datasets")
def _saved_paths(folder: Path) -> tuple[Path, Rows]:
    import datasets

    paths = [str(pictures(folder / "posters") / f"{i}.png") for i in range(COUNT)]
    datasets.Dataset.from_dict({"path": paths}).save_to_disk(folder / "saved")
    return folder / "saved", ALL


@form("saved data set of ids", "datasets")
def _saved_ids(folder: Path) -> tuple[Path, Rows]:
    import datasets

    datasets.Dataset.from_dict({"imdb_id": TITLES}).save_to_disk(folder / "saved")
    return folder / "saved", TITLES


@form("saved data set of paths cast to images", "datasets")
def _cast(folder: Path) -> tuple[Path, Rows]:
    import datasets

    paths = [str(pictures(folder / "posters") / f"{i}.png") for i in range(COUNT)]
    made = datasets.Dataset.from_dict({"cover": paths})
    made.cast_column("cover", datasets.Image()).save_to_disk(folder / "saved")
    return folder / "saved", ALL


@form("data set as Parquet, lists of images", "datasets")
def _lists(folder: Path) -> tuple[Path, Rows]:
    import datasets

    images = _images()
    features = datasets.Features({"posters": datasets.List(datasets.Image())})
    rows = {"posters": [images[:1], images[1:4], images[4:]]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / "posters.parquet")
    return folder / "posters.parquet", ALL


# Tables as text


def _text(name: str, text: str, encoding: str = "utf-8") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(text.encode(encoding))
        return folder / name

    return write


def _lines(delimiter: str = ",", end: str = "\r\n", header: str = "path") -> str:
    table = io.StringIO(newline="")
    writer = csv.writer(table, delimiter=delimiter, lineterminator=end)
    writer.writerow(["Title", header])
    for i in range(COUNT):
        writer.writerow([f'The "{i}"{delimiter} or\nnot, né', f"posters/{i}.png"])
    return table.getvalue()


def _csv(name: str, text: str, encoding: str = "utf-8") -> Maker:
    def make(folder: Path) -> tuple[Path, Rows]:
        pictures(folder / "posters")
        return _text(name, text, encoding)(folder), ALL

    return make


_IMDB = "tconst\ttitleType\tprimaryTitle\tstartYear\tgenres\n" + "".join(
    f"{title}\tmovie\t{name}\t\\N\tDrama\n"
    for title, name in zip(TITLES, ['"Open', "Plain", 'Five 5" disks"'], strict=True)
)

form("CSV with commas, quoted line breaks")(_csv("a.csv", _lines()))
form("CSV with semicolons and a byte order mark, as Excel writes it")(
    _csv("a.csv", _lines(";"), "utf-8-sig")
)
form("text with tabs in UTF-16, as Excel writes it")(_csv("a.txt", _lines("\t"), "utf-16"))
form("CSV with line ends of old Macs")(_csv("a.csv", _lines(end="\r").replace("\n", " ")))
form("CSV in Windows-1252")(_csv("a.csv", _lines(), "cp1252"))
form("CSV with a header in capitals and spaces")(_csv("a.csv", _lines(header=" File Name ")))
form("CSV with a megabyte in a cell")(_csv("a.csv", _lines().replace("The", "Th" + "e" * 2**20, 1)))
form("list of files without a header")(
    _csv("a.txt", "".join(f"posters/{i}.png\n" for i in range(COUNT)))
)
form("table without a header")(
    _csv("a.csv", "".join(f"{i};x;posters/{i}.png\n" for i in range(COUNT)))
)


form("CSV with a line for Excel that names the delimiter")(_csv("a.csv", "sep=;\r\n" + _lines(";")))
form("CSV that begins with empty lines")(_csv("a.csv", "\r\n \r\n" + _lines()))


@form("list of files whose names have delimiters and quotes, as find writes it")
def _found(folder: Path) -> tuple[Path, Rows]:
    names = ["Alone.png", 'The "B".png', "Monsters, Inc.png", '"Crocodile" Dundee.png', "x;y.png"]
    pictures(folder / "posters", names)
    return _text("a.txt", "".join(f"posters/{name}\n" for name in names))(folder), ALL[:5]


@form("list of files whose first has a delimiter")
def _found_first(folder: Path) -> tuple[Path, Rows]:
    names = ["A, b.png", "c.png", "d, e, f.png"]
    pictures(folder / "posters", names)
    return _text("a.csv", "".join(f"posters/{name}\n" for name in names))(folder), ALL[:3]


@form("CSV with addresses of files, as Spark has them")
def _file_addresses(folder: Path) -> tuple[Path, Rows]:
    posters = pictures(folder / "posters", ["a b.png", "é%.png"])
    lines = ["path", (posters / "a b.png").as_uri(), f"file:{(posters / 'é%.png').as_uri()[7:]}"]
    return _text("a.csv", "".join(f"{line}\n" for line in lines))(folder), ALL[:2]


@form("IMDb's title.basics.tsv.gz, with an odd quote")
def _basics(folder: Path) -> tuple[Path, Rows]:
    (folder / "title.basics.tsv.gz").write_bytes(gzip.compress(_IMDB.encode()))
    return folder / "title.basics.tsv.gz", TITLES


@form("IMDb's export of a list")
def _export(folder: Path) -> tuple[Path, Rows]:
    lines = [f"{i},{title},2020-01-01" for i, title in enumerate(TITLES)]
    text = "\n".join(["Position,Const,Created", *lines])
    return _text("list.csv", text)(folder), TITLES


@form("CSV in xz")
def _xz(folder: Path) -> tuple[Path, Rows]:
    pictures(folder / "posters")
    (folder / "a.csv.xz").write_bytes(lzma.compress(_lines().encode()))
    return folder / "a.csv.xz", ALL


@form("CSV in Zstandard", "pyarrow")
def _zstd(folder: Path) -> tuple[Path, Rows]:
    import pyarrow as pa

    pictures(folder / "posters")
    with pa.CompressedOutputStream(str(folder / "a.csv.zst"), "zstd") as file:
        file.write(_lines().encode())
    return folder / "a.csv.zst", ALL


@form("CSV in a zip", "zip")
def _csv_zip(folder: Path) -> tuple[Path, Rows]:
    pictures(folder / "posters")
    _text("a.csv", _lines())(folder)
    _zip(folder, "a.csv.zip", "a.csv")
    return folder / "a.csv.zip", ALL


# Archives


def _tar(folder: Path, name: str, *arguments: str) -> Path:
    command = ["tar", "--sort=name", "-cf", str(folder / name), *arguments]
    subprocess.run(command, check=True, cwd=folder)
    return folder / name


def _zip(folder: Path, name: str, *arguments: str) -> Path:
    subprocess.run(["zip", "-qr", name, *arguments], check=True, cwd=folder)
    return folder / name


@form("tar of a folder", "tar")
def _plain_tar(folder: Path) -> tuple[Path, Rows]:
    pictures(folder / "posters")
    (folder / "posters" / ".thumbnails").mkdir()
    (folder / "posters" / ".thumbnails" / "0.png").write_bytes(picture(9))
    return _tar(folder, "a.tar", "-C", "posters", "."), ALL


@form("tar with links and a sparse file", "tar")
def _links(folder: Path) -> tuple[Path, Rows]:
    posters = pictures(folder / "posters", ["a0.png", "a1.png"])
    os.link(posters / "a0.png", posters / "b-hard.png")
    (posters / "c-soft.png").symlink_to("a1.png")
    (posters / "d-lost.png").symlink_to("nowhere.png")
    with (posters / "e-sparse.png").open("wb") as file:
        file.write(picture(2))
        file.truncate(2**20)
    return _tar(folder, "a.tar", "--sparse", "posters"), [0, 1, 0, 1, 2]


@form("tar with two files of one name", "tar")
def _twice(folder: Path) -> tuple[Path, Rows]:
    posters = pictures(folder / "posters", ["a.png", "b.png"])
    _tar(folder, "a.tar", "posters")
    (posters / "a.png").write_bytes(picture(5))
    subprocess.run(["tar", "-rf", "a.tar", "posters/a.png"], check=True, cwd=folder)
    return folder / "a.tar", [1, 5]


@form("tar with a link to a file that was replaced later", "tar")
def _link_before(folder: Path) -> tuple[Path, Rows]:
    posters = pictures(folder / "posters", ["a.png"])
    os.link(posters / "a.png", posters / "b.png")
    _tar(folder, "a.tar", "posters/a.png", "posters/b.png")
    (posters / "a.png").unlink()
    (posters / "a.png").write_bytes(picture(5))
    subprocess.run(["tar", "-rf", "a.tar", "posters/a.png"], check=True, cwd=folder)
    return folder / "a.tar", [0, 5]


@form("two tars one after the other", "tar")
def _tars_in_a_row(folder: Path) -> tuple[Path, Rows]:
    pictures(folder / "posters")
    parts = [_tar(folder, f"{i}.tar", f"posters/{i}.png", f"posters/{i + 1}.png") for i in (0, 2)]
    parts.append(_tar(folder, "4.tar", "--format=v7", "posters/4.png", "posters/5.png"))
    (folder / "a.tar").write_bytes(b"".join(part.read_bytes() for part in parts))
    return folder / "a.tar", ALL


@form("tar from a Mac")
def _mac_tar(folder: Path) -> tuple[Path, Rows]:
    """As `tar` of a Mac writes it: an AppleDouble file before each that has attributes."""
    with tarfile.open(folder / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        names = ["posters/.DS_Store", "__MACOSX/posters/0.png"]
        for i in range(COUNT):
            names += [f"posters/._{i}.png", f"posters/{i}.png"]
        for name in names:
            number = int(name[-5]) if name.startswith("posters/") and "/." not in name else 9
            member = tarfile.TarInfo(name)
            member.pax_headers = {"LIBARCHIVE.xattr.com.apple.quarantine": "MDA4MTs"}
            member.size = len(picture(number))
            tar.addfile(member, io.BytesIO(picture(number)))
    return folder / "a.tar", ALL


def _with_a_macs_notes(folder: Path) -> Path:
    """A folder that was on a Mac's disk of another system: a note beside each file."""
    names = [f"é{i}.png" for i in range(COUNT - 1)] + ["z" * 150 + ".png"]
    posters = pictures(folder / "posters", [unicodedata.normalize("NFD", each) for each in names])
    for path in [*posters.iterdir()]:
        path.with_name(f"._{path.name}").write_bytes(picture(9))
    for name in (".DS_Store", "__MACOSX/._x.png", "__MACOSX/y.png"):
        (posters / name).parent.mkdir(exist_ok=True)
        (posters / name).write_bytes(picture(9))
    return posters


def _bsdtar(folder: Path, name: str, *arguments: str) -> Path:
    subprocess.run(["bsdtar", "-cf", name, *arguments], check=True, cwd=folder)
    return folder / name


@form("tar of a folder with a Mac's notes", "bsdtar")
def _bsdtar_of_notes(folder: Path) -> tuple[Path, Rows]:
    names = sorted(f"posters/{path.name}" for path in _with_a_macs_notes(folder).iterdir())
    return _bsdtar(folder, "a.tar", *names), ALL


@form("tar with links and a sparse file, in pax", "bsdtar")
def _bsdtar_of_links(folder: Path) -> tuple[Path, Rows]:
    posters = pictures(folder / "posters", ["a0.png", "a1.png"])
    os.link(posters / "a0.png", posters / "b-hard.png")
    (posters / "c-soft.png").symlink_to("a1.png")
    with (posters / "e-sparse.png").open("wb") as file:
        file.write(picture(2))
        file.truncate(2**20)
    names = sorted(f"posters/{path.name}" for path in posters.iterdir())
    return _bsdtar(folder, "a.tar", "--format", "pax", *names), [0, 1, 0, 1, 2]


@form("zip of a folder with a Mac's notes", "bsdtar")
def _bsdtar_as_zip(folder: Path) -> tuple[Path, Rows]:
    names = sorted(f"posters/{path.name}" for path in _with_a_macs_notes(folder).iterdir())
    return _bsdtar(folder, "a.zip", "--format", "zip", *names), ALL


@form("tar for WebDataset, texts beside the pictures", "webdataset")
def _webdataset(folder: Path) -> tuple[Path, Rows]:
    import webdataset

    with webdataset.TarWriter(str(folder / "posters-000000.tar")) as tar:
        for i in range(COUNT):
            tar.write({
                "__key__": f"{i:06}", "png": picture(i), "json": {"title": "x"}, "txt": "A film.",
            })  # fmt: skip
    return folder / "posters-000000.tar", ALL


@form("folder of shards for WebDataset", "webdataset")
def _webdataset_shards(folder: Path) -> tuple[Path, Rows]:
    import webdataset

    pattern = str(folder / "posters-%06d.tar")
    with webdataset.ShardWriter(pattern, maxcount=2, verbose=0) as shards:
        for i in range(COUNT):
            shards.write({"__key__": f"{i:06}", "jpg": picture(i), "json": {"title": "x"}})
    return folder, ALL


@form("zip of a folder", "zip")
def _plain_zip(folder: Path) -> tuple[Path, Rows]:
    pictures(folder / "posters")
    (folder / "posters" / ".hidden.png").write_bytes(picture(9))
    (folder / "posters" / "notes.md").write_text("x" * 1000)
    names = sorted(str(path.relative_to(folder)) for path in (folder / "posters").iterdir())
    return _zip(folder, "a.zip", *names), ALL


@form("zip with links", "zip")
def _zip_links(folder: Path) -> tuple[Path, Rows]:
    posters = pictures(folder / "posters", ["a.png", "deep/b.png"])
    (posters / "c.png").symlink_to("deep/b.png")
    (posters / "d.png").symlink_to("nowhere.png")
    names = [f"posters/{name}" for name in ("a.png", "deep/b.png", "c.png", "d.png")]
    return _zip(folder, "a.zip", "-y", *names), [0, 1, 1]


@form("zip of Windows, with backslashes")
def _windows_zip(folder: Path) -> tuple[Path, Rows]:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name, number in (("p\\0.png", 0), ("p\\.hidden\\0.png", 9), ("p\\1.png", 1)):
            member = zipfile.ZipInfo(name)
            member.create_system = 0
            archive.writestr(member, picture(number))
    return folder / "a.zip", [0, 1]


@form("zip from a Mac")
def _mac_zip(folder: Path) -> tuple[Path, Rows]:
    """As Finder writes it: UTF-8 without its flag, and a folder of notes."""
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(COUNT):
            name = unicodedata.normalize("NFD", f"é{i}.png").encode().decode("cp437")
            archive.writestr(name, picture(i))
            archive.writestr(f"__MACOSX/._{i}.png", picture(9))
    return folder / "a.zip", ALL


# Folders and names


@form("folder with other files, hidden ones and links")
def _mixed(folder: Path) -> tuple[Path, Rows]:
    posters = pictures(folder / "posters", ["0.png", "1.PNG", "deep/2.png"])
    pictures(folder / "elsewhere", ["x.png", "x.png", "x.png", "3.png"])
    (posters / "linked").symlink_to(folder / "elsewhere")
    (posters / "self").symlink_to(posters)
    for name in (".hidden.png", "._0.png", ".git/1.png", "notes.txt", "metadata.csv", "Thumbs.db"):
        (posters / name).parent.mkdir(exist_ok=True)
        (posters / name).write_bytes(picture(9))
    (posters / "gone.png").symlink_to("nowhere")
    return posters, [0, 1, 2, 3, 2]


@form("folder of names that are not UTF-8, with line breaks, long, alike but for case")
def _odd_names(folder: Path) -> tuple[Path, Rows]:
    names = [
        "0 line\nbreak.png", "1" + "x" * 240 + ".png", "2a.png", "2B.PNG", "3 =cell.png",
        os.fsdecode(b"4 \xe9.png"),
    ]  # fmt: skip
    return pictures(folder / "posters", names), ALL


@form("table of names that the disk spells otherwise")
def _spelled(folder: Path) -> tuple[Path, Rows]:
    names = ["é0.png", "É1.png", "Plain2.PNG", "deep/3.png", "4.png", "5.png"]
    on_disk = [unicodedata.normalize("NFD", name) for name in names]
    pictures(folder / "Posters", on_disk)
    cells = [f"posters/{unicodedata.normalize('NFC', name)}" for name in names]
    cells[2] = "Posters/plain2.png"
    cells[3] = r"posters\deep\3.png"
    return _text("a.csv", "\n".join(["path", *cells]))(folder), ALL


def make(form: Form, folder: Path) -> tuple[Path, Rows]:
    """Write a form into `folder`, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return form.make(folder)
