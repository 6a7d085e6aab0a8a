"""What a hostile picture can do: `python -m reliability.images`.

Each case of tests/corpus.py is read by `read_image` in a process of its own, whose time and peak
memory are taken. It has to end in a small RGB picture or in an error of this package; the exit
status is 1 where any ends otherwise.
"""

import ctypes
import multiprocessing
import time
from collections import Counter
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from poster2plot.errors import ImageError, InputError
from poster2plot.images.decoding import read_image
from poster2plot.images.limits import MAX_SIDE
from support.bad_images import quick_cases, slow_cases

MAX_SECONDS = 10.0
MAX_MEGABYTES = 1000.0


class Outcome(NamedTuple):
    """How one case ended."""

    name: str
    ending: str  # "picture", an error's class, or what else happened
    seconds: float
    megabytes: float  # at the peak, above the process before it began

    @property
    def allowed(self) -> bool:
        """Whether it ended as it may, in time and within memory."""
        fine = self.ending == "picture" or self.ending in ERRORS
        return fine and self.seconds <= MAX_SECONDS and self.megabytes <= MAX_MEGABYTES


ERRORS = [kind.__name__ for kind in (*ImageError.__subclasses__(), InputError)]


def main() -> None:
    """Print a table of the outcomes by family, and each outcome that is not allowed."""
    Image.init()  # Pillow's readers count as the bare process
    outcomes = [measure(name, data) for name, data in chain(quick_cases(), slow_cases())]
    print(f"| family | cases | pictures | {' | '.join(ERRORS)} | other | worst s | worst MB |")
    print(f"|---|{'---:|' * (len(ERRORS) + 5)}")
    for family in dict.fromkeys(outcome.name.partition("/")[0] for outcome in outcomes):
        print(row(family, [one for one in outcomes if one.name.partition("/")[0] == family]))
    print(row("**total**", outcomes))
    others = [outcome for outcome in outcomes if not outcome.allowed]
    print(f"\n{len(outcomes)} cases, other outcomes: {len(others)}")
    for name, ending, seconds, megabytes in others:
        print(f"- {name!r}: {ending}, {seconds:.1f} s, {megabytes:.0f} MB")
    raise SystemExit(bool(others))


def row(title: str, outcomes: list[Outcome]) -> str:
    """A row of the table."""
    endings = Counter(outcome.ending for outcome in outcomes)
    other = sum(not outcome.allowed for outcome in outcomes)
    cells = [title, len(outcomes), *(endings[kind] for kind in ("picture", *ERRORS)), other]
    seconds = max(outcome.seconds for outcome in outcomes)
    megabytes = max(outcome.megabytes for outcome in outcomes)
    return f"| {' | '.join(map(str, cells))} | {seconds:.2f} | {megabytes:.0f} |"


def measure(name: str, data: bytes) -> Outcome:
    """Read one picture in a forked process, which is killed when its time is over."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_read, args=(name, data, there))
    started = time.perf_counter()
    process.start()
    there.close()
    outcome = None
    if here.poll(2 * MAX_SECONDS):
        try:
            outcome = Outcome(name, *here.recv())
        except EOFError:
            process.join()
    if outcome is None:
        died = process.exitcode is not None
        ending = f"died with status {process.exitcode}" if died else "was stopped"
        outcome = Outcome(name, ending, time.perf_counter() - started, 0.0)
        process.kill()
    process.join()
    return outcome


def _read(name: str, data: bytes, connection: Connection) -> None:
    ctypes.CDLL(None).malloc_trim(0)  # or what the corpus left behind would be used unseen
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is the parent's
    before = _memory("VmRSS")
    started = time.perf_counter()
    try:
        picture = read_image(data, name=Path(name).name)
        small = picture.mode == "RGB" and max(picture.size) <= MAX_SIDE and not picture.info
        ending = "picture" if small else f"{picture.mode} {picture.size} {picture.info}"
    except BaseException as error:  # whatever it is, it is the outcome
        ending = type(error).__name__
    connection.send((ending, time.perf_counter() - started, _memory("VmHWM") - before))


def _memory(field: str) -> float:
    """A figure of this process's memory, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(field)


if __name__ == "__main__":
    main()
