"""Shards: their names, where they lie and what they become."""

from pathlib import Path

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
    assert names == [chunk.name for chunk in chunks(iter(some), "settings")]
    assert len(names) == 2
    assert not set(names) & {chunk.name for chunk in chunks(some, "others")}
    assert not set(names) & {chunk.name for chunk in chunks(some[1:], "settings")}


def test_shards_of_a_remote_file_system(tmp_path: Path):
    output = Shards(f"memory:/{tmp_path}/plots.csv")
    row = dict.fromkeys(shards.COLUMNS) | {"candidates": []}
    output.write("b", [row | {"source": "2"}])
    output.write("a", [row | {"source": "1"}])
    assert output.complete() == {"a", "b"}
    output.merge(["a", "b"])
    with pytest.raises(InputError, match="is there already"):
        Shards(f"memory:/{tmp_path}/plots.csv")


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
