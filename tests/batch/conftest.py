"""What the tests of catalogues share: catalogues drawn on the spot, and the command line."""

import io
import tarfile
from pathlib import Path

from poster2plot.batch.__main__ import main
from poster2plot.batch.catalogues.item import Item
from support.drawn_posters import draw_poster, encode
from support.poster_server import serve_posters


def poster(i: int) -> bytes:
    return encode(draw_poster(f"#{i * 9 % 256:02x}30{i * 5 % 256:02x}"))


def catalogue(folder: Path, count: int) -> Path:
    folder.mkdir()
    for i in range(count):
        (folder / f"{i}.png").write_bytes(poster(i))
    return folder


def tar_of(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for i, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = len(poster(i))
            tar.addfile(member, io.BytesIO(poster(i)))
    return path


def model(folder: Path) -> list[str]:
    """The options of a small model that writes what the fixture `tiny` does."""
    options = ["--device", "cpu", "--precision", "fp32", "--max-length", "12"]
    return ["--model", str(folder), *options]


def run(tiny_folder: Path, *arguments: object) -> int:
    return main([str(each) for each in (*arguments, *model(tiny_folder))])


def pixels(item: Item) -> bytes:
    with serve_posters() as server:
        return item.load(server.finder()).image.tobytes()
