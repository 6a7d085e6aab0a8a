"""Catalogues: `python -m benchmarks.batch`.

Posters a second of the whole pipeline, from files to rows, against the model alone on posters in
memory; how long the model waits for posters; how two processes do against one; and the memory of a
catalogue with 100,000 entries, of which every thousandth has a poster.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from poster2plot import Poster2Plot, read_image
from poster2plot.batch.run import Worker
from poster2plot.batch.sources import items
from poster2plot.lookup import PosterFinder
from poster2plot.queueing import LARGEST_BATCH
from reliability.visitors import Posters

ENTRIES = 100_000


def main() -> None:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posters", type=int, default=160)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "posters")
        folder.mkdir()
        posters = Posters(seed=1)
        for i in range(options.posters):
            (folder / f"{i}.jpg").write_bytes(posters.next())
        throughput(folder)
        scaling(folder, options.posters)
        memory(folder)


def throughput(folder: Path) -> None:
    """The pipeline against the model alone, in turn, so that both meet the same machine.

    Each goes through more posters than the model keeps encoder states of, so both encode all.
    """
    p2p = Poster2Plot.from_pretrained()
    worker = Worker(p2p, p2p.resolve(), PosterFinder(cache_dir=None))
    files = sorted(folder.iterdir())
    alone, pipeline = 0.0, 0.0
    for start in range(0, len(files), 5 * LARGEST_BATCH):
        some = files[start : start + 5 * LARGEST_BATCH]
        images = [read_image(path) for path in some]
        began = time.perf_counter()
        for first in range(0, len(images), LARGEST_BATCH):
            p2p.generate(images[first : first + LARGEST_BATCH])
        alone += time.perf_counter() - began
        began = time.perf_counter()
        wanted = {str(path) for path in some}
        for _ in worker.rows(each for each in items(str(folder)) if each.source in wanted):
            pass
        pipeline += time.perf_counter() - began
    print(f"model alone: {len(files) / alone:.2f} posters a second")
    print(
        f"pipeline: {len(files) / pipeline:.2f} posters a second, {alone / pipeline:.0%} of it; "
        f"the model waits {worker.idle / pipeline:.1%} of the time"
    )


def scaling(folder: Path, posters: int) -> None:
    """One process and two, without the time that they take to start."""
    for processes in (1, 2):
        launch = ["-m", "accelerate.commands.launch", "--cpu", f"--num_processes={processes}"]
        seconds = []
        nothing = folder.parent / "nothing.csv"
        nothing.write_text("path\nmissing.jpg\n", encoding="utf-8")
        for source in (nothing, folder):
            with tempfile.TemporaryDirectory() as out:
                job = ["-m", "poster2plot.batch", str(source), "--output", f"{out}/x.csv"]
                began = time.perf_counter()
                subprocess.run([sys.executable, *launch, *job], check=True, capture_output=True)
                seconds.append(time.perf_counter() - began)
        print(f"{processes} processes: {posters / (seconds[1] - seconds[0]):.2f} posters a second")


def memory(folder: Path) -> None:
    """The peak of a run over few entries and over many."""
    some = sorted(folder.iterdir())
    for entries in (ENTRIES // 100, ENTRIES):
        table = folder / "many.csv"
        names = (
            some[i // 1000 % len(some)].name if i % 1000 == 0 else f"missing-{i}.jpg"
            for i in range(entries)
        )
        table.write_text("path\n" + "".join(f"{name}\n" for name in names), encoding="utf-8")
        with tempfile.TemporaryDirectory() as out:
            # What getrusage calls the peak is a parent's where that was larger.
            script = (
                "import sys; from poster2plot.batch.__main__ import main; main(sys.argv[1:]); "
                "print(*(line for line in open('/proc/self/status') if 'VmHWM' in line))"
            )
            command = [sys.executable, "-c", script, str(table), "--output", f"{out}/x.parquet"]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
        peak = int(result.stdout.split()[-2]) >> 10  # from kB
        print(f"{entries:,} entries: {peak} MB at most")


if __name__ == "__main__":
    main()
