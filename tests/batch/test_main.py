"""The command line: what is written, and what a kill leaves."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from poster2plot import (
    GenerationSettings,
    Poster2Plot,
    read_image,
)
from poster2plot.batch import shards
from poster2plot.batch.shards import Shards
from poster2plot.title_reading import reader
from poster2plot.title_reading.reader import TitleReader
from support.drawn_posters import draw_titled_poster
from tests.batch.conftest import catalogue, model, poster, run

SETTINGS = GenerationSettings(max_length=12)


def test_every_poster_has_one_row(tiny: Poster2Plot, tiny_folder: Path, tmp_path: Path):
    folder = catalogue(tmp_path / "posters", 20)
    (folder / "7.png").write_bytes(b"damaged")
    for suffix in (".csv", ".jsonl", ".parquet"):
        assert run(tiny_folder, folder, "--output", tmp_path / f"plots{suffix}") == 0
    names = {f"plots{suffix}{more}" for suffix in shards.FORMATS for more in ("", ".run.json")}
    assert {path.name for path in tmp_path.glob("plots*")} == names
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


def test_titles_of_a_catalogue_are_used_or_said_to_be_passed_over(
    tiny_folder: Path, titled_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    catalogue(tmp_path / "posters", 2)
    table = tmp_path / "posters.csv"
    table.write_text("path,title\nposters/0.png,=The Sea\nposters/1.png,Dog\n")

    def rows(name: str, folder: Path, *options: str) -> list[dict[str, str]]:
        assert run(folder, table, "--output", tmp_path / name, *options) == 0
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    passed_over = rows("tiny.csv", tiny_folder)
    assert capsys.readouterr().err.count("takes no titles") == 1
    assert [row["title_used"] for row in passed_over] == ["False", "False"]
    rows("off.csv", tiny_folder, "--no-title")
    used = rows("titled.csv", titled_folder)
    assert "takes no titles" not in capsys.readouterr().err
    assert [(row["title"], row["title_used"]) for row in used] == [
        ("'=The Sea", "True"),  # no formula
        ("Dog", "True"),
    ]


def test_rows_with_titles_that_were_read_are_no_others(
    titled_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, output = tmp_path / "posters", tmp_path / "plots.jsonl"
    folder.mkdir()
    draw_titled_poster("THE LAST RIVER").save(folder / "a.png")

    def sources(*options: str) -> list[str | None]:
        assert run(titled_folder, folder, "--output", output, *options) == 0
        return [json.loads(line)["title_source"] for line in output.read_text().splitlines()]

    assert sources() == [None]
    assert run(titled_folder, folder, "--output", output, "--read-titles") == 2
    assert "the title reader (none then) changed" in capsys.readouterr().err
    assert sources("--read-titles", "--overwrite") == ["read"]
    assert sources("--read-titles") == ["read"]
    assert "complete already" in capsys.readouterr().err
    assert run(titled_folder, folder, "--output", output) == 2
    assert "the title reader (rapidocr" in capsys.readouterr().err


def test_titles_that_cannot_be_read_are_said_once_and_cost_no_plot(
    tiny_folder: Path,
    titled_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    folder = catalogue(tmp_path / "posters", 2)
    for i, (checkpoint, says) in enumerate(
        [(tiny_folder, "takes no titles"), (titled_folder, "pip install 'poster2plot[titles]'")]
    ):
        monkeypatch.setitem(sys.modules, "rapidocr", None)
        output = tmp_path / f"{i}.jsonl"
        assert run(checkpoint, folder, "--output", output, "--read-titles") == 0
        assert capsys.readouterr().err.count(says) == 1
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        assert [(bool(row["plot"]), row["title"]) for row in rows] == [(True, None)] * 2
    output = tmp_path / "none.jsonl"
    assert run(titled_folder, folder, "--output", output, "--read-titles", "--no-title") == 2
    assert "--read-titles" in capsys.readouterr().err


def test_packages_that_do_not_load_leave_no_complete_output_for_when_they_do(
    titled_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    folder, output = catalogue(tmp_path / "posters", 1), tmp_path / "plots.jsonl"
    monkeypatch.setattr(reader, "_made", TitleReader)  # none that is loaded already
    with monkeypatch.context() as broken:
        broken.setitem(sys.modules, "poster2plot.title_reading.recognition", None)
        assert run(titled_folder, folder, "--output", output, "--read-titles") == 0
    assert capsys.readouterr().err.count("a package does not load") == 1
    assert run(titled_folder, folder, "--output", output, "--read-titles") == 2
    assert "the title reader (none then) changed" in capsys.readouterr().err


def test_a_title_that_could_not_be_read_is_tried_again(
    titled_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    folder, output = tmp_path / "posters", tmp_path / "plots.jsonl"
    folder.mkdir()
    draw_titled_poster("THE LAST RIVER").save(folder / "a.png")

    def without_memory(*_: object) -> None:
        raise MemoryError

    def titles(status: int) -> list[tuple[bool, str | None]]:
        assert run(titled_folder, folder, "--output", output, "--read-titles") == status
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        return [(bool(row["plot"]), row["title"]) for row in rows]

    with monkeypatch.context() as short:
        short.setattr(TitleReader, "read", without_memory)
        assert titles(1) == [(True, None)]
    assert "start the same command again" in capsys.readouterr().err
    assert titles(0) == [(True, "The Last River")]


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
    options = [folder, "--output", output, *model(tiny_folder)]
    command = [sys.executable, "-c", script, *map(str, options)]
    parts = tmp_path / "plots.jsonl.parts"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(parts.glob("*-*.jsonl")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    there = {path: path.stat().st_mtime_ns for path in parts.glob("*-*.jsonl")}
    assert not output.exists()
    (parts / "00000000-0000000000000000.jsonl").write_text("of another catalogue")

    written = []
    write = Shards.write
    monkeypatch.setattr(shards, "CHUNK", 4)

    def noting(self: Shards, name: str, rows: Any, again: int = 0) -> None:
        written.append(name)
        write(self, name, rows, again)

    monkeypatch.setattr(Shards, "write", noting)
    assert run(tiny_folder, folder, "--output", output) == 0
    assert written
    assert not set(written) & {path.name.partition("-")[0] for path in there}
    sources = [json.loads(line)["source"] for line in output.read_text().splitlines()]
    assert sources == [str(folder / f"{i}.png") for i in range(60)]
    assert not parts.exists()


def test_two_processes_share_a_catalogue(tiny_folder: Path, tmp_path: Path):
    folder, output = catalogue(tmp_path / "posters", 2 * shards.CHUNK), tmp_path / "plots.jsonl"
    options = ["--model", tiny_folder, "--max-length", "8", "--output", output]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "poster2plot.batch"]
    done = subprocess.run(
        [sys.executable, *launch, *map(str, [folder, *options])],
        capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{2 * shards.CHUNK} posters: {output}\n"  # of one of them
    sources = [json.loads(line)["source"] for line in output.read_text().splitlines()]
    assert sources == [str(folder / f"{i}.png") for i in range(2 * shards.CHUNK)]
