"""Folders of pictures and tars."""

from pathlib import Path

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
