"""Every form of catalogue: `python -m reliability.catalogue_forms`.

Each is written by the tool whose form it is, listed, and every poster read: a row of the table says
how many of its rows lead to the right picture or title. The exit status is 1 when one does not.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from poster2plot import Poster2PlotError, read_image
from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.catalogues.listing import items
from support.catalogue_forms import FORMS, Form, make, picture


def main() -> int:
    """Print the table."""
    print("| form | written by | rows right of all |\n|---|---|---|")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            if not form.is_here:
                print(f"| {form.name} | {form.tool}, which is not here | not tried |", flush=True)
                continue
            right, count = rows_right(form, Path(folder, "form"))
            wrong += count - right
            print(f"| {form.name} | {form.tool} {form.version} | {right} of {count} |", flush=True)
    print(f"\nwrong: {wrong}")
    return int(wrong > 0)


def rows_right(form: Form, folder: Path) -> tuple[int, int]:
    """How many rows of a form are what they should be, and how many there are or should be."""
    path, expected = make(form, folder)
    found = [_what(item) for item in items(str(path))]
    wanted = [
        row if isinstance(row, str) else read_image(picture(row)).tobytes() for row in expected
    ]
    right = sum(there == wish for there, wish in zip(found, wanted, strict=False))
    return right, max(len(found), len(wanted))


def _what(item: Item) -> str | bytes:
    try:
        return item.source if item.kind == "title" else read_image(item.read()).tobytes()
    except Poster2PlotError as error:
        return f"error: {error}"


if __name__ == "__main__":
    sys.exit(main())
