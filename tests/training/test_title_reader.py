"""Learning which lines are the title, on lines made up, and the commands on drawn posters."""

import json
import random
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import ImageDraw, ImageFont

from poster2plot.title_reading.scoring import Weights, best_candidate
from poster2plot.title_reading.text_lines import TextLine
from poster2plot.training.title_reader import PosterLines, common_words, learn
from support.drawn_posters import draw_poster
from support.training_data import write_csv
from tests.training.conftest import Command

TITLES = ("Iron Meadow", "The Last River", "Harrow Hill", "Far Silence", "Undertow Bay")
CREDITS = ("Directed by Ann Holt", "A Martin Fenwick film", "In theaters July 7")


def line(text: str, top: float, height: float) -> TextLine:
    right = min(0.98, 0.05 + 0.5 * height * len(text))
    corners = ((0.05, top), (right, top), (right, top + height), (0.05, top + height))
    return TextLine(text, 0.99, corners, False, 480)


def poster(chance: random.Random, title: str) -> PosterLines:
    """A title in large letters somewhere, and credits in small ones at the bottom."""
    lines = [line(title.upper(), chance.uniform(0.3, 0.9), chance.uniform(0.1, 0.14))]
    lines += [
        line(text, 1.2 + i / 15, chance.uniform(0.03, 0.05)) for i, text in enumerate(CREDITS)
    ]
    return PosterLines(1.5, tuple(lines))


@pytest.fixture(scope="module")
def posters() -> list[tuple[PosterLines, tuple[str, ...]]]:
    chance = random.Random(0)
    return [(poster(chance, title), ("Another", title)) for title in TITLES for _ in range(6)]


@pytest.fixture(scope="module")
def weights(posters) -> Weights:
    return learn(posters)


def test_the_title_is_told_from_the_credits(weights: Weights):
    lines = poster(random.Random(1), "Two Umbrellas").lines
    found = best_candidate(lines, 1.5, weights)
    assert found is not None
    candidate, confidence = found
    assert candidate.text == "TWO UMBRELLAS"
    assert confidence > weights.threshold


def test_where_the_title_cannot_be_read_the_confidence_is_lower(weights: Weights):
    lines = poster(random.Random(1), "Two Umbrellas").lines
    with_title, without = (best_candidate(chosen, 1.5, weights) for chosen in (lines, lines[1:]))
    assert with_title is not None
    assert without is not None
    assert without[1] < with_title[1]


def test_no_lines_no_title(weights: Weights):
    assert best_candidate([], 1.5, weights) is None


def test_words_that_several_titles_have():
    assert common_words(["The Red Sea", "Red", "Réd, Red!", "The Sea", "The End"]) == ["red", "the"]


def test_the_commands(posters, training: Command, tmp_path: Path):
    lines, rows = {}, []
    for number, (poster_lines, titles) in enumerate(posters):
        rows.append({"id": f"tt{number}", "split": "train", "title": titles[1]})
        (tmp_path / f"tt{number}.jpg").touch()  # its lines are known: nobody opens it
        lines[f"tt{number}"] = asdict(poster_lines)
    image = draw_poster(size=(300, 450))
    ImageDraw.Draw(image).text((40, 300), "IRON MEADOW", "white", ImageFont.load_default(32))
    image.save(tmp_path / "test.png")
    rows.append({"id": "test", "split": "Test", "title": "Iron Meadow"})
    for split in ("train", "test"):  # a picture that cannot be read stops nothing
        (tmp_path / f"broken-{split}.jpg").touch()
        rows.append({"id": f"broken-{split}", "split": split, "title": "Harrow Hill"})
    table = write_csv(tmp_path / "titles.csv", rows)
    (tmp_path / "lines.json").write_text(json.dumps(lines))

    out = tmp_path / "weights.json"
    learnt = training(
        "train-title-reader", table, tmp_path, "--lines", tmp_path / "lines.json", "--out", out
    )
    assert learnt.status == 0, learnt.errors
    assert "broken-train.jpg" in learnt.errors
    assert learnt.out.startswith("30 posters;")
    assert Weights.read(out).ranking.keys() == Weights.read().ranking.keys()
    measured = training("evaluate-titles", table, tmp_path, "--out", tmp_path / "read.csv")
    assert measured.status == 0, measured.errors
    assert "broken-test.jpg" in measured.errors
    assert "| right | 1 | 100.0% |" in measured.out
    assert "test,Iron Meadow,Iron Meadow," in (tmp_path / "read.csv").read_text()
    failed = training("evaluate-titles", tmp_path / "nowhere.csv", tmp_path)
    assert failed.status == 1
    assert "nowhere.csv" in failed.errors
    assert "Traceback" not in failed.errors


def test_no_poster_and_no_word_are_errors(training: Command, tmp_path: Path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "titles.csv").write_bytes("id,split,title\na,train,Amélie\n".encode("cp1252"))
    (tmp_path / "lines.json").write_text(json.dumps({"a": {"aspect": 1.5, "lines": []}}))
    source, lines = (tmp_path / "titles.csv", tmp_path), ("--lines", tmp_path / "lines.json")
    out = ("--out", tmp_path / "out")
    for command, why in (
        (("train-title-reader", *source, *lines, *out, "--splits", "nope"), "check ids and"),
        (("train-title-reader", *source, *lines, *out), "Too few posters"),
        (("evaluate-titles", *source), "check ids and --splits"),
        (("evaluate-titles", *source, "--splits", "train"), "can be read"),
        (("title-words", source[0], *out), "No word is in several titles"),
    ):
        done = training(*command)
        assert done.status == 1
        assert why in done.errors
    assert not (tmp_path / "out").exists()
