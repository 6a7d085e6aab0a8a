"""Catalogues: `python -m benchmarks.batch`.

Posters a second of the whole pipeline, from files to rows, against the model alone on posters in
memory; how long the model waits for posters; what it costs to read their titles; what more workers
gain, as processes and, where Ray is installed, as nodes of a Ray cluster, each with one CPU thread;
how long a million names take to be listed; and the memory of a catalogue with 1,000 and one with
100,000 entries (`--entries`), a hundred of which have a poster.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poster2plot import Poster2Plot, read_image
from poster2plot.batch import snapshot
from poster2plot.batch.catalogues.listing import items
from poster2plot.batch.shards import chunks
from poster2plot.batch.worker import Worker
from poster2plot.engine.queue import LARGEST_BATCH
from poster2plot.imdb.finder import PosterFinder
from support.page_client import Posters

ENTRIES = 100_000
NAMES = 1_000_000


def main() -> None:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posters", type=int, default=512)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "posters")
        folder.mkdir()
        posters = Posters(seed=1)
        for i in range(options.posters):
            (folder / f"{i}.jpg").write_bytes(posters.next())
        throughput(folder)
        scaling(folder, options.posters)
        listing(folder)
        memory(folder, options.entries)


def throughput(folder: Path) -> None:
    """The pipeline against the model alone, in turn, so that both meet the same machine.

    Each goes through more posters than the model keeps encoder states of, so both encode all.
    """
    p2p = Poster2Plot.from_pretrained()
    finder = PosterFinder(cache_dir=None)
    worker = Worker(p2p, p2p.resolve(), finder)
    title_reader = Worker(p2p, p2p.resolve(), finder, reads_titles=True)
    files = sorted(folder.iterdir())
    alone, pipeline, with_titles = 0.0, 0.0, 0.0

    def seconds(worker: Worker, some: Sequence[Path]) -> float:
        wanted = {str(path) for path in some}
        began = time.perf_counter()
        for _ in worker.rows(each for each in items(str(folder)) if each.source in wanted):
            pass
        return time.perf_counter() - began

    seconds(title_reader, files[:1])  # its models are loaded
    for start in range(0, len(files), 8 * LARGEST_BATCH):
        some = files[start : start + 8 * LARGEST_BATCH]
        images = [read_image(path) for path in some]
        began = time.perf_counter()
        p2p.generate(images)
        alone += time.perf_counter() - began
        pipeline += seconds(worker, some)
        with_titles += seconds(title_reader, some)
    print(f"model alone: {len(files) / alone:.2f} posters a second")
    print(
        f"pipeline: {len(files) / pipeline:.2f} posters a second, {alone / pipeline:.0%} of it; "
        f"the model waits {worker.idle_seconds / pipeline:.1%} of the time"
    )
    print(
        f"pipeline that reads titles: {len(files) / with_titles:.2f} posters a second, "
        f"{pipeline / with_titles:.0%} of one that does not"
    )


def scaling(folder: Path, posters: int) -> None:
    """More workers against one, without the time that they take to start."""
    launch = [sys.executable, "-m", "torch.distributed.run"]
    job = ["-m", "poster2plot.batch", "--device=cpu"]
    kinds = ["processes"] + ["Ray nodes"] * (importlib.util.find_spec("ray") is not None)
    for kind in kinds:
        alone = 0.0
        for workers in range(1, (os.cpu_count() or 1) + 1):
            if kind == "processes":
                rate = _rate([*launch, f"--nproc-per-node={workers}", *job], folder, posters)
            else:
                with _nodes(workers) as address:
                    command = [sys.executable, *job, f"--ray={address}"]
                    rate = _rate(command, folder, posters)
            alone = alone or rate
            print(
                f"{workers} {kind}: {rate:.2f} posters a second, {rate / alone:.2f} times one, "
                f"efficiency {rate / alone / workers:.0%}",
                flush=True,
            )


def _rate(command: list[str], folder: Path, posters: int) -> float:
    """Posters a second of a job, less a job of a single one."""
    single = folder.parent / "single.csv"
    single.write_text(f"path\n{folder / '0.jpg'}\n", encoding="utf-8")
    seconds = []
    for source in (single, folder):
        with tempfile.TemporaryDirectory() as out:
            job = [*command, str(source), "--output", f"{out}/x.csv"]
            began = time.perf_counter()
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            subprocess.run(job, check=True, capture_output=True, env=environment)
            seconds.append(time.perf_counter() - began)
    return (posters - 1) / (seconds[1] - seconds[0])


@contextmanager
def _nodes(count: int) -> Iterator[str]:
    """The address of a Ray cluster of nodes with one CPU each, besides a head that does no work."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


def listing(folder: Path) -> None:
    """A million names of files that are there, listed as a run lists them, and cut into shards."""
    names = sorted(path.name for path in folder.glob("*.jpg"))
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        table, listed = Path(name, "names.csv"), Path(name, "listed.gz")
        lines = (f"../{folder.name}/{names[i % len(names)]}\n" for i in range(NAMES))
        table.write_text("path\n" + "".join(lines), encoding="utf-8")
        began = time.perf_counter()
        found = snapshot.take(listed, items(str(table)), {}, {})
        shards = sum(1 for _ in chunks(snapshot.read_items(listed), ""))
        seconds = time.perf_counter() - began
    print(f"{found.items:,} names listed in {seconds:.1f} s, {shards:,} shards", flush=True)


def memory(folder: Path, most: int) -> None:
    """The peak of a run over few entries and over many, with as many posters."""
    some = sorted(folder.iterdir())
    for entries in (ENTRIES // 100, most):
        table, apart = folder / "many.csv", entries // 100
        names = (
            some[i // apart % len(some)].name if i % apart == 0 else f"missing-{i}.jpg"
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
