"""Object stores that fail: a sentence, a hint, and nothing is lost or done in silence."""

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poster2plot.batch import shards
from poster2plot.batch.catalogues.trouble import trouble
from support import faulty_store
from support.faulty_store import FaultyStore
from tests.batch.conftest import catalogue, poster, run, tar_of

Capture = pytest.CaptureFixture[str]
Fault = Callable[[str, str], str | None]


@pytest.fixture
def faulty(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """The store of `store`, which does as it is told."""
    with faulty_store.before(os.environ["AWS_ENDPOINT_URL"]) as failing:
        monkeypatch.setenv("AWS_ENDPOINT_URL", failing.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(shards, "CHUNK", 4)
        kind = fsspec.get_filesystem_class("s3")
        kind.clear_instance_cache()
        yield failing
        kind.clear_instance_cache()


def on(method: str, part: str, code: str, *, after: int = 0) -> Fault:
    """Requests of a method for a path with `part` in it fail, after so many that do not."""
    left = [after]

    def fault(asked: str, path: str) -> str | None:
        if asked != method or part not in path:
            return None
        left[0] -= 1
        return None if left[0] >= 0 else code

    return fault


def rows(url: str | Path) -> list[dict[str, Any]]:
    with fsspec.open(str(url), "rt") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("ExpiredToken", "credentials for the store have expired (ExpiredToken); renew them"),
        ("AccessDenied", "does not let these credentials do it (AccessDenied); check what they"),
        ("InvalidAccessKeyId", "does not know these credentials (InvalidAccessKeyId); check them"),
        ("RequestTimeTooSkewed", "the clock of this machine is wrong"),
        ("ServiceUnavailable", "too busy or fails (ServiceUnavailable); wait a while"),
        ("InternalError", "too busy or fails (InternalError); wait a while"),
        ("Unheard", "the store fails (An error occurred (Unheard)"),
    ],
)
def test_what_a_store_says_is_told_with_a_hint(
    faulty: FaultyStore, store: str, code: str, says: str
):
    faulty.fault = lambda *_: code
    with pytest.raises(OSError, match="As told") as refused:
        fsspec.filesystem("s3").pipe_file(f"{store}/a.png", b"a")
    assert says in (trouble(refused.value) or "")


def test_a_store_that_fails_while_rows_are_written(
    tiny_folder: Path, tmp_path: Path, faulty: FaultyStore, store: str, capsys: Capture
):
    folder, output = catalogue(tmp_path / "posters", 12), f"{store}/plots.jsonl"
    # The catalogue is written, and one shard.
    faulty.fault = on("PUT", "plots.jsonl.parts/", "ExpiredToken", after=2)
    assert run(tiny_folder, folder, "--output", output) == 1
    said = capsys.readouterr().err
    assert "error: The run stopped, as the credentials for the store have expired" in said
    assert "what is written stays" in said
    assert "Traceback" not in said
    faulty.fault = lambda *_: None
    assert run(tiny_folder, folder, "--output", output) == 0
    assert " 0 rows are taken over" not in capsys.readouterr().err
    assert run(tiny_folder, folder, "--output", tmp_path / "clean.jsonl") == 0
    assert rows(output) == rows(tmp_path / "clean.jsonl")


def test_a_store_that_asks_to_slow_down_is_asked_again(
    tiny_folder: Path, tmp_path: Path, faulty: FaultyStore, store: str
):
    folder, often = catalogue(tmp_path / "posters", 4), [0, 0]

    def fault(method: str, path: str) -> str | None:
        often[0] += method == "PUT"
        return "SlowDown" if method == "PUT" and often[0] < 3 else None

    faulty.fault = fault
    assert run(tiny_folder, folder, "--output", f"{store}/slow.jsonl") == 0
    assert len(rows(f"{store}/slow.jsonl")) == 4


@pytest.mark.parametrize("part", [".run.json", "merged.jsonl"])
def test_a_merge_that_was_interrupted_goes_on(
    tiny_folder: Path, tmp_path: Path, faulty: FaultyStore, store: str, part: str, capsys: Capture
):
    folder, output = catalogue(tmp_path / "posters", 12), f"{store}/{part[1:4]}-merged.jsonl"
    is_part = on("PUT", part, "ExpiredToken")
    faulty.fault = lambda method, path: (
        is_part(method, path) if path.split("?")[0].endswith(part) else None
    )
    assert run(tiny_folder, folder, "--output", output) == 1
    assert "have expired" in capsys.readouterr().err
    fs = fsspec.filesystem("s3")
    assert not fs.exists(output)
    faulty.fault = lambda *_: None
    assert run(tiny_folder, folder, "--output", output) == 0
    assert "12 rows are taken over from an earlier run, 0 are written" in capsys.readouterr().err
    assert [bool(row["plot"]) for row in rows(output)] == [True] * 12


@pytest.mark.parametrize("code", ["ExpiredToken", "AccessDenied", "ServiceUnavailable"])
def test_what_fails_while_a_catalogue_is_listed_is_no_fault_of_its_files(
    tiny_folder: Path, tmp_path: Path, faulty: FaultyStore, store: str, code: str, capsys: Capture
):
    """A tar that the store stops to send is not one that is cut off."""
    fs, place = fsspec.filesystem("s3"), f"{store}/{code}"
    fs.pipe({f"{place}/below/{i}.png": poster(i) for i in range(3)})
    fs.put_file(str(tar_of(tmp_path / "a.tar", ["a.png", "b.png"])), f"{place}/a.tar")
    table, output = tmp_path / "list.csv", tmp_path / "plots.jsonl"
    table.write_text(f"path\n{place}/below/0.png\n")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("0.png", poster(0))
    pq.write_table(pa.table({"image": [poster(0)]}), tmp_path / "c.parquet")
    (tmp_path / "d.jsonl").write_text('{"path": "0.png"}\n')
    tries = [(place, on("GET", "a.tar", code)), (place, on("GET", f"prefix={code}/below", code))]
    for name in ("b.zip", "c.parquet", "d.jsonl", "list.csv"):
        fs.put_file(str(tmp_path / name), f"{place}-more/{name}")
        tries.append((f"{place}-more/{name}", on("GET", f"/{name}", code)))
    if code != "AccessDenied":  # which a store also says of what is not there
        tries.append((str(table), on("HEAD", "0.png", code)))
    for given, faulty.fault in tries:
        assert run(tiny_folder, given, "--output", output) == 2
        said = capsys.readouterr().err
        assert "cannot be read, as the " in said
        assert "; renew them" in said or "; check " in said or "; wait " in said
        assert not output.exists()
    faulty.fault = lambda *_: None
    assert run(tiny_folder, place, "--output", output) == 0
    assert len(rows(output)) == 5


def test_posters_that_cannot_be_read_any_more_stop_the_run(
    tiny_folder: Path, tmp_path: Path, faulty: FaultyStore, store: str, capsys: Capture
):
    fs, place, output = fsspec.filesystem("s3"), f"{store}/many", tmp_path / "plots.jsonl"
    fs.pipe({f"{place}/{i}.png": poster(i) for i in range(24)})
    faulty.fault = on("GET", ".png", "ExpiredToken", after=6)
    assert run(tiny_folder, place, "--output", output) == 1
    said = capsys.readouterr().err
    assert "8 in a row" in said
    assert "have expired (ExpiredToken); renew them" in said
    assert not output.exists()
    faulty.fault = lambda *_: None
    assert run(tiny_folder, place, "--output", output) == 0
    assert [row["error"] for row in rows(output)] == [None] * 24


def test_a_run_whose_output_another_took_over_makes_none(
    tiny_folder: Path, tmp_path: Path, faulty: FaultyStore, store: str, capsys: Capture
):
    """As a machine that slept for minutes: nobody knew that it would go on."""
    folder, output = catalogue(tmp_path / "posters", 4), f"{store}/taken.jsonl"
    fs = fsspec.filesystem("s3")
    taken: list[str] = []

    def fault(method: str, path: str) -> str | None:
        if method == "PUT" and "taken.jsonl.parts/" in path and not taken:
            taken.append(path)
            owner = {"host": "another", "process": 1, "since": "then", "token": "x", "alive": 9e9}
            fs.pipe_file(f"{output}.lock", json.dumps(owner).encode())
        return None

    faulty.fault = fault
    assert run(tiny_folder, folder, "--output", output) == 1
    assert "by process 1 on another since then" in capsys.readouterr().err
    assert not fs.exists(output)
    assert json.loads(fs.cat_file(f"{output}.lock"))["token"] == "x"


def test_of_two_runs_that_start_at_once_the_store_lets_one_in(
    tiny_folder: Path, tmp_path: Path, faulty: FaultyStore, store: str, capsys: Capture
):
    """The other run's lock comes after this one saw that there is none."""
    folder, output = catalogue(tmp_path / "posters", 4), f"{store}/race.jsonl"
    fs = fsspec.filesystem("s3")
    owner = {"host": "another", "process": 1, "since": "then", "token": "x", "alive": 9e9}
    others: list[str] = []

    def fault(method: str, path: str) -> str | None:
        if method == "PUT" and path.endswith("race.jsonl.lock") and not others:
            others.append(path)
            fs.pipe_file(f"{output}.lock", json.dumps(owner).encode())
        return None

    faulty.fault = fault
    assert run(tiny_folder, folder, "--output", output) == 2
    assert "by process 1 on another since then" in capsys.readouterr().err
    assert json.loads(fs.cat_file(f"{output}.lock")) == owner
