"""The same job on a cluster, through Ray Data (https://docs.ray.io/en/latest/data/data.html).

A task is a chunk of the catalogue. Workers keep the model, read the posters of a chunk from where
they lie and write its shard; what goes through Ray is only where posters are. When a machine is
lost, Ray gives its chunks to others. A chunk that was done twice has one shard all the same.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.service_rates import patient_finder
from poster2plot.batch.shards import Chunk, Shards
from poster2plot.batch.worker import Worker
from poster2plot.errors import InputError, Poster2PlotError
from poster2plot.pipeline import Poster2Plot
from poster2plot.settings import GenerationSettings

if TYPE_CHECKING:
    from poster2plot.engine.linear import Precision

CPUS_PER_WORKER = 2  # of a worker without a GPU, where its machine has as many
_SECRET_VARIABLES = (
    "TMDB_API_KEY", "OMDB_API_KEY", "POSTER2PLOT_IMDB_SUGGESTIONS", "POSTER2PLOT_CACHE_DIR",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What every worker is to do."""

    model: str | None
    device: str
    precision: Precision | None
    settings: GenerationSettings
    output: str
    # Handed over as an argument: Ray shows a job's environment variables to whoever may look.
    secrets: dict[str, str] = field(
        default_factory=lambda: {key: os.environ.get(key, "") for key in _SECRET_VARIABLES},
        repr=False,
    )


def run(
    address: str, job: Job, chunks: Iterable[Chunk], report: Callable[[int, int], object]
) -> None:
    """Write the shards of `chunks` on the Ray cluster at `address`; "local" starts one here.

    Every machine of it has this package where this process has it, its packages and the files.
    `report` gets the rows of each shard, and how many have an error. Raises `InputError` where
    there is no Ray or no cluster, and `Poster2PlotError` for what a worker cannot go on with.
    """
    # Before the import: Ray reports how it is used unless told not to, and its core logs at length.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "Ray is not installed; `pip install -r requirements-ray.txt` brings it."
        ) from error
    try:
        if host := re.fullmatch(r"([\w.-]+):(\d+)", address):
            # Ray would try for minutes.
            socket.create_connection((host[1], int(host[2])), timeout=10).close()
        # Workers look for modules where this process does.
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"There is no Ray cluster at {address!r}: {error}") from error
    try:
        _run(job, chunks, report)
    finally:
        ray.shutdown()


def _run(job: Job, chunks: Iterable[Chunk], report: Callable[[int, int], object]) -> None:
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # there is one
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it does not follow `ray.init`
    tasks = [{"name": chunk.name, "items": _pack(chunk)} for chunk in chunks]
    if not tasks:
        return
    count, resources = _workers([node for node in ray.nodes() if node["Alive"]], job.device)
    # A block is what a worker is given at once.
    done = ray.data.from_items(tasks, override_num_blocks=len(tasks)).map(
        cast(Any, _RemoteWorker),  # a class: each worker makes one object of it
        fn_constructor_args=(job, count),
        compute=ray.data.ActorPoolStrategy(
            min_size=1,
            max_size=count,
            initial_size=count,
            # While the last posters of one chunk are written, those of the next are read.
            max_tasks_in_flight_per_actor=2,
            max_concurrent_calls_per_actor=2,
            enable_true_multi_threading=True,
        ),
        **resources,
    )
    for row in done.iter_rows():
        if row["failure"]:
            raise Poster2PlotError(row["failure"])
        report(row["rows"], row["errors"])


def _workers(nodes: Sequence[dict[str, Any]], device: str) -> tuple[int, dict[str, Any]]:
    """How many workers the machines have room for, and what each of them takes."""

    def workers_for(resource: str, each: int) -> int:
        return sum(int(node["Resources"].get(resource, 0)) // each for node in nodes)

    if device != "cpu" and (gpus := workers_for("GPU", 1)):
        return gpus, {"num_gpus": 1}
    most = max(int(node["Resources"].get("CPU", 0)) for node in nodes)
    cpus = max(1, min(CPUS_PER_WORKER, most))
    return max(1, workers_for("CPU", cpus)), {"num_cpus": cpus}


def _pack(chunk: Chunk) -> bytes:
    """Some ten bytes for each item, as all of a catalogue are here at once."""
    return zlib.compress(json.dumps([asdict(item) for item in chunk.items]).encode())


class _RemoteWorker:
    """Lives on a machine of the cluster and holds the model.

    What goes wrong is handed back: of an exception, Ray would leave only the text of a traceback.
    """

    def __init__(self, job: Job, workers: int) -> None:
        warnings.filterwarnings("ignore", module="PIL")
        self._failure = ""
        try:
            p2p = Poster2Plot.from_pretrained(job.model, job.device, precision=job.precision)
            self._worker = Worker(p2p, job.settings, patient_finder(workers, job.secrets))
            self._shards = Shards(job.output)
        except Poster2PlotError as error:
            self._failure = str(error)

    def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
        items = json.loads(zlib.decompress(task["items"]))
        chunk = Chunk(task["name"], tuple(Item(**item) for item in items))
        result = {"rows": 0, "errors": 0, "failure": self._failure}
        if not self._failure:
            try:
                self._worker.write(
                    [chunk],
                    self._shards,
                    lambda rows, errors: result.update(rows=rows, errors=errors),
                )
            except Poster2PlotError as error:
                result["failure"] = str(error)
        return result
