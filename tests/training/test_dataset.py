import csv
import shutil
from pathlib import Path

import pytest

from poster2plot.errors import InputError
from poster2plot.training.dataset import Dataset, index_pictures, prepare
from support.training_data import PLOTS, poster, write_csv

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
        + b"f\xff,An id that is no text \xe9\n"
        + f'e,"Late: {LONG}"\n'.encode()
    )
    report = prepare(table, pictures, tmp_path / "out", id_column="id", text_column="text")
    assert report.dropped == {
        "repeated id": 1,
        "repeated plot": 1,
        "no plot": 2,
        "repeated picture": 1,
        "unreadable picture": 2,
        "no picture": 1,
        "bad row": 4,
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
