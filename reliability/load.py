"""Many visitors at once: `python -m reliability.load --visitors 30 --minutes 5`.

Two thirds of them use the page and one third the HTTP API, each from an address of its own; each
sends a new poster as soon as it has its plot and has thought for a moment. With `--greedy` another
program sends fifty posters at once, again and again, and the others are measured before and beside
it. The log of the server goes to standard error.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psutil

from support.app_server import AppServer, serve_app
from support.page_client import Answer, ApiVisitor, PageVisitor
from support.poster_server import serve_posters

QUERIES = ("", "guidance=3", "beams=2", "candidates=3", "max_length=32", "search=Sampling")
THINKING = (0.5, 3.0)  # seconds between a plot and the next poster
GREEDY = 50  # posters at once
SAMPLING = 1.0  # seconds between looks at the memory


def main() -> int:
    """Print what the visitors met; the exit status is 1 when one of them met an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--greedy", action="store_true", help="then as long again beside another")
    options = parser.parse_args()
    with serve_posters() as services, serve_app(services) as server:
        ApiVisitor(server.url, "127.0.0.2", seed=0).ask()  # waits for the model
        crowd = Crowd(server, options.visitors)
        crowd.measure("alone" if options.greedy else "load", options.minutes)
        if options.greedy:
            with greedy(server) as answers:
                crowd.measure("beside a greedy one", options.minutes)
            print(f"\nthe greedy one: {_counts(answers)}")
    return int(crowd.errors > 0)


class Crowd:
    """Visitors who keep asking."""

    def __init__(self, server: AppServer, size: int) -> None:
        self._server, self._size = server, size
        self.errors = 0

    def measure(self, title: str, minutes: float) -> None:
        """Let them ask for so long and print a table."""
        end = time.monotonic() + 60 * minutes
        answers: dict[str, list[Answer]] = {"page": [], "api": []}
        with _memory(self._server.process.pid) as memory, ThreadPoolExecutor(self._size) as pool:
            for number in range(self._size):
                face = "api" if number % 3 == 2 else "page"
                pool.submit(self._visit, face, number, end, answers[face])
        everyone = answers["page"] + answers["api"]
        plots = [each for each in everyone if not (each.refused or each.error)]
        self.errors += sum(bool(each.error) for each in everyone)
        per_minute = round(60 / SAMPLING)
        first = statistics.mean(memory[per_minute : 2 * per_minute] or memory)
        last = statistics.mean(memory[-per_minute:])
        print(f"\n### {title}\n\n| | |\n|---|---|")
        print(f"| visitors, minutes | {self._size}, {minutes:g} |")
        print(f"| plots | {len(plots)}, {len(plots) / (60 * minutes):.2f} a second |")
        for face, some in answers.items():
            print(f"| wait, {face} | {_waits(some)} |")
        print(f"| outcomes | {_counts(everyone)} |")
        print(f"| memory, peak | {max(memory):.0f} MB |")
        print(
            f"| memory, second and last minute | {first:.0f} MB, {last:.0f} MB "
            f"({100 * (last / first - 1):+.1f} %) |",
            flush=True,
        )

    def _visit(self, face: str, number: int, end: float, answers: list[Answer]) -> None:
        chance = random.Random(number)
        with ExitStack() as open_page:
            visitor: ApiVisitor | PageVisitor
            if face == "api":
                visitor = ApiVisitor(self._server.url, f"127.0.1.{number}", number)
            else:
                query = QUERIES[number % len(QUERIES)]
                opened = PageVisitor.opened(self._server.url, query=query, seed=number)
                visitor = open_page.enter_context(opened)
            while time.monotonic() < end:
                time.sleep(chance.uniform(*THINKING))
                answers.append(visitor.ask())


@contextmanager
def greedy(server: AppServer) -> Iterator[list[Answer]]:
    """A program that sends posters without a pause, and what it got."""
    stop, answers = threading.Event(), []

    def ask(number: int) -> None:
        visitor = ApiVisitor(server.url, "127.0.2.1", 1000 + number)
        while not stop.is_set():
            answers.append(visitor.ask())

    with ThreadPoolExecutor(GREEDY) as pool:
        for number in range(GREEDY):
            pool.submit(ask, number)
        try:
            yield answers
        finally:
            stop.set()


@contextmanager
def _memory(process: int) -> Iterator[list[float]]:
    """The resident megabytes of a process, looked at every `SAMPLING` seconds."""
    looks: list[float] = []
    stop = threading.Event()

    def look() -> None:
        server = psutil.Process(process)
        while not stop.wait(SAMPLING):
            looks.append(server.memory_info().rss / 2**20)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        stop.set()
        thread.join()


def _waits(answers: list[Answer]) -> str:
    seconds = sorted(each.seconds for each in answers if not (each.refused or each.error))
    if len(seconds) < 2:
        return "–"
    cuts = statistics.quantiles(seconds, n=20)
    return f"p50 {cuts[9]:.1f} s, p95 {cuts[18]:.1f} s, longest {seconds[-1]:.1f} s"


def _counts(answers: list[Answer]) -> str:
    outcomes = Counter(
        f"error: {each.error}" if each.error else "refused" if each.refused else "plot"
        for each in answers
    )
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())


if __name__ == "__main__":
    sys.exit(main())
