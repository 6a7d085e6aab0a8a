"""Every form in which people have posters, written by the tool whose form it is."""

import base64
import gzip
import io
import json
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poster2plot import DamagedImageError, InputError
from poster2plot.batch.catalogues.item import ChangedError
from poster2plot.batch.catalogues.listing import items
from poster2plot.batch.catalogues.passed_over import PassedOver
from reliability.catalogue_forms import rows_right
from support.catalogue_forms import FORMS, Form, picture, pictures
from support.other_user import as_nobody
from tests.batch.conftest import tar_of


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_row_is_right(tmp_path: Path, form: Form):
    if not form.is_here:
        pytest.skip(f"There is no {form.tool} here to write it.")
    right, count = rows_right(form, tmp_path / "form")
    assert right == count > 0


def gzipped_tar(folder: Path) -> Path:
    path = tar_of(folder / "a.tar", ["a.png"])
    (folder / "a.tar.gz").write_bytes(gzip.compress(path.read_bytes()))
    return folder / "a.tar.gz"


def written(name: str, data: bytes):
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def two_tables(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("a.csv", "path\n")
        archive.writestr("b.csv", "path\n")
    return folder / "a.zip"


def two_pictures(folder: Path) -> Path:
    row = {"bytes": picture(0), "path": None}
    pq.write_table(pa.table({"front": [row], "back": [row]}), folder / "a.parquet")
    return folder / "a.parquet"


def row_numbers(folder: Path) -> Path:
    pq.write_table(pa.table({"id": [1, 2], "title": ["a", "b"]}), folder / "a.parquet")
    return folder / "a.parquet"


def lost_shard(folder: Path) -> Path:
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def pictures_as_text(as_text: Callable[[bytes], str]):
    def make(folder: Path) -> Path:
        pd.DataFrame({"image": [as_text(picture(0))]}).to_csv(folder / "a.csv")
        return folder / "a.csv"

    return make


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (gzipped_tar, "a.tar.gz' is compressed with gzip"),
        (two_tables, "holds 2 tables"),
        (two_pictures, "several columns with pictures, 'front', 'back'"),
        (row_numbers, "its columns of text or pictures are 'id', 'title'"),
        (lost_shard, "lacks its file 'data-00000-of-00001.arrow'"),
        (written("a.csv", b'path,title\na.png,"open\nb.png,x\n'), "a quote is opened and never"),
        (written("a.csv", b'path,title\na.png,"x\nb.png,"y"\n'), "after line 1 "),
        (written("a.csv", b"id\n1\n2\n"), "none of the columns"),
        (pictures_as_text(repr), "has pictures written as text in its column 'image'"),
        (pictures_as_text(lambda data: base64.b64encode(data).decode()), "written as text"),
        (pictures_as_text(lambda data: str({"bytes": data, "path": None})), "written as text"),
        (written("a.csv.gz", gzip.compress(b"path\na.png\n" * 99)[:-20]), "is it complete"),
        (written("a.zip", b"PK\x03\x04cut off"), "not a zip, or it is cut off"),
        (written("a.jsonl", b'{"path": "a.png"}\n[1]\n'), "JSON objects"),
        (written("a.xlsx", b"PK\x03\x04"), "no catalogue"),
        (written("a.png", picture(0)), "`poster2plot` takes those"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path: Path, make, says: str):
    path = make(tmp_path)
    with pytest.raises(InputError) as refused:
        list(items(str(path)))
    assert says in str(refused.value)
    assert path.name in str(refused.value)


def test_what_of_an_archive_that_is_cut_off_is_whole_is_read(tmp_path: Path):
    data = tar_of(tmp_path / "a.tar", ["a.png", "b.png", "c.png"]).read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        members = tar.getmembers()
    for cut, whole in (
        (members[1].offset_data + 20, 1),
        (members[2].offset, 2),
        (members[2].offset + 100, 2),
    ):
        (tmp_path / "a.tar").write_bytes(data[:cut])
        found = list(items(str(tmp_path / "a.tar")))
        for item in found[:whole]:
            assert item.read()
        if cut != members[2].offset:  # there is nothing to tell that more should come
            assert found[-1].kind == "nothing"
            assert "cut off or damaged after" in found[-1].detail
        for item in found[whole:]:
            if item.kind == "part":
                with pytest.raises(DamagedImageError, match="cut off"):
                    item.read()
    (tmp_path / "a.tar").write_bytes(data[: members[1].offset] + b"no header" * 100)
    assert [item.kind for item in items(str(tmp_path / "a.tar"))] == ["part", "nothing"]


def test_one_bad_file_of_a_folder_is_a_row(tmp_path: Path):
    pictures(tmp_path / "in", ["0.png"])
    (tmp_path / "in" / "1.tar").write_bytes(b"x" * 5000)
    (tmp_path / "in" / "2.tar.gz").write_bytes(gzip.compress(b"x"))
    (tmp_path / "in" / "3.zip").write_bytes(b"x")
    found = list(items(str(tmp_path / "in")))
    assert [item.kind for item in found] == ["file", "nothing", "nothing", "nothing"]
    assert "not a tar" in found[1].detail


def test_what_is_passed_over_is_counted(tmp_path: Path):
    folder = pictures(tmp_path / "in", ["0.png", "lost+found/1.png", ".git/2.png"])
    (folder / "notes.txt").write_text("none")
    (folder / "metadata.csv").write_text("path\n0.png\n")
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "self").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    passed_over = PassedOver()
    found = [item.source for item in items(str(folder), passed_over)]
    assert found == [f"{folder}/0.png", f"{folder}/lost+found/1.png"]
    said = str(passed_over)
    for what in ("1 hidden", "1 of another kind", "1 links that lead nowhere", "1 that lead back",
                 "1 that are no files", "1 tables beside the posters"):  # fmt: skip
        assert what in said


@pytest.fixture
def folder_of_another() -> Iterator[Path]:
    """A folder of another user, who is root; what is not shown there may not be read."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_may_not_be_read_is_said(folder_of_another: Path):
    folder = pictures(folder_of_another / "in", ["0.png", "1.png", "lost+found/2.png"])
    tar_of(folder / "a.tar", ["a.png"])
    (folder / "a.csv").write_text("path\n0.png\n")
    closed = [folder / name for name in ("1.png", "lost+found", "a.tar", "a.csv")]
    list(items(str(folder)))  # what is imported is imported now
    for path in closed:
        path.chmod(0)
    passed_over = PassedOver()
    try:
        with as_nobody():
            good, bad, archive = items(str(folder), passed_over)
            assert archive.detail == f"'{folder}/a.tar' may not be read; check who may."
            assert good.read() == picture(0)
            with pytest.raises(InputError, match=r"1\.png' may not be read; check who may"):
                bad.read()
            for path in closed[1:]:
                with pytest.raises(InputError, match="may not be read; check who may"):
                    list(items(str(path)))
    finally:
        for path in closed:
            path.chmod(0o700)
    assert "1 folders that may not be read" in str(passed_over)


def test_rows_without_a_poster_are_counted(tmp_path: Path):
    (tmp_path / "a.tsv").write_text("tconst\ttitle\ntt0111161\tx\n\\N\ty\n\tz\n")
    passed_over = PassedOver()
    assert [item.source for item in items(str(tmp_path / "a.tsv"), passed_over)] == ["tt0111161"]
    assert "2 rows without a poster" in str(passed_over)


@pytest.mark.parametrize("name", ["a.png", "in.tar", "in.zip", "in.parquet"])
def test_what_was_listed_is_what_is_read(tmp_path: Path, name: str):
    def write(numbers: list[int]) -> None:
        data = [picture(number) for number in numbers]
        if name == "a.png":
            (tmp_path / name).write_bytes(data[0])
        elif name == "in.tar":
            with tarfile.open(tmp_path / name, "w") as tar:
                for i, each in enumerate(data):
                    member = tarfile.TarInfo(f"{i}.png")
                    member.size = len(each)
                    tar.addfile(member, io.BytesIO(each))
        elif name == "in.zip":
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                for i, each in enumerate(data):
                    archive.writestr(f"{i}.png", each)
        else:
            pq.write_table(pa.table({"image": data}), tmp_path / name)

    write([0, 1])
    source = tmp_path if name == "a.png" else tmp_path / name
    item = next(items(str(source)))
    assert item.read() == picture(0)
    write([2, 1])
    with pytest.raises(ChangedError, match="has changed since the catalogue was listed"):
        item.read()
    assert next(items(str(source))).read() == picture(2)
    (tmp_path / name).unlink()
    with pytest.raises(ChangedError):
        item.read()


def test_a_zip_may_be_encrypted_or_packed_in_a_rare_way(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.png", picture(0))
    [item] = items(str(tmp_path / "a.zip"))
    assert (item.kind, "compressed with lzma" in item.detail) == ("nothing", True)


def test_quotes_may_be_escaped_by_backslashes(tmp_path: Path):
    pictures(tmp_path)
    (tmp_path / "a.csv").write_text('title,path\n"a \\"b\\", c",0.png\nd,1.png\n')
    assert [item.read() for item in items(str(tmp_path / "a.csv"))] == [picture(0), picture(1)]


def test_a_name_longer_than_a_path_is_an_error_of_its_row(tmp_path: Path):
    (tmp_path / "a.csv").write_text(f"path\n{'x' * 100_000}.png\n")
    [item] = items(str(tmp_path / "a.csv"))
    with pytest.raises(InputError, match="longer than a path"):
        item.load(None)  # type: ignore[arg-type]
    assert len(item.source) < 300


def test_two_spellings_that_are_both_there_are_told_apart(tmp_path: Path):
    pictures(tmp_path, ["A.png", "a.png", "Ä.png"])
    (tmp_path / "in.csv").write_text("path\nA.png\na.png\nä.PNG\nb.png\n")
    found = list(items(str(tmp_path / "in.csv")))
    assert [item.read() for item in found[:3]] == [picture(0), picture(1), picture(2)]
    with pytest.raises(InputError, match=r"There is no file at 'b\.png'"):
        found[3].read()
    (tmp_path / "in.csv").write_text("path\nä.PNG\n")
    pictures(tmp_path, ["ä.png"])
    [item] = items(str(tmp_path / "in.csv"))
    with pytest.raises(InputError, match="There is no file"):  # it may be either
        item.read()
