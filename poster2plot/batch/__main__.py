"""The command line: `python -m poster2plot.batch posters/ --output plots.parquet`."""

from __future__ import annotations

import argparse
import ctypes
import sys
import warnings
from collections.abc import Sequence

from poster2plot.batch.failures import StoppedError, sentence
from poster2plot.batch.run import run
from poster2plot.cli import add_model, add_settings, writable_streams
from poster2plot.errors import Poster2PlotError

_M_ARENA_MAX = -8  # of glibc's malloc.h


def parser() -> argparse.ArgumentParser:
    """The command line's options; `--help` prints them."""
    command = argparse.ArgumentParser(
        prog="poster2plot-batch",
        description="Write a plot for each poster of a catalogue. The plots are invented. "
        "A run that was stopped goes on where it was when it is started again.",
        epilog="`accelerate launch -m poster2plot.batch …` uses every GPU of a machine, "
        "`torchrun --nproc-per-node N -m poster2plot.batch …` N processes of a CPU, --ray every "
        "machine of a cluster. "
        "Exit status: 0 when every poster has its row, those that are bad one with an error; "
        "1 when it stopped, no poster has a plot, or some rows are to be had by another start; "
        "2 when nothing could start.",
    )
    add = command.add_argument
    add(
        "input",
        metavar="INPUT",
        help="a folder, a .tar or .zip, a .csv, .tsv, .jsonl or .parquet of paths or IMDb ids or "
        "with pictures, or a folder saved by the library datasets; a path or, as s3://…, a URL of "
        "fsspec; a column title has the titles",
    )
    add("--output", required=True, metavar="FILE", help="ends in .parquet, .csv or .jsonl")
    add(
        "--read-titles",
        action="store_true",
        help="read the printed title of each poster whose title is not known otherwise",
    )
    add("--overwrite", action="store_true", help="replace an output that is there")
    add(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="share the work among a Ray cluster (default: that of RAY_ADDRESS or of this machine; "
        "'local' starts one)",
    )
    add_model(command)
    add_settings(command)
    return command


def _share_memory() -> None:
    """Have all threads take memory from one place: what each keeps for itself is 200 MB in all."""
    if sys.platform == "linux" and (tune := getattr(ctypes.CDLL(None), "mallopt", None)):
        tune(_M_ARENA_MAX, 1)


@writable_streams()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = parser().parse_args(arguments)
    _share_memory()
    # A picture with broken metadata is still a picture; what is wrong with others is an error.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        return run(options)
    except StoppedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Poster2PlotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; start it again to go on.", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        hint = f"Catalogues need the package {error.name}; `pip install 'poster2plot[batch]'`."
        print(f"error: {hint}", file=sys.stderr)
        return 2
    except Exception as error:
        if (what := sentence(error)) is None:
            raise
        print(f"error: {what}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
