"""Shards: their names, where they lie and what they become."""

import csv
import json
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from poster2plot import (
    InputError,
)
from poster2plot.batch import shards
from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.shards import Shards, chunks


def test_a_shard_is_of_its_items_and_settings():
    some = [Item(str(i)) for i in range(shards.CHUNK + 1)]
    names = [chunk.name for chunk in chunks(some, "settings")]
    assert [name[:9] for name in names] == ["00000000-", "00000001-"]
    assert [chunk.items for chunk in chunks(some, "settings")] == [
        tuple(some[: shards.CHUNK]),
        tuple(some[shards.CHUNK :]),
    ]
    assert names == [chunk.name for chunk in chunks(iter(some), "settings")]
    assert not set(names) & {chunk.name for chunk in chunks(some, "others")}
    assert not set(names) & {chunk.name for chunk in chunks(some[1:], "settings")}
    titled = [Item(each.source, title="A title") for each in some]
    assert not set(names) & {chunk.name for chunk in chunks(titled, "settings")}


def test_shards_of_a_remote_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    output = Shards(f"memory:/{tmp_path}/plots.csv")
    row = dict.fromkeys(shards.COLUMNS) | {"candidates": []}
    with monkeypatch.context() as patched:
        # An object is whole as it is, and to move one is to copy it.
        patched.setattr(type(output._fs), "mv", lambda *_, **__: pytest.fail("moved"))
        output.write("b", [row | {"source": "2"}])
        output.write("a", [row | {"source": "1"}])
    assert output.complete() == {"a", "b"}
    output.merge(["a", "b"])
    fs, path = fsspec.core.url_to_fs(f"memory:/{tmp_path}/plots.csv")
    table = csv.DictReader(fs.cat_file(path).decode().splitlines())
    assert [row["source"] for row in table] == ["1", "2"]
    assert fs.find(str(tmp_path)) == [path]
    with pytest.raises(InputError, match="is there already"):
        Shards(f"memory:/{tmp_path}/plots.csv")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_shards_on_a_disk_are_whole_and_become_one(tmp_path: Path, suffix: str):
    output = Shards(str(tmp_path / f"plots{suffix}"))
    parts = tmp_path / f"plots{suffix}.parts"
    row = dict.fromkeys(shards.COLUMNS) | {"score": -1.5, "year": 2010}
    candidates = [{"text": "Zoë, again.", "score": -1.5}]
    rows = [row | {"source": f"=cell {i}", "candidates": candidates} for i in range(3)]
    output.write("b", rows[:1])
    output.write("a", rows[2:])
    output.write("b", rows[:2])  # as another process may, too
    assert sorted(path.name for path in parts.iterdir()) == [f"a{suffix}", f"b{suffix}"]
    (parts / "c.tmp").write_text("half")
    assert output.complete() == {"a", "b"}
    output.merge(["b", "a"])
    assert [path.name for path in tmp_path.iterdir()] == [f"plots{suffix}"]
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
    output.merge(map(str, range(5)))
    table = pq.ParquetFile(tmp_path / "plots.parquet")
    assert table.num_row_groups == 3
    assert table.read().column("source").to_pylist() == ["0", "1", "2", "3", "4"]
