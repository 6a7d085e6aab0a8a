"""Runs over catalogues, killed and gone on with: `python -m reliability.catalogues`.

Each trial builds a catalogue of mixed kinds, starts a run, kills one of its processes at a random
moment, alters the catalogue, the settings, the model or the number of processes, and runs again;
every row is then compared with those of a clean run. `--trials 100 --seed 0` is what is reported.
With `--store` the outputs lie in an object store, which knows no renames. The processes are forked
from this one, which has loaded all packages and no model.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import accelerate.utils  # noqa: F401  # every package that a run needs, once for all
import fsspec
import onnxruntime  # noqa: F401
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import poster2plot.engine.engine
import poster2plot.engine.onnx_graph  # noqa: F401
from poster2plot.batch import shards
from poster2plot.batch.__main__ import main as batch
from support.catalogue_forms import picture
from support.toy_model import save_tiny_model

CHUNK = 4  # rows of a shard, so that a small catalogue has many
LONGEST = 300.0  # seconds of a run
PICTURES = 40
BAD = -1  # what is no picture


def main() -> int:
    """Print what happened; the exit status is 1 when a row was wrong, lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", action="store_true", help="outputs lie in an object store")
    options = parser.parse_args()
    shards.CHUNK = CHUNK
    torch.set_num_threads(1)
    totals: Counter[str] = Counter()
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory())
        place = stack.enter_context(object_store()) if options.store else str(Path(name, "trial"))
        models = [save_tiny_model(Path(name, f"model-{seed}"), seed=seed) for seed in (0, 1)]
        for number in range(options.trials):
            chance = random.Random(options.seed + number)
            trial = Trial(chance, Path(name, "trial"), models, place)
            found = trial.run()
            totals += found
            totals["trials"] += 1
            said = ", ".join(f"{key} {value}" for key, value in found.items() if value)
            print(f"{options.seed + number}: {'; '.join(trial.story)}: {said}", flush=True)
    wrong = totals["wrong"] + totals["lost"] + totals["doubled"] + totals["failed"]
    print(
        f"\n{totals['trials']} trials, {totals['kills']} kills, {totals['rows']} rows: "
        f"{totals['wrong']} wrong, {totals['lost']} lost, {totals['doubled']} doubled, "
        f"{totals['failed']} runs that failed"
    )
    return int(wrong > 0)


@contextmanager
def object_store() -> Iterator[str]:
    """The URL of a bucket on this machine, in a process of its own: this one forks."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "no_proxy": "127.0.0.1",
        }
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        fsspec.filesystem("s3").mkdir("trials")
        yield "s3://trials"
    finally:
        process.terminate()
        process.wait()


@dataclass
class Catalogue:
    """Pictures by name, and what of them lies where: files, archives, rows of a table."""

    folder: Path
    kind: str
    pictures: dict[str, int] = field(default_factory=dict)

    @property
    def input(self) -> Path:
        """What a run is given."""
        return self.folder if self.kind == "folder" else self.folder / f"list.{self.kind}"

    def write(self) -> None:
        """Make the disk what `pictures` says; what is so already is not touched."""
        self.folder.mkdir(exist_ok=True)
        if self.kind == "parquet":
            names = sorted(self.pictures)
            rows = [{"bytes": content(self.pictures[name]), "path": name} for name in names]
            self._put("list.parquet", _parquet(rows))
            return
        wanted = {name: content(number) for name, number in self.pictures.items()}
        for archive, pack in (("pack.tar", _tar), ("pack.zip", _zip)):
            inside = {
                name.partition("/")[2]: wanted.pop(name)
                for name in sorted(wanted)
                if name.startswith(f"{archive}/")
            }
            if inside:
                self._put(archive, pack(inside))
            else:
                (self.folder / archive).unlink(missing_ok=True)
        for path in self.folder.glob("*.png"):
            if path.name not in wanted:
                path.unlink()
        for name, data in wanted.items():
            self._put(name, data)
        if self.kind == "csv":
            lines = ["path", *sorted(wanted, reverse=True), "missing.png"]
            self._put("list.csv", "".join(f"{line}\n" for line in lines).encode())

    def _put(self, name: str, data: bytes) -> None:
        path = self.folder / name
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)


def content(number: int) -> bytes:
    """The bytes of a picture, or of what is none."""
    return b"no picture at all" if number == BAD else picture(number)


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": pa.array(rows)}), buffer, row_group_size=5)
    return buffer.getvalue()


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


class Trial:
    """One trial; `story` tells what was done."""

    seconds = 2.0  # what the last run took

    def __init__(self, chance: random.Random, folder: Path, models: list[Path], place: str) -> None:
        """`place` is where the outputs lie."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.chance, self.folder, self.models = chance, folder, models
        self.story: list[str] = []
        self.kills = 0
        self.model = folder / "model"
        shutil.copytree(models[0], self.model)
        self.settings = {"--max-length": "10", "--precision": "fp32"}
        self.processes = self._some_processes()
        self.output = f"{place}/plots{chance.choice(shards.FORMATS)}"
        if "://" in place:
            fs, root = fsspec.core.url_to_fs(place)
            fs.invalidate_cache()
            for path in fs.find(root):
                fs.rm_file(path)
        kind = chance.choice(["folder", "folder", "csv", "parquet"])
        self.catalogue = Catalogue(folder / "posters", kind)
        for i in range(chance.randrange(8, 32)):
            self.catalogue.pictures[self._name(i)] = self._number()
        self.catalogue.pictures["first.png"] = 0  # one at least has a plot
        self.catalogue.write()
        self.story.append(f"{kind} of {len(self.catalogue.pictures)}")

    def run(self) -> Counter[str]:
        """Kill, alter, go on, and compare."""
        for _ in range(self.chance.choice([1, 1, 2])):
            self._killed()
            for _ in range(self.chance.choice([0, 1, 1, 2])):
                self._alter()
        status, said = self._whole(self.output)
        if status == 2 and "--overwrite" in said:
            self.story.append("overwritten")
            status, said = self._whole(self.output, "--overwrite")
        clean = str(self.folder / f"clean{PurePosixPath(self.output).suffix}")
        clean_status, clean_said = self._whole(clean)
        found = Counter(kills=self.kills, failed=int(status != 0) + int(clean_status != 0))
        if found["failed"]:
            print(said, clean_said, sep="\n", flush=True)
            return found
        rows, wanted = read(self.output), read(clean)
        there, due = Counter(map(_source, rows)), Counter(map(_source, wanted))
        found["rows"] = len(rows)
        found["lost"] = (due - there).total()
        found["doubled"] = (there - due).total()
        pairs = zip(rows, wanted, strict=False)
        found["wrong"] = sum(row != right for row, right in pairs)
        left = [PurePosixPath(path).name for path in beside(self.output)]
        found["failed"] += left != [f"{PurePosixPath(self.output).name}.run.json"]
        again, more = self._whole(self.output)  # the same once more
        found["failed"] += again != 0 or "complete already" not in more
        return found

    def _name(self, i: int) -> str:
        place = "" if self.catalogue.kind != "folder" else self.chance.choice(["", "", "pack.tar/",
            "pack.zip/"])  # fmt: skip
        return f"{place}{i}.png"

    def _number(self) -> int:
        return BAD if self.chance.random() < 0.1 else self.chance.randrange(PICTURES)

    def _some_processes(self) -> int:
        return self.chance.choice([1, 1, 1, 2])

    def _alter(self) -> None:
        pictures, chance = self.catalogue.pictures, self.chance
        names = [name for name in pictures if name != "first.png"]
        what = chance.choice([
            "add", "remove", "swap", "replace", "repair", "touch", "disguise", "setting",
            "precision", "model", "processes",
        ])  # fmt: skip
        self.story.append(what)
        if what == "add":
            for i in range(chance.randrange(1, 4)):
                pictures[self._name(100 + i + len(pictures))] = self._number()
        elif what == "remove" and len(names) > 3:
            del pictures[chance.choice(names)]
        elif what == "swap":
            one, other = chance.sample(names, 2)
            pictures[one], pictures[other] = pictures[other], pictures[one]
        elif what == "replace":
            pictures[chance.choice(names)] = self._number()
        elif what == "repair":
            for name in names:
                if pictures[name] == BAD:
                    pictures[name] = chance.randrange(PICTURES)
        elif what in ("touch", "disguise"):
            self._disguise() if what == "disguise" else _touch(self.catalogue.input)
        elif what == "setting":
            self.settings["--max-length"] = chance.choice(["9", "10", "12"])
        elif what == "precision":
            self.settings["--precision"] = chance.choice(["fp32", "int8"])
        elif what == "model":  # another under the same name
            shutil.rmtree(self.model)
            shutil.copytree(chance.choice(self.models), self.model)
        else:
            self.processes = self._some_processes()
        self.catalogue.write()

    def _disguise(self) -> None:
        """Another picture of the same size and time: two change places, times included."""
        files = [path for path in self.catalogue.folder.glob("*.png") if path.name != "first.png"]
        if len(files) < 2:
            return
        one, other = self.chance.sample(sorted(files), 2)
        aside = one.with_suffix(".aside")
        one.rename(aside)
        other.rename(one)
        aside.rename(other)
        pictures = self.catalogue.pictures
        pictures[one.name], pictures[other.name] = pictures[other.name], pictures[one.name]

    def _command(self, output: str, *more: str) -> list[str]:
        settings = [word for pair in self.settings.items() for word in pair]
        return [
            str(self.catalogue.input), "--output", output, "--model", str(self.model),
            "--device", "cpu", *settings, *more,
        ]  # fmt: skip

    def _killed(self) -> None:
        """Start a run and kill one of its processes, then, as a launcher would, the others."""
        children = self._start(self._command(self.output))
        is_time = self._moment()
        while children.living() and not is_time():
            time.sleep(0.002)
        if not children.living():
            self.story.append("finished before its kill")
            children.wait()
            return
        victim = self.chance.choice(children.living())
        os.kill(victim, signal.SIGKILL)
        self.kills += 1
        self.story.append(f"killed with {shards_of(self.output)} shards")
        time.sleep(self.chance.choice([0, 0.05]))
        for child in children.living():
            os.kill(child, signal.SIGKILL)
        children.wait()

    def _moment(self) -> Callable[[], bool]:
        """When to kill: after some time, at some shard, or when the output is about to be made."""
        kind = self.chance.choice(["time", "time", "shards", "shards", "merge"])
        end = time.monotonic() + self.chance.uniform(0, Trial.seconds)
        most = self.chance.randrange(1, 2 + len(self.catalogue.pictures) // CHUNK)
        record = f"{self.output}.run.json"
        if kind == "time":
            return lambda: time.monotonic() > end
        if kind == "shards":
            return lambda: shards_of(self.output) >= most
        return lambda: any(record.endswith(path) for path in beside(self.output))

    def _whole(self, output: str, *more: str) -> tuple[int, str]:
        began = time.monotonic()
        children = self._start(self._command(output, *more))
        status = children.wait()
        Trial.seconds = time.monotonic() - began
        return status, children.said()

    def _start(self, command: list[str]) -> Children:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = self.folder / "log.txt"
        log.write_bytes(b"")
        children = Children(log)
        for rank in range(self.processes):
            environment = {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(self.processes),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                "LOCAL_WORLD_SIZE": str(self.processes),
            } if self.processes > 1 else {}  # fmt: skip
            children.fork(lambda: batch(command), environment)  # called at once
        return children


class Children:
    """Forked processes that write to one file."""

    def __init__(self, log: Path) -> None:
        self._log, self._statuses, self._pids = log, {}, []  # type: ignore[var-annotated]

    def fork(self, call: Callable[[], int], environment: dict[str, str]) -> None:
        """Start one more."""
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child:
            self._pids.append(child)
            return
        status = 1
        try:
            os.environ.update(environment)
            log = os.open(self._log, os.O_WRONLY | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = call()
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def living(self) -> list[int]:
        """Those that have not ended."""
        for child in self._pids:
            if child not in self._statuses:
                found, status = os.waitpid(child, os.WNOHANG)
                if found:
                    self._statuses[child] = os.waitstatus_to_exitcode(status)
        return [child for child in self._pids if child not in self._statuses]

    def wait(self) -> int:
        """The exit status of the first when all have ended; none may take for ever."""
        end = time.monotonic() + LONGEST
        while living := self.living():
            if time.monotonic() > end:
                for child in living:
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.005)
        return int(self._statuses[self._pids[0]])

    def said(self) -> str:
        """What they printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")


def beside(output: str) -> list[str]:
    """The paths of what lies beside an output and bears its name."""
    fs, path = fsspec.core.url_to_fs(output)
    fs.invalidate_cache()
    try:
        found = fs.find(path.rpartition("/")[0])
    except FileNotFoundError:  # a folder that went while it was listed
        return []
    return [each for each in found if each.startswith(f"{path}.")]


def shards_of(output: str) -> int:
    """How many shards an output has."""
    return sum(".parts/" in path and "-" in PurePosixPath(path).name for path in beside(output))


def read(output: str) -> list[dict[str, Any]]:
    """The rows of an output."""
    with fsspec.open(output, "rb") as file:
        data = file.read()
    if output.endswith(".parquet"):
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
        return rows
    text = data.decode()
    if output.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _source(row: dict[str, Any]) -> str:
    return str(row["source"])


def _touch(path: Path) -> None:
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        os.utime(file)


if __name__ == "__main__":
    sys.exit(main())
