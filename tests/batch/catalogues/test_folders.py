"""Folders of pictures and tars."""

from pathlib import Path

import pytest

from poster2plot.batch.catalogues.listing import items
from tests.batch.conftest import catalogue, tar_of


def test_a_folder_is_listed_in_natural_order(tmp_path: Path):
    folder = catalogue(tmp_path / "posters", 11)
    (folder / "notes.txt").write_text("none")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "2").mkdir()
    tar_of(folder / "2" / "more.tar", ["b.png", "a.jpg", "a.json"])
    found = [each.source.removeprefix(f"{folder}/") for each in items(str(folder))]
    pictures = [f"{i}.png" for i in range(11)]
    assert found == [*pictures[:2], "2/more.tar/b.png", "2/more.tar/a.jpg", *pictures[2:]]


def test_names_of_the_same_number_have_an_order(tmp_path: Path):
    folder = catalogue(tmp_path / "posters", 2)
    for name in ("01.png", "001.png", "A.png", "a.png"):
        (folder / name).touch()
    found = [item.source.removeprefix(f"{folder}/") for item in items(str(folder))]
    assert found == ["0.png", "001.png", "01.png", "1.png", "A.png", "a.png"]


@pytest.mark.parametrize("name", ["data.arrow", "dataset_info.json", "state.json"])
def test_only_both_make_a_folder_one_of_the_library_datasets(tmp_path: Path, name: str):
    folder = catalogue(tmp_path / "posters", 2)
    (folder / name).write_text("{}")
    assert [item.source for item in items(str(folder))] == [
        str(folder / f"{i}.png") for i in (0, 1)
    ]


def test_what_is_hidden_or_of_another_kind_is_left_out(tmp_path: Path):
    folder = catalogue(tmp_path / "posters", 1)
    (folder / "0.png").rename(folder / "A.PNG")
    for name in (".git/1.png", "deep/.hidden.tar", "deep/b.txt", "deep/c.Jpeg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    found = [item.source for item in items(f"{folder}/")]
    assert found == [str(folder / name) for name in ("A.PNG", "deep/c.Jpeg")]
