"""The command line: `python -m poster2plot.batch posters/ --output plots.parquet`."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict

from tqdm import tqdm

from poster2plot.batch.catalogues.listing import items
from poster2plot.batch.service_rates import patient_finder
from poster2plot.batch.shards import Shards, chunks
from poster2plot.batch.worker import Worker
from poster2plot.checkpoints.loading import choose_device
from poster2plot.cli import TITLE_PASSED_OVER, add_model, add_settings, settings_of
from poster2plot.errors import Poster2PlotError
from poster2plot.pipeline import Poster2Plot


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
        "2 when nothing could start.",
    )
    add = command.add_argument
    add(
        "input",
        metavar="INPUT",
        help="a folder, a .tar, a .csv or .parquet of paths or IMDb ids or with pictures, "
        "or a folder saved by the library datasets; a path or, as s3://…, a URL of fsspec; a "
        "column title has the titles",
    )
    add("--output", required=True, metavar="FILE", help="ends in .parquet, .csv or .jsonl")
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = parser().parse_args(arguments)
    try:
        _run(options)
    except Poster2PlotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; start it again to go on.", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    # A picture with broken metadata is still a picture; what is wrong with others is an error.
    warnings.filterwarnings("ignore", module="PIL")
    from accelerate import PartialState

    settings = settings_of(options)
    shards = Shards(options.output)
    state = PartialState(cpu=choose_device(options.device).type == "cpu")  # which process of many
    p2p = Poster2Plot.from_pretrained(options.model, options.device, precision=options.precision)
    settings = p2p.resolve(settings)
    depends_on = json.dumps([options.input, p2p.name, options.precision, asdict(settings)])

    complete, total, unwritten, has_titles = shards.complete(), 0, 0, False
    names = []
    for chunk in chunks(items(options.input), depends_on):
        names.append(chunk.name)
        total += len(chunk.items)
        has_titles = has_titles or any(item.title for item in chunk.items)
        unwritten += len(chunk.items) * (chunk.name not in complete)
    if has_titles and settings.use_title and not p2p.takes_titles and state.is_main_process:
        print(TITLE_PASSED_OVER.format(p2p.name), file=sys.stderr)
    mine = (
        chunk
        for number, chunk in enumerate(chunks(items(options.input), depends_on))
        if chunk.name not in complete and number % state.num_processes == state.process_index
    )
    failed = 0
    with tqdm(total=total, initial=total - unwritten, unit="poster", disable=None) as progress:

        def report(rows: int, errors: int) -> None:
            nonlocal failed
            failed += errors
            progress.update(rows)

        if options.ray is None:
            Worker(p2p, settings, patient_finder(state.num_processes)).write(mine, shards, report)
        else:
            from poster2plot.batch import ray_cluster

            job = ray_cluster.Job(
                options.model, options.device, options.precision, settings, shards.output
            )
            ray_cluster.run(options.ray, job, mine, report)
    state.wait_for_everyone()
    if state.is_main_process:
        shards.merge(names)
        print(
            f"{total} posters: {options.output}" + (f" ({failed} with an error)" if failed else "")
        )


if __name__ == "__main__":
    sys.exit(main())
