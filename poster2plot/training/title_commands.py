"""The commands of the title reader: to learn its weights, and to measure it."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poster2plot.errors import ImageError, InputError
from poster2plot.training.tables import ID_COLUMNS, read_rows

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
    from poster2plot.training.dataset import plain_id, split_name

    for row in read_rows(table, id=ID_COLUMNS, split=("split",), title=_TITLES):
        if titles := tuple(row[name] for name in _TITLES if row.get(name)):
            yield plain_id(row["id"]), split_name(row["split"]), titles


def _posters(options: argparse.Namespace) -> list[tuple[str, tuple[str, ...], list["Picture"]]]:
    """Id, titles and pictures of each poster of the splits. Raises `InputError` for none."""
    from poster2plot.training.dataset import index_pictures, split_name

    pictures, splits = index_pictures(options.pictures), set(map(split_name, options.splits))
    posters = [
        (id, titles, pictures[id])
        for id, split, titles in _titles(options.table)
        if id in pictures and split in splits
    ]
    if not posters:
        raise InputError(
            f"No poster of {str(options.pictures)!r} has a title in {str(options.table)!r} and is "
            f"of the splits {' '.join(options.splits)}; check ids and --splits."
        )
    return posters


def _collect(options: argparse.Namespace) -> None:
    from poster2plot.training.title_reader import common_words

    found = common_words(
        titles[0] for _, split, titles in _titles(options.table) if split == "train"
    )
    if not found:
        raise InputError(
            f"No word is in several titles of the train split of {str(options.table)!r}."
        )
    options.out.write_text("\n".join(found) + "\n", encoding="utf-8")


def _learn(options: argparse.Namespace) -> None:
    from poster2plot.training.title_reader import learn, read_lines, save

    posters = _posters(options)
    lines = read_lines({id: pictures for id, _, pictures in posters}, options.lines)
    weights = learn([(lines[id], titles) for id, titles, _ in posters if id in lines])
    save(weights, options.out)
    print(f"{len(lines)} posters; no title below {weights.threshold}")


def _evaluate(options: argparse.Namespace) -> None:
    from poster2plot.title_reading.reader import TitleReader
    from poster2plot.training.dataset import read_first
    from poster2plot.training.evaluation.read_titles import Reading, list_of, save, table

    reader = TitleReader()
    readings = []
    for id, titles, pictures in _posters(options):
        try:
            found = reader.read(read_first(pictures))
        except (ImageError, InputError) as error:
            print(f"Passed over: {error}", file=sys.stderr)
            continue
        read, confidence = (found.title, found.confidence) if found else ("", 0.0)
        readings.append(Reading(id, titles, read, confidence))
    if not readings:
        raise InputError(f"No poster of {str(options.pictures)!r} can be read; get them again.")
    print(list_of(readings), table(readings), sep="\n\n")
    if options.out:
        save(readings, options.out)
