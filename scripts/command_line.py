"""Write the programs' `--help` into docs/command-line.md: `python -m scripts.command_line`."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from poster2plot import cli
from poster2plot.batch import __main__ as batch

DOCUMENT = Path(__file__).parent.parent / "docs" / "command-line.md"
PROGRAMS: dict[str, Callable[[], str]] = {
    "poster2plot": lambda: cli.parser().format_help(),
    "poster2plot-batch": lambda: batch.parser().format_help(),
}


def help_text(program: str) -> str:
    """What a program's `--help` prints on a terminal of 80 columns."""
    with patch.dict(os.environ, COLUMNS="80", NO_COLOR="1"):
        return PROGRAMS[program]()


def block(program: str) -> re.Pattern[str]:
    """The text between the markers of a program; they stay outside."""
    start, end = f"<!-- help of {program} -->\n", f"<!-- end of {program} -->\n"
    return re.compile(f"(?<={re.escape(start)}).*?(?={re.escape(end)})", re.DOTALL)


def main() -> None:
    """Replace each block."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for program in PROGRAMS:
        fenced = f"\n```text\n{help_text(program)}```\n\n"
        text = block(program).sub(fenced.replace("\\", r"\\"), text)
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
