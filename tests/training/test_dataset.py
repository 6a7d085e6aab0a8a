import csv
import gzip
import io
import shutil
import tarfile
from pathlib import Path

import pytest

from poster2plot.errors import InputError
from poster2plot.training.dataset import Dataset, index_pictures, prepare
from support.training_data import PLOTS, poster, write_csv
from tests.training.conftest import Command

LONG = "A sailor waits for a ship that never comes."


def test_a_table_and_a_tar_become_pairs(data: Path):
    dataset = Dataset.read(data)
    assert len(dataset.pairs) == len(PLOTS)
    pair = dataset.pairs[7]
    assert (pair.id, pair.kind, pair.language, pair.text) == ("tt0000007", "tv", "fr", PLOTS[7])
    assert pair.picture.bytes() == poster(7)
    assert pair.picture.read().size == (67, 97)
    assert dataset.references["tt0000002"] == (f"In short: {PLOTS[2]}",)
    assert {pair.split for pair in dataset.pairs} == {"train", "valid", "test"}


def test_the_kaggle_layout(tmp_path: Path):
    rows = [
        {"imdb_title_id": f"tt{i:07}", "language": "French, English", "description": plot}
        for i, plot in enumerate(PLOTS[:9])
    ]
    table = write_csv(tmp_path / "IMDb movies.csv", rows)
    for i, row in enumerate(rows):
        path = tmp_path / "Poster" / f"19{80 + i % 3}" / f"{row['imdb_title_id']}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(poster(i))
    report = prepare(table, tmp_path / "Poster", tmp_path / "out")
    assert sum(report.kept.values()) == report.rows == 9
    pair = Dataset.read(tmp_path / "out").pairs[0]
    assert (pair.id, pair.kind, pair.language) == ("tt0000000", "movie", "French")


def test_bad_rows_are_counted_not_fatal(tmp_path: Path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, id in enumerate(("a", "b", "c", "d", "e", "g")):
        (pictures / f"{id}.jpg").write_bytes(poster(i))
    shutil.copy(pictures / "a.jpg", pictures / "same.jpg")
    (pictures / "broken.jpg").write_bytes(poster(1)[:200])
    (pictures / "empty.png").write_bytes(b"")
    table = tmp_path / "table.csv"
    table.write_bytes(
        b"id,text\n"
        + f"a,{LONG}\na,{LONG} Again.\nb,{LONG}\nc,Too short\nd,\n".encode()
        + f"same,Also {LONG}\nbroken,But {LONG}\nempty,And {LONG}\nnone,Or {LONG}\n".encode()
        + f"e,Hence {LONG},too,many\ng\n../x,So {LONG}\n".encode()
        + b"f\xff,An id in Windows-1252 \xe9\n"
        + f'e,"Late: {LONG}"\n'.encode()
    )
    report = prepare(table, pictures, tmp_path / "out", id_column="id", text_column="text")
    assert report.dropped == {
        "repeated id": 1,
        "repeated plot": 1,
        "no plot": 2,
        "repeated picture": 1,
        "unreadable picture": 2,
        "no picture": 2,
        "more or fewer cells than the header": 2,
        "id that is no file's name": 1,
    }
    assert [pair.id for pair in Dataset.read(tmp_path / "out").pairs] == ["a", "e"]
    assert "2 pairs kept" in str(report)


def test_a_rerun_gives_the_same_split_and_other_rows_do_not_move_it(source: Path, tmp_path: Path):
    def splits(table: Path, seed: int) -> dict[str, str]:
        prepare(table, source, tmp_path / "out", shares=(0.3, 0.3), seed=seed)
        return {pair.id: pair.split for pair in Dataset.read(tmp_path / "out").pairs}

    whole = splits(source / "pairs.csv", 1)
    assert splits(source / "pairs.csv", 1) == whole
    assert splits(source / "pairs.csv", 2) != whole
    with (source / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::-3]
    part = splits(write_csv(tmp_path / "part.csv", rows), 1)
    assert part.items() <= whole.items()


def test_a_split_column_is_kept(source: Path, tmp_path: Path):
    with (source / "pairs.csv").open(newline="") as file:
        rows = [row | {"split": "test"} for row in csv.DictReader(file)]
    prepare(write_csv(tmp_path / "table.csv", rows), source, tmp_path / "out")
    assert {pair.split for pair in Dataset.read(tmp_path / "out").pairs} == {"test"}


def test_what_cannot_be_used_is_said(tmp_path: Path):
    with pytest.raises(InputError, match="no prepared dataset"):
        Dataset.read(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        index_pictures(tmp_path / "posters")
    (tmp_path / "posters.tar").write_bytes(b"no tar" * 300)
    with pytest.raises(InputError, match="is damaged"):
        index_pictures(tmp_path / "posters.tar")
    table = write_csv(tmp_path / "t.csv", [{"number": "1", "words": LONG}])
    (tmp_path / "posters.tar").unlink()
    with pytest.raises(InputError, match="--id-column"):
        prepare(table, tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="cannot be read"):
        prepare(tmp_path / "missing.csv", tmp_path, tmp_path / "out")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        (folder / f"m{i}.jpg").write_bytes(poster(i))
    return folder


def rows(*ids: str, **more: str) -> list[dict[str, str]]:
    return [{"id": id, "text": PLOTS[i], **more} for i, id in enumerate(ids)]


def kept(table: Path, pictures: Path, out: Path) -> list[str]:
    prepare(table, pictures, out)
    return [pair.id for pair in Dataset.read(out).pairs]


@pytest.mark.parametrize("column", ["--id-column", "--text-column"])
def test_a_column_that_is_not_there_is_said(
    column: str, pictures: Path, training: Command, tmp_path: Path
):
    table = write_csv(tmp_path / "t.csv", rows("m0"))
    done = training("dataset", table, pictures, "--out", tmp_path / "out", column, "movie")
    assert done.status == 1
    assert "has no column movie; its columns are id, text" in done.errors
    assert not (tmp_path / "out").exists()


def test_splits_under_other_names_are_kept(pictures: Path, tmp_path: Path):
    table = tmp_path / "t.csv"
    for i, (name, split) in enumerate(
        {"Train ": "train", "VALIDATION": "valid", "val": "valid", "dev": "valid"}.items()
    ):
        write_csv(table, rows("m0", split=name))
        prepare(table, pictures, tmp_path / f"{i}")
        assert [pair.split for pair in Dataset.read(tmp_path / f"{i}").pairs] == [split]
    write_csv(table, [*rows("m0", split="dev"), *rows("m1", split="holdout")])
    report = prepare(table, pictures, tmp_path / "out")
    assert report.dropped == {"split that is none of train, valid, test": 1}


def test_an_id_may_be_whatever_a_file_can_be_called(pictures: Path, tmp_path: Path):
    ids = ("m.0", "film 1 (1999)", "Ame\u0301lie", "m1.jpg")
    for i, id in enumerate(ids):
        (pictures / f"{id.removesuffix('.jpg')}.jpg").write_bytes(poster(i + 5))
    table = write_csv(tmp_path / "t.csv", rows(*ids[:2], "Am\u00e9lie", "m1.jpg"))
    assert kept(table, pictures, tmp_path / "out") == [*ids[:2], "Am\u00e9lie", "m1.jpg"]


def test_what_is_no_picture_of_a_tar_or_broken_hides_none(pictures: Path, tmp_path: Path):
    with tarfile.open(tmp_path / "web.TAR", "w") as tar:
        for path in sorted(pictures.iterdir()):
            for member, data in ((f"{path.stem}.json", b"{}"), (path.name, path.read_bytes())):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    table = write_csv(tmp_path / "t.csv", rows("m0", "m1", "m2"))
    assert kept(table, tmp_path / "web.TAR", tmp_path / "tar") == ["m0", "m1", "m2"]
    (pictures / "a").mkdir()
    (pictures / "a" / "m0.png").write_bytes(b"broken")
    assert kept(table, pictures, tmp_path / "folder") == ["m0", "m1", "m2"]


@pytest.mark.parametrize("name", ["p.tar", "p.tar.gz", "p.TGZ", "p.zip"])
def test_a_compressed_archive_is_said(name: str, pictures: Path, training: Command, tmp_path: Path):
    archive = tmp_path / "archives" / name
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(pictures)
    table = write_csv(tmp_path / "t.csv", rows("m0"))
    done = training("dataset", table, archive, "--out", tmp_path / "out")
    assert done.status == 1
    assert f"{name}' is compressed" in done.errors
    done = training("dataset", table, archive.parent, "--out", tmp_path / "out")
    assert done.status == 1
    assert f"{name}' is compressed" in done.errors
    assert "holds no pictures" in done.errors


def test_nothing_left_is_an_error(pictures: Path, training: Command, tmp_path: Path):
    table = tmp_path / "t.csv"
    table.write_text("id,text\n")
    done = training("dataset", table, pictures, "--out", tmp_path / "out")
    assert done.status == 1
    assert done.errors == f"error: None of the 0 rows of '{table}' is left: no rows.\n"
    write_csv(table, rows("x", "y", "a/m0"))
    done = training("dataset", table, pictures, "--out", tmp_path / "out")
    assert done.status == 1
    assert "is left: 1 id that is no file's name, 2 no picture." in done.errors


@pytest.mark.parametrize("shares", [(1.5, 0), (-1, 0), (float("nan"), 0), (0.9, 0.5)])
def test_shares_are_shares(shares: tuple[float, float], pictures: Path, tmp_path: Path):
    table = write_csv(tmp_path / "t.csv", rows("m0"))
    with pytest.raises(InputError, match="between 0 and 1"):
        prepare(table, pictures, tmp_path / "out", shares=shares)


def test_references_are_those_of_the_run(pictures: Path, tmp_path: Path):
    table = write_csv(tmp_path / "t.csv", rows("m0", "m1"))
    references = write_csv(tmp_path / "r.csv", [{"tconst": "m0", "plot": "Another."}])
    prepare(table, pictures, tmp_path / "out", references=references)
    assert Dataset.read(tmp_path / "out").references == {"m0": ("Another.",)}
    for columns, why in (
        ({"tconst": "m0", "words": "-"}, "has no column"),
        ({"id": "x", "text": "-"}, "for an id of"),
    ):
        write_csv(references, [columns])
        with pytest.raises(InputError, match=why):
            prepare(table, pictures, tmp_path / "out", references=references)
        assert Dataset.read(tmp_path / "out").references  # as it was
    prepare(table, pictures, tmp_path / "out")
    assert Dataset.read(tmp_path / "out").references == {}


TEXT = "A nurse’s café is closed by the mayor."
WRITTEN = f'id,text\nm0,"{TEXT}"\n'


@pytest.mark.parametrize(
    "data",
    [
        WRITTEN.encode("cp1252"),
        WRITTEN.encode("utf-8-sig"),
        WRITTEN.encode("utf-16"),
        gzip.compress(WRITTEN.encode()),
        WRITTEN.replace(",", ";").encode(),
        f"sep=|\n{WRITTEN.replace(',', '|')}".encode(),
        WRITTEN.replace("id,text", "ID, Text").replace("\n", "\r\n").encode(),
    ],
    ids=["cp1252", "mark", "utf-16", "gzip", "semicolon", "sep", "capitals"],
)
def test_tables_of_any_program_are_read(data: bytes, pictures: Path, tmp_path: Path):
    (tmp_path / "t.csv").write_bytes(data)
    prepare(tmp_path / "t.csv", pictures, tmp_path / "out")
    assert [pair.text for pair in Dataset.read(tmp_path / "out").pairs] == [TEXT]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (gzip.compress(WRITTEN.encode())[:-20], "is cut off or damaged"),
        (b"id,text\nm0,b\nm1,'c'\nm2,\"d\nm3,e\n", "after line 3 a quote is opened"),
        (b"id,text\nm0,\x81\n", "neither UTF-8 nor Windows-1252 after line 1"),
        (b"PK\x03\x04\0\0", "no table as text"),
    ],
    ids=["cut", "quote", "encoding", "spreadsheet"],
)
def test_a_broken_table_is_said(data: bytes, why: str, pictures: Path, tmp_path: Path):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(InputError, match=rf"t\.csv' .*{why}"):
        prepare(tmp_path / "t.csv", pictures, tmp_path / "out")
