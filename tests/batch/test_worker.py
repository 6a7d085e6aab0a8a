"""Titles: looked up, asked for again, and given up."""

from pathlib import Path

import pytest

from poster2plot import (
    GenerationSettings,
    Poster2Plot,
    PosterServiceError,
)
from poster2plot.batch.catalogues.listing import items
from poster2plot.batch.shards import Shards, chunks
from poster2plot.batch.worker import Worker
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID, METAHUB, MOVIE, PICTURE, Answer, cinemeta, serve_posters

SETTINGS = GenerationSettings(max_length=12)


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
    assert output.complete() == set()
