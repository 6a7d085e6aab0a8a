"""Whole catalogues: what they list, what is written, and what a kill leaves."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poster2plot import (
    GenerationSettings,
    InputError,
    Poster2Plot,
    Poster2PlotError,
    PosterServiceError,
    read_image,
)
from poster2plot.batch import shards
from poster2plot.batch.__main__ import main
from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.listing import items
from poster2plot.batch.service_rates import Pace
from poster2plot.batch.shards import Shards, chunks
from poster2plot.batch.worker import Worker
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID, METAHUB, MOVIE, PICTURE, Answer, cinemeta, serve_posters

SETTINGS = GenerationSettings(max_length=12)


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


def test_a_folder_is_listed_in_natural_order(tmp_path: Path):
    folder = catalogue(tmp_path / "posters", 11)
    (folder / "notes.txt").write_text("none")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "2").mkdir()
    tar_of(folder / "2" / "more.tar", ["b.png", "a.jpg", "a.json"])
    found = [each.source.removeprefix(f"{folder}/") for each in items(str(folder))]
    pictures = [f"{i}.png" for i in range(11)]
    assert found == [*pictures[:2], "2/more.tar/b.png", "2/more.tar/a.jpg", *pictures[2:]]


def test_each_kind_of_catalogue_leads_to_its_pictures(tmp_path: Path):
    expected = [read_image(poster(i)).tobytes() for i in range(3)]
    folder = catalogue(tmp_path / "posters", 3)
    tar = tar_of(tmp_path / "posters.tar", ["0.png", "1.png", "2.png"])
    table = tmp_path / "posters.csv"
    table.write_text("title,file_name\n" + "".join(f"x,posters/{i}.png\n" for i in range(3)))
    paths = tmp_path / "paths.parquet"
    pq.write_table(pa.table({"path": [f"posters/{i}.png" for i in range(3)]}), paths)
    pictures = pa.array([{"bytes": poster(i), "path": None} for i in range(3)])
    inside = tmp_path / "pictures.parquet"
    pq.write_table(pa.table({"image": pictures}), inside)
    saved = tmp_path / "saved"  # as Dataset.save_to_disk leaves it
    saved.mkdir()
    (saved / "dataset_info.json").write_text("{}")
    with pa.OSFile(str(saved / "data-00000-of-00001.arrow"), "wb") as file:
        batch = pa.table({"image": pictures})
        with pa.ipc.new_stream(file, batch.schema) as stream:
            stream.write_table(batch)
    for source in (folder, tar, table, paths, inside, saved):
        assert [pixels(each) for each in items(str(source))] == expected


def test_a_catalogue_in_an_object_store(store: str, tmp_path: Path):
    expected = [read_image(poster(i)).tobytes() for i in range(3)]
    fs = fsspec.filesystem("s3")
    for i in range(3):
        fs.pipe_file(f"{store}/posters/{i}.png", poster(i))
    tar = tar_of(tmp_path / "posters.tar", ["0.png", "1.png", "2.png"])
    fs.put_file(str(tar), f"{store}/posters.tar")
    cells = ["posters/0.png", f"{store}/posters/1.png", "/posters/2.png"]
    fs.pipe_file(f"{store}/posters.csv", "\n".join(["path", *cells]).encode())
    pictures = pa.table({"image": [poster(i) for i in range(3)]})
    buffer = io.BytesIO()
    pq.write_table(pictures, buffer, row_group_size=2)
    fs.pipe_file(f"{store}/pictures.parquet", buffer.getvalue())
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, pictures.schema) as stream:
        stream.write_table(pictures)
    fs.pipe_file(f"{store}/saved/data.arrow", buffer.getvalue())
    fs.pipe_file(f"{store}/saved/dataset_info.json", b"{}")
    for name in ("posters", "posters.tar", "posters.csv", "pictures.parquet", "saved"):
        assert [pixels(each) for each in items(f"{store}/{name}")] == expected
    assert next(items(f"{store}/posters")).source == f"{store}/posters/0.png"
    with pytest.raises(InputError, match="no file or folder"):
        list(items(f"{store}/missing"))


def test_what_an_object_store_refuses_is_said(store: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    try:
        with pytest.raises(InputError, match="cannot be read"):
            list(items(f"{store}/posters"))
        with pytest.raises(InputError, match="cannot be read"):
            pixels(Item("a.png", file=f"{store}/a.png"))
    finally:
        fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.mark.parametrize("cell", ["http://127.0.0.1:{}/a.png", "s3://a::http://127.0.0.1:{}/a.png"])
def test_a_table_makes_nobody_fetch_from_the_web(tmp_path: Path, cell: str):
    with serve_posters() as server:
        table = tmp_path / "posters.csv"
        table.write_text(f"path\n{cell.format(server.port)}\n")
        [item] = items(str(table))
        with pytest.raises(Poster2PlotError, match=r"not on imdb\.com|of the web are not fetched"):
            item.load(server.finder())
        assert server.requests == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing", None, "no file or folder"),
        ("text.doc", b"", "no catalogue"),
        ("bad.tar", b"x" * 2000, "not a tar"),
        ("bad.parquet", b"x", "cannot be read as a table"),
        ("bad.csv", b"name\nx\n", "none of the columns"),
        ("latin.csv", b"path\n\xff\n", "cannot be read as a table"),
    ],
)
def test_what_is_no_catalogue_is_said(tmp_path: Path, name: str, content: bytes | None, says: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        list(items(str(tmp_path / name)))


def test_every_poster_has_one_row(tiny: Poster2Plot, tiny_folder: Path, tmp_path: Path):
    folder = catalogue(tmp_path / "posters", 20)
    (folder / "7.png").write_bytes(b"damaged")
    for suffix in (".csv", ".jsonl", ".parquet"):
        assert run(tiny_folder, folder, "--output", tmp_path / f"plots{suffix}") == 0
    assert sorted(path.name for path in tmp_path.glob("plots*")) == [
        "plots.csv",
        "plots.jsonl",
        "plots.parquet",
    ]
    with (tmp_path / "plots.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "plots.jsonl").read_text().splitlines()]
    rows = pq.read_table(tmp_path / "plots.parquet").to_pylist()
    assert [row["plot"] or None for row in table] == [row["plot"] for row in lines]
    assert lines == rows
    assert [Path(row["source"]).name for row in rows] == [f"{i}.png" for i in range(20)]
    assert "not in a format" in rows[7]["error"]
    images = [read_image(poster(i)) for i in range(20) if i != 7]
    plots = [best.text for [best] in tiny.generate(images, SETTINGS)]
    assert [row["plot"] for row in rows if not row["error"]] == plots


def test_settings_apply(tiny_folder: Path, tmp_path: Path):
    folder = catalogue(tmp_path / "posters", 2)
    output = tmp_path / "plots.jsonl"
    assert run(tiny_folder, folder, "--output", output, "--num-candidates", 3) == 0
    for line in output.read_text().splitlines():
        assert len(json.loads(line)["candidates"]) == 3


def test_titles_are_looked_up(tiny: Poster2Plot, tmp_path: Path):
    table = tmp_path / "titles.csv"
    table.write_text(f"tconst\n{ID}\ntt9999999\n")
    with serve_posters() as server:
        server.answers = {
            MOVIE: cinemeta(server, description="A thief."),
            PICTURE: Answer(encode(draw_poster(), "JPEG")),
        }
        worker = Worker(tiny, tiny.resolve(SETTINGS), server.finder())
        found, unknown = worker.rows(items(str(table)))
    assert (found["source"], found["title"], found["synopsis"]) == (ID, "Inception", "A thief.")
    assert found["plot"]
    assert "No service has a poster" in unknown["error"]


def test_hosts_are_asked_as_often_as_they_may_be_by_all_workers_together():
    workers = [Pace(2, {"fast": 20.0}, others=1000.0) for _ in range(2)]
    asked: dict[str, list[float]] = {"fast": [], "other": []}

    def ask(worker: Pace) -> None:
        for _ in range(15):
            for host, times in asked.items():
                worker(host)
                times.append(time.monotonic())

    with ThreadPoolExecutor() as pool:
        list(pool.map(ask, workers))
    for times in asked.values():
        times.sort()
        assert len(times) == 30
    # The clocks of the limiter and of this test round differently.
    assert all(late - early > 0.95 for early, late in zip(times, asked["fast"][20:], strict=False))
    slow = Pace(100, {"slow": 40.0})
    slow("slow")
    began = time.monotonic()
    slow("slow")
    assert time.monotonic() - began > 1.9  # 40 a second for 100 workers: 3 s for one of each


def test_a_title_is_asked_for_again_when_no_service_answers(tiny: Poster2Plot, tmp_path: Path):
    table = tmp_path / "titles.csv"
    table.write_text(f"tconst\n{ID}\n")
    with serve_posters() as server:
        busy = [Answer(b"", 503)] * 2  # each is asked twice
        server.answers = {
            MOVIE: [*busy, cinemeta(server)],
            METAHUB: [*busy, Answer(b"", 404)],
            PICTURE: Answer(encode(draw_poster(), "JPEG")),
        }
        worker = Worker(tiny, tiny.resolve(SETTINGS), server.finder(), pauses=(0.01,))
        [row] = worker.rows(items(str(table)))
    assert row["plot"]


def test_a_run_stops_when_no_service_answers_any_more(tiny: Poster2Plot, tmp_path: Path):
    table = tmp_path / "titles.csv"
    table.write_text("tconst\n" + "".join(f"tt{i:07}\n" for i in range(1, 30)))
    output = Shards(str(tmp_path / "plots.csv"))
    with serve_posters() as server:
        gone = server.finder()
    worker = Worker(tiny, tiny.resolve(SETTINGS), gone, pauses=())
    with pytest.raises(PosterServiceError, match="8 titles in a row"):
        worker.write(chunks(items(str(table)), ""), output, lambda *_: None)
    assert output.there() == set()


@pytest.mark.parametrize("output", ["plots.xlsx", "plots", "nowhere://plots.csv"])
def test_an_output_that_cannot_be_written_is_said(
    tiny_folder: Path, tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str]
):
    folder = catalogue(tmp_path / "posters", 1)
    assert run(tiny_folder, folder, "--output", output) == 2
    assert capsys.readouterr().err.startswith("error: The output")


def test_an_output_that_is_there_stays(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, output = catalogue(tmp_path / "posters", 1), tmp_path / "plots.csv"
    output.write_text("mine")
    assert run(tiny_folder, folder, "--output", output) == 2
    assert "is there already" in capsys.readouterr().err
    assert output.read_text() == "mine"


def test_a_killed_run_goes_on_where_it_was(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, output = catalogue(tmp_path / "posters", 60), tmp_path / "plots.jsonl"
    script = (
        "import sys; from poster2plot.batch import shards; shards.CHUNK = 4; "
        "from poster2plot.batch.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, folder, "--output", output, *model(tiny_folder)]
    parts = tmp_path / "plots.jsonl.parts"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(parts.glob("*.jsonl")):
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    there = {path: path.stat().st_mtime_ns for path in parts.glob("*.jsonl")}
    assert 0 < len(there) < 15
    assert not output.exists()
    (parts / "00000000-0000000000000000.jsonl").write_text("of another catalogue")

    written = []
    write = Shards.write
    monkeypatch.setattr(shards, "CHUNK", 4)
    monkeypatch.setattr(
        Shards, "write", lambda self, name, rows: (written.append(name), write(self, name, rows))
    )
    assert run(tiny_folder, folder, "--output", output) == 0
    assert len(written) == 15 - len(there)
    assert not {f"{name}.jsonl" for name in written} & {path.name for path in there}
    sources = [json.loads(line)["source"] for line in output.read_text().splitlines()]
    assert sources == [str(folder / f"{i}.png") for i in range(60)]
    assert not parts.exists()


def test_two_processes_share_a_catalogue(tiny_folder: Path, tmp_path: Path):
    folder, output = catalogue(tmp_path / "posters", 2 * shards.CHUNK), tmp_path / "plots.jsonl"
    options = ["--model", tiny_folder, "--max-length", "8", "--output", output]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "poster2plot.batch"]
    done = subprocess.run(
        [sys.executable, *launch, folder, *options],
        capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{2 * shards.CHUNK} posters: {output}\n"  # of one of them
    sources = [json.loads(line)["source"] for line in output.read_text().splitlines()]
    assert sources == [str(folder / f"{i}.png") for i in range(2 * shards.CHUNK)]


def test_a_shard_is_of_its_items_and_settings():
    some = [Item(str(i)) for i in range(shards.CHUNK + 1)]
    names = [chunk.name for chunk in chunks(some, "settings")]
    assert names == [chunk.name for chunk in chunks(iter(some), "settings")]
    assert len(names) == 2
    assert not set(names) & {chunk.name for chunk in chunks(some, "others")}
    assert not set(names) & {chunk.name for chunk in chunks(some[1:], "settings")}


def test_shards_of_a_remote_file_system(tmp_path: Path):
    output = Shards(f"memory:/{tmp_path}/plots.csv")
    row = dict.fromkeys(shards.COLUMNS) | {"candidates": []}
    output.write("b", [row | {"source": "2"}])
    output.write("a", [row | {"source": "1"}])
    assert output.there() == {"a", "b"}
    output.merge(["a", "b"])
    with pytest.raises(InputError, match="is there already"):
        Shards(f"memory:/{tmp_path}/plots.csv")


def test_many_shards_become_few_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "_ROW_GROUP", 2)
    output = Shards(str(tmp_path / "plots.parquet"))
    row = dict.fromkeys(shards.COLUMNS) | {"candidates": []}
    for i in range(5):
        output.write(str(i), [row | {"source": str(i)}])
    output.merge(map(str, range(5)))
    table = pq.ParquetFile(tmp_path / "plots.parquet")
    assert table.num_row_groups == 3
    assert table.read().column("source").to_pylist() == ["0", "1", "2", "3", "4"]
