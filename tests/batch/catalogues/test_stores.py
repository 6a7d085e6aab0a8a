"""What a store or the web is asked for, and what it refuses."""

from pathlib import Path

import fsspec
import pytest

from poster2plot import (
    InputError,
    Poster2PlotError,
)
from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.listing import items
from support.poster_server import serve_posters
from tests.batch.conftest import pixels


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
