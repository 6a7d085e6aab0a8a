"""Shards: their names, where they lie and what they become."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from poster2plot.batch import shards
from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.shards import Shards, chunks


def test_a_shard_is_of_its_items_and_settings():
    some = [Item(str(i), version="1") for i in range(8 * shards.CHUNK)]
    cut = list(chunks(some, "settings"))
    assert [item for chunk in cut for item in chunk.items] == some
    assert max(len(chunk.items) for chunk in cut) <= 2 * shards.CHUNK
    names = [chunk.name for chunk in cut]
    assert len(set(names)) > 3
    assert names == [chunk.name for chunk in chunks(iter(some), "settings")]
    assert not set(names) & {chunk.name for chunk in chunks(some, "others")}
    titled = [replace(each, title="A title") for each in some]
    assert not set(names) & {chunk.name for chunk in chunks(titled, "settings")}


@pytest.mark.parametrize("place", [0, 500, 1023])
def test_an_item_that_comes_goes_or_changes_costs_its_own_shard(place: int):
    some = [Item(str(i), version="1") for i in range(8 * shards.CHUNK)]
    names = {chunk.name for chunk in chunks(some, "")}
    changed = replace(some[place], version="2")
    for others in (
        [*some[:place], *some[place + 1 :]],
        [*some[:place], Item("new"), *some[place:]],
        [*some[:place], changed, *some[place + 1 :]],
    ):
        found = {chunk.name for chunk in chunks(others, "")}
        assert 1 <= len(found - names) <= 2  # at the end of a shard, the next one as well


def test_shards_of_a_remote_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output = Shards(f"memory:/{tmp_path}/plots.csv")
    row = dict.fromkeys(shards.COLUMNS) | {"candidates": []}
    with monkeypatch.context() as patched:
        # An object is whole as it is, and to move one is to copy it.
        patched.setattr(type(output.fs), "mv", lambda *_, **__: pytest.fail("moved"))
        output.write("b", [row | {"source": "2"}])
        output.write("a", [row | {"source": "1"}])
    assert set(output.complete()) == {"a", "b"}
    assert output.merge(["a", "b"], {}) == []
    assert output.is_recorded(output.record())
    output.clear()
    fs, path = fsspec.core.url_to_fs(f"memory:/{tmp_path}/plots.csv")
    table = csv.DictReader(fs.cat_file(path).decode().splitlines())
    assert [row["source"] for row in table] == ["1", "2"]
    assert fs.find(str(tmp_path)) == [path, f"{path}.run.json"]
    fs.pipe_file(path, b"another's")
    assert not output.is_recorded(output.record())


def test_only_its_own_shards_are_removed(tmp_path: Path):
    row = dict.fromkeys(shards.COLUMNS) | {"candidates": [], "source": "1"}
    own, other = (Shards(f"memory:/{tmp_path}/plots{n}.jsonl") for n in ("[1]", "1"))
    for each in (own, other):
        each.write("a", [row])
    own.clear()
    assert not own.has_parts()
    assert other.has_parts()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_shards_on_a_disk_are_whole_and_become_one(tmp_path: Path, suffix: str):
    output = Shards(str(tmp_path / f"plots{suffix}"))
    parts = tmp_path / f"plots{suffix}.parts"
    row = dict.fromkeys(shards.COLUMNS) | {"score": -1.5, "year": 2010}
    candidates = [{"text": "Zoë, again.", "score": -1.5}]
    rows = [row | {"source": f"=cell {i}", "candidates": candidates} for i in range(3)]
    output.write("a", rows[2:])
    output.write("b", rows[:2])
    output.write("b", rows[:2])  # as another process may, too
    assert all(path.suffix == suffix for path in parts.iterdir())
    (parts / "c.tmp").write_text("half")
    assert set(output.complete()) == {"a", "b"}
    output.merge(["b", "a"], {})
    output.clear()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"plots{suffix}", f"plots{suffix}.run.json"}
    with (tmp_path / f"plots{suffix}").open(encoding="utf-8", newline="") as file:
        if suffix == ".jsonl":
            assert [json.loads(line) for line in file] == rows
            return
        table = list(csv.DictReader(file))
    assert [each["source"] for each in table] == [f"'=cell {i}" for i in range(3)]  # no formulas
    assert [json.loads(each["candidates"]) for each in table] == [candidates] * 3
    assert {(each["score"], each["year"], each["plot"]) for each in table} == {("-1.5", "2010", "")}


def test_an_output_is_an_absolute_path_or_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert Shards("plots.csv").output == str(tmp_path / "plots.csv")
    url = f"memory:/{tmp_path}/plots.jsonl"
    assert Shards(url).output == url


def test_many_shards_become_few_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "_SHARDS_PER_ROW_GROUP", 2)
    output = Shards(str(tmp_path / "plots.parquet"))
    row = dict.fromkeys(shards.COLUMNS) | {"candidates": []}
    for i in range(5):
        output.write(str(i), [row | {"source": str(i)}])
    output.merge([str(i) for i in range(5)], {})
    table = pq.ParquetFile(tmp_path / "plots.parquet")
    assert table.num_row_groups == 3
    assert table.read().column("source").to_pylist() == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("suffix", shards.FORMATS)
def test_a_damaged_shard_makes_no_output(tmp_path: Path, suffix: str):
    output = Shards(str(tmp_path / f"plots{suffix}"))
    row = dict.fromkeys(shards.COLUMNS) | {"candidates": []}
    for name in ("a", "b"):
        output.write(name, [row | {"source": name}])
    path = tmp_path / f"plots{suffix}.parts" / output.complete()["a"].file
    path.write_bytes(path.read_bytes()[:-2])
    assert output.merge(["a", "b", "c"], {}) == ["a", "c"]
    assert set(output.complete()) == {"b"}
    assert [path.name for path in tmp_path.iterdir()] == [f"plots{suffix}.parts"]


@pytest.mark.parametrize("suffix", shards.FORMATS)
def test_a_shard_tells_its_errors(tmp_path: Path, suffix: str):
    output = Shards(str(tmp_path / f"plots{suffix}"))
    row = dict.fromkeys(shards.COLUMNS) | {"candidates": [], "source": "a"}
    output.write("a", [row, row | {"error": "It is bad, so bad."}, row | {"error": "Later."}], 1)
    shard = output.complete()["a"]
    assert (shard.errors, shard.again) == (2, 1)
    assert output.errors_of(shard) == ["It is bad, so bad.", "Later."]
    output.write("a", [row, row | {"error": "It is bad, so bad."}, row])
    assert output.complete()["a"].again == 0  # the better one counts
