"""Runs that stop and go on, over catalogues that change, and what they say of it."""

import errno
import json
import os
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poster2plot import InputError
from poster2plot.batch import lock as locks
from poster2plot.batch import run as batch_run
from poster2plot.batch import snapshot
from poster2plot.batch.failures import sentence
from poster2plot.batch.lock import STALE, OutputLock
from poster2plot.batch.shards import Shards
from support.poster_server import ID, METAHUB, PICTURE, TMDB, V3_KEY, Answer, serve_posters, tmdb
from support.toy_model import save_tiny_model
from tests.batch.conftest import catalogue, model, poster, run

Capture = pytest.CaptureFixture[str]


def rows(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_text().splitlines()]


def stopped(model: Path, folder: Path, output: Path, *more: object) -> None:
    """A run that wrote all of its shards and could not write the output."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.MonkeyPatch.context() as blocked:
        blocked.setattr(Shards, "_put_record", fail)
        assert run(model, folder, "--output", output, *more) == 1
    assert not output.exists()


def is_as_clean(model: Path, folder: Path, output: Path, *more: object) -> bool:
    clean = output.with_name(f"clean-{time.monotonic_ns()}.jsonl")
    assert run(model, folder, "--output", clean, *more) == 0
    return rows(output) == rows(clean)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return catalogue(tmp_path / "posters", 12)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "plots.jsonl"


def test_a_run_that_stopped_takes_its_rows_over(
    tiny_folder: Path, folder: Path, output: Path, capsys: Capture
):
    stopped(tiny_folder, folder, output)
    assert "what is written stays" in capsys.readouterr().err
    assert run(tiny_folder, folder, "--output", output) == 0
    assert "12 rows are taken over from an earlier run, 0 are written." in capsys.readouterr().err
    assert is_as_clean(tiny_folder, folder, output)


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_catalogue_is_not_written_over(
    tiny_folder: Path, tmp_path: Path, capsys: Capture, more: list[str]
):
    table, link = tmp_path / "posters.parquet", tmp_path / "link.parquet"
    pq.write_table(pa.table({"image": [{"bytes": poster(0), "path": None}]}), table)
    link.symlink_to(table)
    before = table.read_bytes()
    for output in (table, link):
        assert run(tiny_folder, table, "--output", output, *more) == 2
        assert "is the catalogue itself; name another" in capsys.readouterr().err
    assert table.read_bytes() == before


def test_two_colons_in_a_path_are_letters(tiny_folder: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").write_text("keep")
    folder = catalogue(tmp_path / "in::2024", 2)
    output = tmp_path / "in" / "out::b.jsonl"
    assert run(tiny_folder, folder, "--output", output) == 0
    assert [Path(row["source"]).name for row in rows(output)] == ["0.png", "1.png"]
    assert (tmp_path / "in" / "out").read_text() == "keep"


def test_no_catalogue_is_no_folder(
    tiny_folder: Path, folder: Path, output: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    assert run(tiny_folder, "", "--output", output) == 2
    assert "is empty" in capsys.readouterr().err


def test_a_closed_output_stops_nothing(tiny_folder: Path, folder: Path, output: Path):
    options = [str(folder), "--output", str(output), *model(tiny_folder)]
    command = shlex.join([sys.executable, "-m", "poster2plot.batch", *options])
    closed = subprocess.run(["sh", "-c", f"{command} >&- 2>&-"], check=False)
    assert closed.returncode == 0
    assert len(rows(output)) == 12
    assert not Path(f"{output}.parts").exists()


def swap(folder: Path) -> None:
    """Two pictures of one size change places, and their times with them."""
    (folder / "1.png").rename(folder / "x")
    (folder / "2.png").rename(folder / "1.png")
    (folder / "x").rename(folder / "2.png")


def disguise(folder: Path) -> None:
    path = folder / "3.png"
    before = path.stat()
    path.write_bytes(poster(4).ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swap, "0 new, 0 gone, 2 altered"),
        (disguise, "0 new, 0 gone, 1 altered"),
        (lambda folder: (folder / "5.png").write_bytes(poster(5)), "0 new, 0 gone, 1 altered"),
        (lambda folder: (folder / "5.png").unlink(), "0 new, 1 gone, 0 altered"),
        (lambda folder: (folder / "12.png").write_bytes(poster(7)), "1 new, 0 gone, 0 altered"),
    ],
)
def test_a_row_belongs_to_its_picture(
    tiny_folder: Path, folder: Path, output: Path, change: Callable[[Path], Any], said: str,
    capsys: Capture,
):  # fmt: skip
    (folder / "5.png").write_bytes(b"damaged")
    stopped(tiny_folder, folder, output)
    change(folder)
    assert run(tiny_folder, folder, "--output", output) == 0
    assert f"as the catalogue ({said}) changed" in capsys.readouterr().err
    assert is_as_clean(tiny_folder, folder, output)


def test_a_row_belongs_to_its_model_and_settings(
    tiny_folder: Path, folder: Path, output: Path, tmp_path: Path, capsys: Capture
):
    model = tmp_path / "model"
    shutil.copytree(tiny_folder, model)
    stopped(model, folder, output)
    shutil.rmtree(model)
    save_tiny_model(model, seed=1)  # another of the same name
    capsys.readouterr()
    more = ["--guidance", "2"]
    assert run(model, folder, "--output", output, *more) == 0
    said = capsys.readouterr().err
    assert "0 rows are taken over" in said
    assert "as the model’s weights, the setting guidance changed" in said
    assert is_as_clean(model, folder, output, *more)


def test_a_title_that_no_service_had_is_tried_again_when_there_is_another_service(
    tiny_folder: Path, folder: Path, output: Path, tmp_path: Path, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    table = tmp_path / "list.csv"
    table.write_text(f"path\nposters/0.png\n{ID}\n")
    pictures = tmp_path / "pictures.jsonl"
    with serve_posters() as server:
        server.answers = {TMDB: tmdb(), PICTURE: Answer(poster(3))}

        def keys(**given: str) -> None:
            monkeypatch.setattr(batch_run, "patient_finder", lambda _: server.finder(**given))

        keys()
        stopped(tiny_folder, table, output)
        assert run(tiny_folder, folder, "--output", pictures) == 0
        keys(tmdb_key=V3_KEY)
        capsys.readouterr()
        assert run(tiny_folder, table, "--output", output) == 0
        said = capsys.readouterr().err
        assert "0 rows are taken over" in said
        assert "as the poster services (Cinemeta, Metahub then) changed" in said
        assert [row["error"] for row in rows(output)] == [None, None]
        assert run(tiny_folder, folder, "--output", pictures) == 0  # which nobody is asked for
        keys()
        assert run(tiny_folder, table, "--output", output) == 2
        assert "the poster services (TMDB, Cinemeta, Metahub then)" in capsys.readouterr().err


def test_half_a_character_in_a_path_is_an_error_of_its_row(
    tiny_folder: Path, folder: Path, tmp_path: Path
):
    table = tmp_path / "a.jsonl"
    table.write_text(f'{{"path": "x\\ud83d.png"}}\n{{"path": "{folder}/0.png"}}\n')
    for name in ("plots.csv", "plots.jsonl", "plots.parquet"):
        assert run(tiny_folder, table, "--output", tmp_path / name) == 0
    odd, plain = rows(tmp_path / "plots.jsonl")
    assert odd["source"] == "x\\ud83d.png"
    assert "cannot be read" in odd["error"]
    assert plain["plot"]


def test_finished_is_finished(tiny_folder: Path, folder: Path, output: Path, capsys: Capture):
    assert run(tiny_folder, folder, "--output", output) == 0
    written = output.stat().st_mtime_ns
    assert run(tiny_folder, folder, "--output", output) == 0
    assert "is complete already, 12 posters" in capsys.readouterr().err
    assert output.stat().st_mtime_ns == written
    swap(folder)
    assert run(tiny_folder, folder, "--output", output) == 2
    assert "since then the catalogue (of 12 posters then) changed" in capsys.readouterr().err
    assert run(tiny_folder, folder, "--output", output, "--overwrite") == 0
    assert is_as_clean(tiny_folder, folder, output)
    assert run(tiny_folder, folder, "--output", output) == 0


def test_rows_that_could_not_be_had_are_tried_again(
    tiny_folder: Path, folder: Path, output: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
):
    from poster2plot.batch.catalogues.item import Item

    read = Item.read
    changed: list[int] = []

    def changing(self: Item) -> bytes:
        """One file changes after the catalogue was listed, and before it is read."""
        if self.source.endswith("/3.png") and not changed:
            changed.append(Path(self.file).write_bytes(poster(9)))
        return read(self)

    monkeypatch.setattr(Item, "read", changing)
    assert run(tiny_folder, folder, "--output", output) == 1
    said = capsys.readouterr()
    assert said.out == f"12 posters: {output} (1 with an error)\n"
    assert "start the same command again" in said.err
    assert "has changed since the catalogue was listed" in rows(output)[3]["error"]
    assert run(tiny_folder, folder, "--output", output) == 0
    assert is_as_clean(tiny_folder, folder, output)
    assert not Path(f"{output}.parts").exists()


def test_an_output_with_rows_to_come_is_not_replaced_by_another_job(
    tiny_folder: Path, folder: Path, output: Path, tmp_path: Path, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    table, other = tmp_path / "list.csv", tmp_path / "other.csv"
    for path in (table, other):
        path.write_text(f"path\nposters/0.png\n{ID}\n")
    with serve_posters() as server:
        down = server.finder()
        up = server.finder(tmdb_key=V3_KEY)
        monkeypatch.setattr(batch_run, "patient_finder", lambda _: down)
        server.answers = {METAHUB: Answer(b"", 503)}
        assert run(tiny_folder, table, "--output", output) == 1
        written = output.read_text()
        for given, more, says in (
            (table, ["--guidance", "2"], "the setting guidance changed"),
            (other, [], f"the catalogue ({str(table)!r} then) changed"),
        ):
            assert run(tiny_folder, given, "--output", output, *more) == 2
            said = capsys.readouterr().err
            assert says in said
            assert "add --overwrite" in said
            assert output.read_text() == written
        monkeypatch.setattr(batch_run, "patient_finder", lambda _: up)
        server.answers = {TMDB: tmdb(), PICTURE: Answer(poster(3))}
        assert run(tiny_folder, table, "--output", output) == 0
    assert [row["error"] for row in rows(output)] == [None, None]


def test_a_model_that_changes_while_a_run_begins_writes_no_rows(
    tiny_folder: Path, folder: Path, output: Path, tmp_path: Path, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    model, take = tmp_path / "model", snapshot.take
    shutil.copytree(tiny_folder, model)

    def changing(*arguments: Any) -> Any:
        """A catalogue may take minutes to list."""
        save_tiny_model(model, seed=1)
        return take(*arguments)

    monkeypatch.setattr(snapshot, "take", changing)
    assert run(model, folder, "--output", output) == 1
    assert "changed since the run began; start it again" in capsys.readouterr().err
    assert not list(Path(f"{output}.parts").glob("*-*"))
    assert run(model, folder, "--output", output) == 0
    assert is_as_clean(model, folder, output)


def test_a_damaged_shard_is_written_anew(
    tiny_folder: Path, folder: Path, output: Path, capsys: Capture
):
    stopped(tiny_folder, folder, output)
    [shard, *_] = Path(f"{output}.parts").glob("*-*")
    shard.write_bytes(shard.read_bytes()[:-9])
    assert run(tiny_folder, folder, "--output", output) == 0
    assert "Shards were damaged" in capsys.readouterr().err
    assert is_as_clean(tiny_folder, folder, output)


def test_an_output_that_was_cut_off_is_made_again(tiny_folder: Path, folder: Path, output: Path):
    """A disk without atomic renames leaves the half of a file that was being moved."""
    stopped(tiny_folder, folder, output)
    output.write_text("half of")
    record = {"job": {}, "catalogue": "", "items": 0, "again": 0, "size": 9, "sha256": ""}
    Path(f"{output}.run.json").write_text(json.dumps(record))
    assert run(tiny_folder, folder, "--output", output) == 0
    assert is_as_clean(tiny_folder, folder, output)


def test_one_run_at_a_time(tiny_folder: Path, folder: Path, output: Path, capsys: Capture):
    with OutputLock(Shards(str(output))):
        assert run(tiny_folder, folder, "--output", output) == 2
    said = capsys.readouterr().err
    assert f"is being written by process {os.getpid()} on " in said
    assert [path.name for path in output.parent.iterdir()] == ["posters"]
    assert run(tiny_folder, folder, "--output", output) == 0


@pytest.mark.parametrize("url", ["{}/plots.csv", "memory://{}/plots.csv"])
def test_another_machine_may_have_the_same_name(tmp_path: Path, url: str):
    shards = Shards(url.format(tmp_path))
    fs, path = fsspec.core.url_to_fs(f"{shards.output}.lock")
    owner = {"host": socket.gethostname(), "process": 2**22 + 1, "since": "then", "token": "x"}
    there = owner | {"machine": "another", "numbering": ""}
    fs.pipe_file(path, json.dumps(there | {"alive": time.time() - 5}).encode())
    with pytest.raises(InputError, match="is being written"), OutputLock(shards):
        pass
    fs.pipe_file(path, json.dumps(there | {"alive": time.time() - STALE - 1}).encode())
    with OutputLock(shards):
        pass


def test_in_a_store_another_container_of_this_machine_may_have_the_lock():
    shards = Shards("memory://container/plots.csv")
    fs, path = fsspec.core.url_to_fs(f"{shards.output}.lock")
    with OutputLock(shards) as lock:
        owner = lock._owner | {"process": 2**22 + 1, "alive": time.time()}
    fs.pipe_file(path, json.dumps(owner | {"numbering": "pid:[1]"}).encode())
    with pytest.raises(InputError, match="is being written"), OutputLock(shards):
        pass
    fs.pipe_file(path, json.dumps(owner).encode())
    with OutputLock(shards):
        pass


@pytest.mark.parametrize("url", ["{}/plots.csv", "memory://{}/plots.csv"])
def test_the_lock_of_a_dead_run_is_taken_over(tmp_path: Path, url: str):
    shards = Shards(url.format(tmp_path))
    fs, path = fsspec.core.url_to_fs(f"{shards.output}.lock")
    owner = {"host": "another", "process": 1, "since": "then", "token": "x"}
    fs.pipe_file(path, json.dumps(owner | {"alive": time.time() - 5}).encode())
    with pytest.raises(InputError, match="by process 1 on another since then"), OutputLock(shards):
        pass
    fs.pipe_file(path, json.dumps(owner | {"alive": time.time() - STALE - 1}).encode())
    with OutputLock(shards), pytest.raises(InputError, match="is being written"):
        OutputLock(shards).__enter__()
    assert not fs.exists(path)


def test_a_lock_that_another_run_took_over_is_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "SIGN_OF_LIFE", 0.01)
    shards = Shards("memory://taken/plots.csv")
    fs, path = fsspec.core.url_to_fs(f"{shards.output}.lock")
    other = json.dumps({"host": "another", "process": 1, "since": "then", "token": "x"}).encode()
    with OutputLock(shards) as lock:
        lock.check()
        deadline = time.monotonic() + 30
        while lock._alive and lock._alive.is_alive() and time.monotonic() < deadline:
            fs.pipe_file(path, other)
        with pytest.raises(InputError, match="by process 1 on another"):
            lock.check()
    assert fs.cat_file(path) == other
    fs.rm_file(path)


def test_an_output_within_the_catalogue_is_no_part_of_it(tiny_folder: Path, tmp_path: Path):
    for shard in range(2):
        some = [poster(3 * shard + i) for i in range(3)]
        pq.write_table(pa.table({"image": some}), tmp_path / f"in-{shard}.parquet")
    output, other = tmp_path / "plots.parquet", tmp_path / "more.parquet"
    stopped(tiny_folder, tmp_path, output)
    for each in (output, output, other):
        assert run(tiny_folder, tmp_path, "--output", each) == 0
        assert pq.read_table(each, columns=["source"]).num_rows == 6


def test_an_output_where_nothing_can_be_written_is_said(
    tiny_folder: Path, folder: Path, capsys: Capture
):
    assert run(tiny_folder, folder, "--output", "/proc/plots.csv") == 2
    assert "'/proc/plots.csv' cannot be written: " in capsys.readouterr().err


def test_an_output_in_an_object_store(
    tiny_folder: Path, folder: Path, output: Path, store: str, capsys: Capture
):
    remote, fs = f"{store}/plots.jsonl", fsspec.filesystem("s3")
    dead = {"host": socket.gethostname(), "process": 2**22 + 1, "alive": time.time()}
    fs.pipe_file(f"{remote}.lock", json.dumps(dead).encode())
    assert run(tiny_folder, folder, "--output", remote) == 0
    assert run(tiny_folder, folder, "--output", remote) == 0
    assert "is complete already" in capsys.readouterr().err
    swap(folder)
    assert run(tiny_folder, folder, "--output", remote) == 2
    assert run(tiny_folder, folder, "--output", remote, "--overwrite") == 0
    fs.get_file(remote, str(output))
    assert is_as_clean(tiny_folder, folder, output)
    fs.invalidate_cache()
    assert sorted(fs.ls(store, detail=False)) == [
        f"{store.removeprefix('s3://')}/plots.jsonl{more}" for more in ("", ".run.json")
    ]


def test_an_output_that_is_a_folder_is_refused_before_anything_is_written(
    tiny_folder: Path, folder: Path, output: Path, capsys: Capture
):
    output.mkdir()
    for more in ([], ["--overwrite"]):
        assert run(tiny_folder, folder, "--output", output, *more) == 2
        assert "is a folder; name a file" in capsys.readouterr().err
    assert {path.name for path in output.parent.iterdir()} == {"posters", output.name}


@pytest.mark.parametrize("length", [247, 300])
def test_an_output_whose_record_cannot_have_its_name_is_refused_before_anything_is_written(
    tiny_folder: Path, folder: Path, output: Path, capsys: Capture, length: int
):
    long = output.with_name("x" * (length - len(".csv")) + ".csv")
    assert run(tiny_folder, folder, "--output", long) == 2
    assert "File name too long" in capsys.readouterr().err
    Path(f"{output}.run.json").mkdir()
    assert run(tiny_folder, folder, "--output", output) == 2
    assert "its record '.run.json' beside it is a folder" in capsys.readouterr().err
    assert {path.name for path in output.parent.iterdir()} == {"posters", "plots.jsonl.run.json"}


def test_the_longest_name_of_an_output_is_written(tiny_folder: Path, folder: Path, output: Path):
    longest = output.with_name("x" * (255 - len(".jsonl.run.json")) + ".jsonl")
    assert run(tiny_folder, folder, "--output", longest) == 0
    assert len(rows(longest)) == 12


@pytest.mark.parametrize("is_there", [False, True])
def test_an_output_that_is_a_link_is_written_where_it_leads(
    tiny_folder: Path, folder: Path, output: Path, capsys: Capture, is_there: bool
):
    target = output.parent / "elsewhere" / "real.jsonl"
    target.parent.mkdir()
    if is_there:
        target.write_text("another's")
    output.symlink_to(target)
    assert run(tiny_folder, folder, "--output", output, "--overwrite") == 0
    assert output.is_symlink()
    assert len(rows(target)) == 12
    assert {path.name for path in target.parent.iterdir()} == {target.name, "real.jsonl.run.json"}
    assert run(tiny_folder, folder, "--output", output) == 0
    assert "complete already" in capsys.readouterr().err


def nothing(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def notes(tmp_path: Path) -> Path:
    folder = nothing(tmp_path)
    (folder / "notes.doc").write_text("none")
    (folder / ".hidden.png").write_bytes(poster(0))
    return folder


def table(text: str) -> Callable[[Path], Path]:
    def make(tmp_path: Path) -> Path:
        (tmp_path / "in.csv").write_text(text)
        return tmp_path / "in.csv"

    return make


@pytest.mark.parametrize(
    ("make", "status", "says"),
    [
        (nothing, 2, "There is no poster in '{}'; it is empty"),
        (notes, 2, "it holds 1 hidden ('{}/.hidden.png'), 1 of another kind ('{}/notes.doc')"),
        (table("path\n"), 2, "There is no poster in '{}'"),
        (table(""), 2, "has none of the columns"),
        (table("path\na.png\nb.png\n"), 1, "None of the 2 posters in '{}' has a plot"),
        (lambda tmp_path: tmp_path / "in", 2, "There is no file or folder at '{}'"),
    ],
)
def test_there_is_no_success_over_nothing(
    tiny_folder: Path, tmp_path: Path, make: Any, status: int, says: str, capsys: Capture
):
    source, before = make(tmp_path), {path.name for path in tmp_path.iterdir()}
    assert run(tiny_folder, source, "--output", tmp_path / "plots.csv") == status
    said = capsys.readouterr()
    assert said.out == ""
    assert says.format(source, source) in said.err
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_full_disk_is_said_and_what_is_written_stays(
    tiny_folder: Path, folder: Path, output: Path, capsys: Capture
):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limit[1]))  # a write beyond fails
    try:
        assert run(tiny_folder, folder, "--output", output, "--num-candidates", 4) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    said = capsys.readouterr().err
    assert "error: The run stopped, as a file may not grow" in said
    assert "Traceback" not in said
    assert run(tiny_folder, folder, "--output", output) == 0


def test_a_disk_that_is_full_from_the_start_leaves_no_lock(
    tiny_folder: Path, folder: Path, output: Path, capsys: Capture
):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        assert run(tiny_folder, folder, "--output", output) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "cannot be written, as a file may not grow" in capsys.readouterr().err
    assert [path.name for path in output.parent.iterdir()] == ["posters"]
    assert run(tiny_folder, folder, "--output", output) == 0


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_too_little_memory_is_said(error: Exception):
    assert "too little memory; close other programs" in (sentence(error) or "")


def test_no_run_of_other_items_is_taken_for_this_one(tmp_path: Path):
    from poster2plot.batch.catalogues.item import Item
    from poster2plot.batch.shards import chunks

    item = Item("a.png", file="/a.png", version="1")
    others = [
        replace(item, version="2"), replace(item, file="/b.png"), replace(item, offset=1),
        replace(item, size=1), replace(item, kind="part"), replace(item, detail="x"),
    ]  # fmt: skip
    names = {next(iter(chunks([each], "job"))).name for each in [item, *others]}
    assert len(names) == 7
