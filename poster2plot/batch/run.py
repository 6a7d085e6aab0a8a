"""One run: the catalogue listed once, the rows that are missing written, all of them merged."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from poster2plot.batch import snapshot
from poster2plot.batch.catalogues.listing import items
from poster2plot.batch.catalogues.passed_over import PassedOver
from poster2plot.batch.failures import StoppedError
from poster2plot.batch.lock import OutputLock
from poster2plot.batch.processes import Processes
from poster2plot.batch.service_rates import patient_finder
from poster2plot.batch.shards import ROW_FORMAT, Chunk, Shard, Shards, chunks
from poster2plot.batch.worker import Worker
from poster2plot.bundled_files import BUNDLED_MODEL
from poster2plot.checkpoints.checksums import folder_digest
from poster2plot.checkpoints.loading import checkpoint_folder, choose_device, read_config
from poster2plot.cli import TITLE_PASSED_OVER, settings_of
from poster2plot.errors import CheckpointError, InputError, Poster2PlotError
from poster2plot.imdb.finder import PosterFinder
from poster2plot.inputs import READ_IN_VAIN
from poster2plot.pipeline import Poster2Plot, resolve_precision, resolve_settings
from poster2plot.settings import GenerationSettings
from poster2plot.title_prompts import TitlePrompt
from poster2plot.title_reading.reader import reader_version

_ATTEMPTS = 3  # at a merge, each time with the shards that were damaged written anew
_NO_READER = "none"
_SERVICES = "poster services"  # a part of what rows of titles depend on
_EXAMPLES = 3  # errors that are shown where there is nothing else


@dataclass(frozen=True)
class Job:
    """What rows depend on beside the poster, and how it is run."""

    model: str | None
    name: str
    device: str
    precision: str
    passes_titles_over: bool  # as the model takes none, though they are not turned off
    description: dict[str, Any]
    of_titles: dict[str, Any]  # what the rows of titles that are looked up depend on, too
    reader_missing: str = ""  # why no titles are read, though that was asked for

    @property
    def settings(self) -> GenerationSettings:
        """How plots are generated, resolved for the model."""
        return GenerationSettings(**self.description["settings"])

    @property
    def reads_titles(self) -> bool:
        """Whether titles are read from posters."""
        return bool(self.description["title reader"] != _NO_READER)

    def chunks(self, listed: Path) -> Iterator[Chunk]:
        """A catalogue that was listed, in chunks named by all that their rows depend on."""
        return chunks(
            snapshot.read_items(listed),
            json.dumps(self.description, sort_keys=True),
            titles_depend_on=json.dumps(self.of_titles, sort_keys=True),
        )


def run(options: Namespace) -> int:
    """Do what the options of `poster2plot-batch` ask for, and give the exit status.

    Raises `Poster2PlotError`, and `OSError` or what a store raises where the machine or the store
    fails; what is written stays.
    """
    shards = Shards(options.output)
    with ExitStack() as stack:
        if options.ray is None:
            device = choose_device(options.device).type
            processes = Processes(device)
            finder = patient_finder(processes.count)
            workers: Any = _Here(processes, finder)
        else:
            from poster2plot.batch.ray_cluster import Cluster

            workers = stack.enter_context(Cluster(options.ray, options.device))
            device, finder = workers.device, patient_finder(1)
        job = _job(options, device, finder)
        return _run(options, job, shards, workers)


def _job(options: Namespace, device: str, finder: PosterFinder) -> Job:
    config = read_config(options.model)
    settings = resolve_settings(settings_of(options), config)
    precision = resolve_precision(options.precision, device)
    name = BUNDLED_MODEL.name if options.model is None else options.model
    passes_over = settings.use_title and TitlePrompt.of(config) is None
    if options.read_titles and not settings.use_title:
        raise InputError(READ_IN_VAIN.format("--read-titles", "--no-title"))
    reader, missing = _NO_READER, ""
    if options.read_titles and not passes_over:
        try:
            reader = reader_version()
        except InputError as error:  # plots can be had all the same
            missing = str(error)
    description = {
        "model": name,
        "weights": folder_digest(checkpoint_folder(options.model)),
        "device": device,
        "precision": precision,
        "settings": asdict(settings),
        "title reader": reader,
        "row format": ROW_FORMAT,
    }
    # A service more, or a key for one, may have what none had.
    of_titles = {_SERVICES: ", ".join(finder.services)}
    return Job(options.model, name, device, precision, passes_over, description, of_titles, missing)


@dataclass(frozen=True)
class _Begun:
    """What the first process found: which shards are there, and that all is done already."""

    complete: dict[str, Shard]
    is_finished: bool = False


def _run(options: Namespace, job: Job, shards: Shards, workers: Any) -> int:
    processes: Processes | None = workers.processes
    is_first = processes is None or processes.is_first

    def first(call: Any) -> Any:
        return call() if processes is None else processes.first(call)

    with ExitStack() as stack:
        if is_first:
            lock = OutputLock(shards)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def begin() -> _Begun:
            stack.enter_context(lock)
            return _begin(options, job, shards, folder)

        def finish() -> int:
            lock.check()
            return _finish(options, job, shards, listed, workers)

        begun: _Begun = first(begin)
        if begun.is_finished:
            return 0
        if not is_first:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (folder / snapshot.FILE).write_bytes(shards.get(snapshot.FILE) or b"")
        listed = folder / snapshot.FILE

        def missing() -> Iterator[Chunk]:
            for chunk in job.chunks(listed):
                there = begun.complete.get(chunk.name)
                if there is None or there.again:
                    yield chunk

        try:
            workers.write(job, missing, shards)
            if processes is not None:
                processes.wait()
            status: int = first(finish)
        except (StoppedError, CheckpointError):
            raise
        except Poster2PlotError as error:
            raise StoppedError(str(error)) from error
        return status


def _begin(options: Namespace, job: Job, shards: Shards, folder: Path) -> _Begun:
    """List the catalogue, and say what there is to do."""
    listed, passed_over = folder / snapshot.FILE, PassedOver()
    found = snapshot.take(
        listed, items(options.input, passed_over, shards.path), job.description, job.of_titles
    )
    if shards.is_output(options.input):
        raise InputError(f"The output {options.output!r} is the catalogue itself; name another.")
    if not found.items:
        there = f"; it holds {passed_over}" if passed_over else "; it is empty"
        raise InputError(f"There is no poster in {options.input!r}{there}.")
    if passed_over:
        _say(f"Passed over: {passed_over}.")
    if _is_finished(options, shards, found):
        _say(f"{options.output} is complete already, {found.items:,} posters; nothing to do.")
        shards.clear()
        return _Begun({}, True)
    why = _changes(shards, folder, found)
    shards.put(snapshot.FILE, listed.read_bytes())
    complete, taken, again, has_titles = shards.complete(), 0, 0, False
    for chunk in job.chunks(listed):
        has_titles = has_titles or any(item.title for item in chunk.items)
        if shard := complete.get(chunk.name):
            taken += 0 if shard.again else len(chunk.items)
            again += shard.again
    if (has_titles or options.read_titles) and job.passes_titles_over:
        _say(TITLE_PASSED_OVER.format(job.name))
    if job.reader_missing:
        _say(job.reader_missing)
    if why is not None:
        _say(
            f"{taken:,} rows are taken over from an earlier run, {found.items - taken:,} are "
            f"written{why}" + (f"; {again:,} could not be had then." if again else ".")
        )
    return _Begun(complete)


def _is_finished(options: Namespace, shards: Shards, found: snapshot.Summary) -> bool:
    """Whether the output is there and is this job's; raises `InputError` where it is another's."""
    if not shards.is_there():
        return False
    record = shards.record()
    if record and shards.is_recorded(record):
        new = dict(found.job)
        if record["again"]:  # other services may have what these had not
            new.pop(_SERVICES, None)
        other = _other(record["job"], new)
        if record["again"]:  # files that changed meanwhile are what it is gone on with for
            if record.get("input", options.input) != options.input:
                other.append(f"the catalogue ({record['input']!r} then)")
        elif record["catalogue"] != found.digest:
            other.append(f"the catalogue (of {record['items']:,} posters then)")
        if not other:
            return not (options.overwrite or record["again"])
        if not options.overwrite:
            raise InputError(
                f"{options.output!r} is there already and complete, but since then "
                f"{', '.join(other)} changed; name another output, or add --overwrite."
            )
    elif not options.overwrite and not (record and shards.has_parts()):
        raise InputError(
            f"{options.output!r} is there already, and not from a run that can be gone on with; "
            "name another output, or add --overwrite."
        )
    return False


def _other(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two descriptions of jobs, in words."""
    differing = []
    for key in new:
        was, now = old.get(key), new[key]
        if was == now:
            continue
        if key == "settings" and isinstance(was, dict):
            names = [name for name in now if was.get(name) != now[name]]
            differing.append(f"the setting {', '.join(names)}")
        elif key in ("weights", "row format"):
            differing.append(f"the {'model’s weights' if key == 'weights' else key}")
        else:
            differing.append(f"the {key} ({was} then)")
    return differing


def _changes(shards: Shards, folder: Path, found: snapshot.Summary) -> str | None:
    """Why rows of an earlier run may not fit, "" where all do; None where there was no run."""
    data = shards.get(snapshot.FILE)
    if data is None:
        return None
    before = folder / "before.gz"
    before.write_bytes(data)
    old = snapshot.summary(before)
    if old is None:
        return ""
    why = _other(old.job, found.job)
    if old.digest != found.digest:
        changes = snapshot.compare(before, folder / snapshot.FILE)
        why.append(f"the catalogue ({changes})")
    before.unlink()
    return f", as {', '.join(why)} changed" if why else ""


def _finish(options: Namespace, job: Job, shards: Shards, listed: Path, workers: Any) -> int:
    """Merge, when every shard is there, and say how it went."""
    for _ in range(_ATTEMPTS):
        complete = shards.complete()
        names, total, lost = [], 0, []
        end = snapshot.summary(listed)
        for chunk in job.chunks(listed):
            names.append(chunk.name)
            total += len(chunk.items)
            if chunk.name not in complete:
                lost.append(chunk)  # a shard was damaged, or removed
        if lost:
            workers.write_alone(job, lost, shards)
            complete = shards.complete()
        errors = sum(complete[name].errors for name in names)
        again = sum(complete[name].again for name in names)
        if errors == total:
            _refuse_nothing(options, shards, [complete[name] for name in names], total, again)
        record = {
            "input": options.input,
            "job": end and end.job,
            "catalogue": end and end.digest,
            "items": total,
            "errors": errors,
            "again": again,
            "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        if not shards.merge(names, record):
            break
        _say("Shards were damaged; their rows are written anew.")
    else:
        raise InputError(
            f"The shards of {options.output!r} are damaged again and again; check the disk."
        )
    failed = f" ({errors} with an error)" if errors else ""
    sys.stdout.write(f"{total} posters: {options.output}{failed}\n")
    if again:
        _say(
            f"{again} of them, or their titles, could not be had now, as services, files or the "
            "machine failed; start the same command again to write these rows."
        )
        return 1
    shards.clear()
    return 0


def _refuse_nothing(
    options: Namespace, shards: Shards, there: list[Shard], total: int, again: int
) -> None:
    """Raises `StoppedError`; the shards go, so that the next run tries everything anew."""
    counts: Counter[str] = Counter()
    for shard in there[:8]:
        counts.update(shards.errors_of(shard))
    examples = " ".join(error for error, _ in counts.most_common(_EXAMPLES))
    if not again:
        shards.clear()
    raise StoppedError(
        f"None of the {total:,} posters in {options.input!r} has a plot, so there is no "
        f"{options.output}: {examples}"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


class _Here:
    """The processes of this machine, each with the model, which is loaded when it is needed."""

    def __init__(self, processes: Processes, finder: PosterFinder) -> None:
        self.processes = processes
        self._finder = finder
        self._worker: Worker | None = None

    def write(self, job: Job, missing: Any, shards: Shards) -> None:
        """Write this process's share of the shards that are missing."""
        count, index = self.processes.count, self.processes.index
        rows = sum(len(c.items) for i, c in enumerate(missing()) if i % count == index)
        if not rows:
            return
        mine = (chunk for i, chunk in enumerate(missing()) if i % count == index)
        self._write(job, mine, rows, shards)

    def write_alone(self, job: Job, lost: list[Chunk], shards: Shards) -> None:
        """Write these shards in this process."""
        self._write(job, iter(lost), sum(len(chunk.items) for chunk in lost), shards)

    def _write(self, job: Job, mine: Iterator[Chunk], rows: int, shards: Shards) -> None:
        if self._worker is None:
            p2p = Poster2Plot.from_pretrained(job.model, job.device, precision=job.precision)  # type: ignore[arg-type]
            if folder_digest(checkpoint_folder(job.model)) != job.description["weights"]:
                raise StoppedError(
                    f"The model {job.name!r} changed since the run began; start it again."
                )
            if p2p.device.type != job.device:
                raise CheckpointError(f"{p2p.notice} Start again with --device cpu.")
            settings = p2p.resolve(job.settings)
            self._worker = Worker(p2p, settings, self._finder, reads_titles=job.reads_titles)
        bar = tqdm(total=rows, unit="poster", disable=None if self.processes.is_first else True)
        with bar:
            self._worker.write(mine, shards, lambda rows, _: bar.update(rows))
