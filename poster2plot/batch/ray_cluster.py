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
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from tqdm import tqdm

from poster2plot.batch.catalogues.item import Item
from poster2plot.batch.failures import sentence
from poster2plot.batch.service_rates import patient_finder
from poster2plot.batch.shards import Chunk, Shards
from poster2plot.batch.worker import Worker
from poster2plot.checkpoints.checksums import folder_digest
from poster2plot.checkpoints.loading import checkpoint_folder
from poster2plot.errors import CheckpointError, InputError, Poster2PlotError
from poster2plot.pipeline import Poster2Plot
from poster2plot.settings import GenerationSettings
from poster2plot.title_reading.reader import reader_version

if TYPE_CHECKING:
    from poster2plot.batch.run import Job as LocalJob
    from poster2plot.engine.linear import Precision

CPUS_PER_WORKER = 2  # of a worker without a GPU, where its machine has as many
_SECRET_VARIABLES = (
    "TMDB_API_KEY", "OMDB_API_KEY", "POSTER2PLOT_IMDB_SUGGESTIONS", "POSTER2PLOT_CACHE_DIR",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What every worker is to do.

    `files` are those of the model, for workers that lack its folder; without them each loads
    `model` where it is. `weights` is the digest that the model's folder has on the driver, "" where
    nobody compares it.
    """

    model: str | None
    device: str
    precision: Precision | None
    settings: GenerationSettings
    output: str
    files: Any = None  # a reference to a dictionary in Ray's object store
    weights: str = ""
    reads_titles: bool = False
    # Handed over as an argument: Ray shows a job's environment variables to whoever may look.
    secrets: dict[str, str] = field(
        default_factory=lambda: {key: os.environ.get(key, "") for key in _SECRET_VARIABLES},
        repr=False,
    )


class Cluster:
    """The Ray cluster at an address; "local" starts one here. To be used in a `with`.

    This process needs neither a GPU nor the model in memory. Every machine of the cluster has this
    package where this process has it, its packages and the posters. Raises `InputError` where there
    is no Ray or no cluster.
    """

    processes = None  # this process is the only one that lists and merges

    def __init__(self, address: str, device: str) -> None:
        self._address, self._wanted = address, device
        self.device = "cpu"  # what the workers run on, once connected

    def __enter__(self) -> Cluster:
        # Before the import: Ray reports how it is used unless told not to, and its core logs.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise InputError(
                f"Ray is not complete here ({error}); `pip install 'poster2plot[ray]'` brings it."
            ) from error
        try:
            if host := re.fullmatch(r"([\w.-]+):(\d+)", self._address):
                # Ray would try for minutes.
                socket.create_connection((host[1], int(host[2])), timeout=10).close()
            # Workers look for modules where this process does.
            ray.init(self._address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"There is no Ray cluster at {self._address!r}: {error}") from error
        nodes = [node for node in ray.nodes() if node["Alive"]]
        self._count, self._resources = _workers(nodes, self._wanted)
        self.device = "cuda" if "num_gpus" in self._resources else "cpu"
        if self._wanted == "cuda" and self.device == "cpu":
            ray.shutdown()
            raise CheckpointError("No machine of the Ray cluster has a GPU; use --device cpu.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        import ray

        ray.shutdown()

    def write(self, job: LocalJob, missing: Callable[[], Iterable[Chunk]], shards: Shards) -> None:
        """Write the shards that are missing, with one bar for all workers."""
        self.write_alone(job, missing(), shards)

    def write_alone(self, job: LocalJob, lost: Iterable[Chunk], shards: Shards) -> None:
        """Write these shards."""
        import ray

        tasks = [task(chunk) for chunk in lost]
        if not tasks:
            return
        files = None
        if job.model is not None:  # the bundled one is part of the package
            folder = checkpoint_folder(job.model)
            files = ray.put({
                path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()
            })  # fmt: skip
        remote = Job(
            job.model,
            job.device,
            cast(Any, job.precision),
            job.settings,
            shards.output,
            files,
            job.description["weights"],
            reads_titles=job.reads_titles,
        )
        with tqdm(total=sum(task["rows"] for task in tasks), unit="poster", disable=None) as bar:
            self.run(remote, tasks, lambda rows, _: bar.update(rows))

    def run(
        self,
        job: Job,
        tasks: Sequence[dict[str, Any]],
        report: Callable[[int, int], object],
    ) -> None:
        """Write the shards of `tasks`; `report` gets the rows of each, and how many are errors.

        Raises `Poster2PlotError` for what a worker cannot go on with.
        """
        import ray

        if not tasks:
            return
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # there is one
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it does not follow `ray.init`
        # A block is what a worker is given at once.
        done = ray.data.from_items(list(tasks), override_num_blocks=len(tasks)).map(
            cast(Any, _RemoteWorker),  # a class: each worker makes one object of it
            fn_constructor_args=(job, self._count),
            compute=ray.data.ActorPoolStrategy(
                min_size=1,
                max_size=self._count,
                initial_size=self._count,
                # While the last posters of one chunk are written, those of the next are read.
                max_tasks_in_flight_per_actor=2,
                max_concurrent_calls_per_actor=2,
                enable_true_multi_threading=True,
            ),
            **self._resources,
        )
        try:
            for row in done.iter_rows():
                if row["failure"]:
                    raise Poster2PlotError(row["failure"])
                report(row["rows"], row["errors"])
        except ray.exceptions.RayError as error:
            cause = str(error).strip().splitlines() or [type(error).__name__]
            raise Poster2PlotError(
                f"The Ray cluster failed ({cause[-1][:300]}); what is written stays, start again "
                "to go on."
            ) from error


def run(
    address: str, job: Job, chunks: Iterable[Chunk], report: Callable[[int, int], object]
) -> None:
    """Write the shards of `chunks` on the Ray cluster at `address`. Raises as `Cluster` does."""
    with Cluster(address, job.device) as cluster:
        cluster.run(job, [task(chunk) for chunk in chunks], report)


def _workers(nodes: Sequence[dict[str, Any]], device: str) -> tuple[int, dict[str, Any]]:
    """How many workers the machines have room for, and what each of them takes."""

    def workers_for(resource: str, each: int) -> int:
        return sum(int(node["Resources"].get(resource, 0)) // each for node in nodes)

    if device != "cpu" and (gpus := workers_for("GPU", 1)):
        return gpus, {"num_gpus": 1}
    most = max(int(node["Resources"].get("CPU", 0)) for node in nodes)
    cpus = max(1, min(CPUS_PER_WORKER, most))
    return max(1, workers_for("CPU", cpus)), {"num_cpus": cpus}


def task(chunk: Chunk) -> dict[str, Any]:
    """Some tens of bytes for each item, as all of a catalogue are here at once."""
    items = "\n".join(item.as_json() for item in chunk.items)
    return {
        "name": chunk.name,
        "rows": len(chunk.items),
        "items": zlib.compress(items.encode()),
    }


def _items(packed: bytes) -> Iterator[Item]:
    for line in zlib.decompress(packed).decode().splitlines():
        yield Item(*json.loads(line))


class _RemoteWorker:
    """Lives on a machine of the cluster and holds the model.

    What goes wrong is handed back: of an exception, Ray would leave only the text of a traceback.
    """

    def __init__(self, job: Job, workers: int) -> None:
        warnings.filterwarnings("ignore", module="PIL")
        self._failure = ""
        try:
            if job.reads_titles:
                reader_version()  # what only a worker logs, nobody sees
            self._worker = Worker(
                _model(job),
                job.settings,
                patient_finder(workers, job.secrets),
                reads_titles=job.reads_titles,
            )
            self._shards = Shards(job.output)
        except Exception as error:
            self._failure = _failure(error)

    def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
        result = {"rows": 0, "errors": 0, "failure": self._failure}
        if not self._failure:
            try:
                self._worker.write(
                    [Chunk(task["name"], tuple(_items(task["items"])))],
                    self._shards,
                    lambda rows, errors: result.update(rows=rows, errors=errors),
                )
            except Exception as error:
                result["failure"] = _failure(error)
        return result


def _model(job: Job) -> Poster2Plot:
    """The model of a job, from where its files are. Raises `CheckpointError`."""
    with ExitStack() as stack:
        place: str | None = job.model
        if job.files is not None:
            import ray

            place = stack.enter_context(tempfile.TemporaryDirectory())
            for name, data in ray.get(job.files).items():
                Path(place, name).write_bytes(data)
        if job.weights and folder_digest(checkpoint_folder(place)) != job.weights:
            raise CheckpointError(
                f"The model {job.model!r} changed since the run began; start it again."
                if job.files is not None
                else f"The model {job.model or 'of the package'!r} has other files there than "
                "here; install the same version on every machine."
            )
        p2p = Poster2Plot.from_pretrained(place, job.device, precision=job.precision)
    if job.model is not None:
        p2p.name = job.model
    return p2p


def _failure(error: Exception) -> str:
    """One sentence, with the machine that it is about."""
    if isinstance(error, Poster2PlotError):
        return str(error)
    why = sentence(error) or f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return f"A worker on {socket.gethostname()} failed: {why}"
