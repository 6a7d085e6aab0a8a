"""One worker: what it writes and reports, and titles looked up, asked for again, and given up."""

import json
import threading
import time
from copy import copy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from poster2plot import (
    GenerationSettings,
    Poster2Plot,
    PosterServiceError,
    read_image,
)
from poster2plot.batch import shards
from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.listing import items
from poster2plot.batch.catalogues.trouble import UnreachableError
from poster2plot.batch.shards import Chunk, Shards, chunks
from poster2plot.batch.worker import READERS, Worker
from poster2plot.images.releasable_picture import ReleasablePicture
from poster2plot.inputs import LoadedPoster
from support.drawn_posters import draw_poster, draw_titled_poster, encode
from support.poster_server import ID, METAHUB, MOVIE, PICTURE, Answer, cinemeta, serve_posters
from tests.batch.conftest import catalogue

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


def test_a_row_says_what_title_it_is_written_from(titled: Poster2Plot, tmp_path: Path):
    picture = encode(draw_poster(), "JPEG")
    (tmp_path / "a.jpg").write_bytes(picture)
    table = tmp_path / "titles.csv"
    table.write_text(f"id,title\na.jpg,The Sea\na.jpg,\n{ID},\n{ID},The Sea\nb.jpg,Dog\n")

    def rows(**changes: Any) -> list[dict[str, Any]]:
        with serve_posters() as server:
            server.answers = {
                MOVIE: cinemeta(server, name="Dog", description="A man and his dog."),
                PICTURE: Answer(picture),
            }
            settings = replace(titled.resolve(SETTINGS), **changes)
            return list(Worker(titled, settings, server.finder()).rows(items(str(table))))

    poster = read_image(picture)
    sea, alone, dog = titled.generate([poster] * 3, SETTINGS, ["The Sea", None, "Dog"])
    *found, missing = rows()
    assert [row["plot"] for row in found] == [best.text for best, *_ in (sea, alone, dog, sea)]
    assert [(row["title"], row["title_source"], row["title_used"]) for row in found] == [
        ("The Sea", "given", True),
        (None, None, False),
        ("Dog", "IMDb", True),
        ("The Sea", "given", True),
    ]
    assert {row["synopsis"] for row in found[2:]} == {"A man and his dog."}
    assert missing["error"]
    *off, _ = rows(use_title=False)
    assert {row["plot"] for row in off} == {alone[0].text}
    assert [row["title"] for row in off] == ["The Sea", None, "Dog", "The Sea"]
    assert not any(row["title_used"] for row in off)


def test_printed_titles_are_read_where_the_catalogue_has_none(titled: Poster2Plot, tmp_path: Path):
    draw_titled_poster("THE LAST RIVER").save(tmp_path / "a.png")
    draw_poster().save(tmp_path / "b.png")
    table = tmp_path / "titles.csv"
    table.write_text("path,title\na.png,\na.png,The Sea\nb.png,\n")
    with serve_posters() as server:
        settings = titled.resolve(SETTINGS)
        read, unread = (
            list(Worker(titled, settings, server.finder(), reads_titles=each).rows(listed))
            for each, listed in ((True, items(str(table))), (False, items(str(table))))
        )
    titles = ["The Last River", "The Sea", None]
    plots = titled.generate([tmp_path / name for name in ("a.png", "a.png", "b.png")],
                            SETTINGS, titles)  # fmt: skip
    assert [row["plot"] for row in read] == [best.text for best, *_ in plots]
    assert [(row["title"], row["title_source"], row["title_used"]) for row in read] == [
        ("The Last River", "read", True),
        ("The Sea", "given", True),
        (None, None, False),
    ]
    assert [row["title"] for row in unread] == [None, "The Sea", None]


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
    assert output.complete() == {}


def test_a_service_that_is_down_is_asked_again_and_one_that_knows_nothing_is_not(
    tiny: Poster2Plot, tmp_path: Path
):
    output = Shards(str(tmp_path / "plots.csv"))
    unknown, down, half = (
        Chunk(name, (Item(f"tt{i:07}", "title"),)) for i, name in enumerate("abc")
    )
    with serve_posters() as server:
        worker = Worker(tiny, tiny.resolve(SETTINGS), server.finder(), pauses=())
        worker.write([unknown], output, lambda *_: None)
        server.answers = {METAHUB.replace(ID, "tt0000002"): Answer(b"", 503)}
        worker.write([half], output, lambda *_: None)
        gone = server.finder()
    worker = Worker(tiny, tiny.resolve(SETTINGS), gone, pauses=())
    worker.write([down], output, lambda *_: None)
    there = output.complete()
    assert [(there[name].errors, there[name].again) for name in "abc"] == [(1, 0), (1, 1), (1, 1)]


def down() -> LoadedPoster:
    raise PosterServiceError("down")


def test_an_answer_in_between_lets_a_run_go_on(tiny: Poster2Plot, monkeypatch: pytest.MonkeyPatch):
    most = READERS - 1
    answered = {str(most), str(2 * most + 1)}
    monkeypatch.setattr(
        Item,
        "load",
        lambda item, _: (
            LoadedPoster(ReleasablePicture(draw_poster)) if item.source in answered else down()
        ),
    )
    with serve_posters() as server:
        worker = Worker(tiny, tiny.resolve(SETTINGS), server.finder(), pauses=())
        catalogue = [Item(str(i), "title") for i in range(3 * most + 2)]
        rows = list(worker.rows(catalogue))
        assert [row["source"] for row in rows] == [item.source for item in catalogue]
        assert {row["source"] for row in rows if row["plot"]} == answered
        with pytest.raises(PosterServiceError, match="The last: down"):
            list(worker.rows([Item("x", "title")]))  # the next in a row


def test_a_run_stops_when_no_poster_can_be_read_any_more(
    tiny: Poster2Plot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As when credentials expire in the middle: rows of errors would say that all is done."""

    def load(item: Item, _: Any) -> LoadedPoster:
        if int(item.source) < 12:
            return LoadedPoster(ReleasablePicture(draw_poster))
        raise UnreachableError("expired")

    monkeypatch.setattr(Item, "load", load)
    output, some = Shards(str(tmp_path / "plots.csv")), [Item(str(i)) for i in range(40)]
    first, last = Chunk("first", tuple(some[:10])), Chunk("last", tuple(some[10:]))
    with serve_posters() as server:
        worker = Worker(tiny, tiny.resolve(SETTINGS), server.finder())
        with pytest.raises(UnreachableError, match="8 in a row; check the connection"):
            worker.write([first, last], output, lambda *_: None)
    assert set(output.complete()) <= {"first"}
    worker = Worker(tiny, tiny.resolve(SETTINGS), server.finder())
    worker.write([Chunk("few", tuple(some[8:16]))], output, lambda *_: None)
    assert (output.complete()["few"].errors, output.complete()["few"].again) == (4, 4)


def test_shards_are_reported_with_their_errors(
    tiny: Poster2Plot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shards, "CHUNK", 4)
    folder = catalogue(tmp_path / "posters", 9)
    for name in ("1.png", "2.png", "8.png"):
        (folder / name).write_bytes(b"damaged")
    output, reports = Shards(str(tmp_path / "plots.jsonl")), []
    some = list(chunks(items(str(folder)), ""))
    with serve_posters() as server:
        worker = Worker(tiny, tiny.resolve(SETTINGS), server.finder())
        worker.write(some, output, lambda *report: reports.append(report))
    bad = {str(folder / name) for name in ("1.png", "2.png", "8.png")}
    assert reports == [
        (len(chunk.items), sum(item.source in bad for item in chunk.items)) for chunk in some
    ]
    assert set(output.complete()) == {chunk.name for chunk in some}
    for chunk in some:
        file = output.complete()[chunk.name].file
        lines = (tmp_path / "plots.jsonl.parts" / file).read_text().splitlines()
        assert [json.loads(line)["source"] for line in lines] == [
            item.source for item in chunk.items
        ]


def test_waiting_for_posters_is_idle_time(tiny: Poster2Plot, monkeypatch: pytest.MonkeyPatch):
    go_on = threading.Event()
    monkeypatch.setattr(
        Item, "load", lambda *_: go_on.wait(30) and LoadedPoster(ReleasablePicture(draw_poster))
    )
    threading.Timer(0.1, go_on.set).start()
    with serve_posters() as server:
        worker = Worker(tiny, tiny.resolve(SETTINGS), server.finder())
        began = time.perf_counter()
        [row] = worker.rows([Item("poster")])
    assert row["plot"]
    assert 0.05 < worker.idle_seconds < time.perf_counter() - began


def test_a_row_has_the_scores_of_its_candidates(tiny: Poster2Plot, tmp_path: Path):
    settings = tiny.resolve(GenerationSettings(max_length=12, num_candidates=2))
    with serve_posters() as server:
        worker = Worker(tiny, settings, server.finder())
        [row] = worker.rows(items(str(catalogue(tmp_path / "posters", 1))))
    [expected] = tiny.generate([tmp_path / "posters" / "0.png"], settings)
    found = [(each["text"], each["score"]) for each in row["candidates"]]
    assert found == [(each.text, round(each.score, 6)) for each in expected]
    assert (row["plot"], row["score"]) == found[0]
    assert (row["model"], row["error"], row["title"]) == (tiny.name, None, None)


def test_a_plot_that_fails_is_an_error_of_its_row(tiny: Poster2Plot, tmp_path: Path):
    broken = copy(tiny)
    broken.tokenizer = None
    with serve_posters() as server:
        worker = Worker(broken, tiny.resolve(SETTINGS), server.finder())
        rows = list(worker.rows(items(str(catalogue(tmp_path / "posters", 2)))))
    for row in rows:
        assert row["error"].startswith("The plot could not be written (")
        assert (row["plot"], row["candidates"]) == (None, [])


def test_who_leaves_early_leaves_nothing_in_the_queue(tiny: Poster2Plot, tmp_path: Path):
    submitted = []

    class Watched(Poster2Plot):
        def submit(self, *arguments, **options):
            requests = super().submit(*arguments, **options)
            submitted.extend(requests)
            return requests

    watched = copy(tiny)
    watched.__class__ = Watched
    with serve_posters() as server:
        worker = Worker(watched, tiny.resolve(SETTINGS), server.finder())
        rows: Any = worker.rows(items(str(catalogue(tmp_path / "posters", 60))))
        assert len(list(islice(rows, 2))) == 2
        rows.close()
    assert any(request.cancelled() for request in submitted)
    assert all(request.done() for request in submitted)
