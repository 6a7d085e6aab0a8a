"""The commands of the title reader: to learn its weights, and to measure it."""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poster2plot.errors import InputError

if TYPE_CHECKING:
    from poster2plot.training.dataset import Picture

_TITLES = ("title", "original_title")  # columns of which either may be printed on a poster


def add_commands(commands: Any) -> None:
    """Add title-words, train-title-reader and evaluate-titles to a parser's commands."""
    collect = commands.add_parser(
        "title-words", help="title reader: the words that several titles have"
    )
    collect.add_argument("table", type=Path, help="CSV with id, split and title")
    collect.add_argument("--out", type=Path, required=True, help="title_words.txt to write")
    collect.set_defaults(run=_collect)

    learn = commands.add_parser(
        "train-title-reader", help="title reader: learn which line of a poster is its title"
    )
    _add_source(learn)
    learn.add_argument("--splits", nargs="+", default=["train"], help="default: %(default)s")
    learn.add_argument(
        "--lines", type=Path, required=True, help="JSON of recognized text, made where it lacks"
    )
    learn.add_argument("--out", type=Path, required=True, help="weights.json to write")
    learn.set_defaults(run=_learn)

    evaluate = commands.add_parser(
        "evaluate-titles", help="title reader: how many titles it reads right, wrong, or not"
    )
    _add_source(evaluate)
    evaluate.add_argument(
        "--splits", nargs="+", default=["valid", "test"], help="default: %(default)s"
    )
    evaluate.add_argument("--out", type=Path, help="CSV of what was read")
    evaluate.set_defaults(run=_evaluate)


def _add_source(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "table",
        type=Path,
        help="CSV with id, split, title and, where it is another, original_title",
    )
    command.add_argument("pictures", type=Path, help="folder or tar of <id>.jpg, at any depth")


def _titles(table: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Id, split and titles of each row that has a title."""
    csv.field_size_limit(2**24)
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                if titles := tuple(row[name] for name in _TITLES if row.get(name)):
                    yield row["id"], row["split"], titles
    except (OSError, KeyError) as error:
        raise InputError(
            f"{str(table)!r} is not a table with the columns id, split and title."
        ) from error


def _posters(options: argparse.Namespace) -> Iterator[tuple[str, tuple[str, ...], "Picture"]]:
    """Id, titles and picture of each poster of the splits."""
    from poster2plot.training.dataset import index_pictures

    pictures = index_pictures(options.pictures)
    for id, split, titles in _titles(options.table):
        if id in pictures and split in options.splits:
            yield id, titles, pictures[id]


def _collect(options: argparse.Namespace) -> None:
    from poster2plot.training.title_reader import common_words

    found = common_words(
        titles[0] for _, split, titles in _titles(options.table) if split == "train"
    )
    options.out.write_text("\n".join(found) + "\n", encoding="utf-8")


def _learn(options: argparse.Namespace) -> None:
    from poster2plot.training.title_reader import learn, read_lines, save

    posters = list(_posters(options))
    lines = read_lines({id: picture for id, _, picture in posters}, options.lines)
    weights = learn([(lines[id], titles) for id, titles, _ in posters])
    save(weights, options.out)
    print(f"{len(posters)} posters; no title below {weights.threshold}")


def _evaluate(options: argparse.Namespace) -> None:
    from poster2plot.title_reading.reader import TitleReader
    from poster2plot.training.evaluation.read_titles import Reading, list_of, save, table

    reader = TitleReader()
    readings = []
    for id, titles, picture in _posters(options):
        found = reader.read(picture.read())
        read, confidence = (found.title, found.confidence) if found else ("", 0.0)
        readings.append(Reading(id, titles, read, confidence))
    print(list_of(readings), table(readings), sep="\n\n")
    if options.out:
        save(readings, options.out)
