"""Visitors of the page against as many of the HTTP API: `python -m benchmarks.visitors`.

One server writes for visitors of one face after the other, all with the same settings; each sends
a new poster as soon as it has its plot. The visitors, who render nothing, share the machine with
the server. `--titles` has both faces read each poster's title, as the page does by itself.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

import psutil

from support.app_server import AppServer, serve_app
from support.page_client import PATIENCE, Answer, ApiVisitor, PageVisitor
from support.poster_server import serve_posters

Face = Callable[[int], AbstractContextManager[ApiVisitor | PageVisitor]]


@dataclass(frozen=True)
class Measured:
    """What visitors of one face got."""

    plots: float  # a second
    wait: float  # median, seconds
    work: float  # seconds of a processor for each plot, in the server


def main() -> None:
    """Print a table of both faces, for one visitor and for many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--titles", action="store_true")
    options = parser.parse_args()
    fields = {"read_title": "true"} if options.titles else {"use_title": "false"}
    with serve_posters() as services, serve_app(services) as server:
        faces: dict[str, Face] = {
            "page": partial(_page, server, "" if options.titles else "use_title=false"),
            "API": partial(_api, server, fields),
        }
        for face in faces.values():  # what is loaded with the first poster
            with face(999) as visitor:
                visitor.ask()
        print("| visitors | | page | API | page against API |\n|---|---|---|---|---|")
        for count in (1, options.visitors):
            page, api = (_measure(server, face, count, options.seconds) for face in faces.values())
            for what, ours, theirs in (
                ("plots a second", page.plots, api.plots),
                ("seconds, median wait", page.wait, api.wait),
                ("processor seconds a plot", page.work, api.work),
            ):
                ratio = ours / theirs
                print(
                    f"| {count} | {what} | {ours:.2f} | {theirs:.2f} | {ratio:.2f} × |", flush=True
                )


def _measure(server: AppServer, face: Face, count: int, seconds: float) -> Measured:
    """Have `count` visitors ask for so many seconds. Raises `RuntimeError` where one is refused."""
    ready, answers = threading.Barrier(count + 1, timeout=PATIENCE), list[Answer]()

    def visit(number: int) -> None:
        with face(number) as visitor:
            ready.wait()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                answers.append(visitor.ask())

    process = psutil.Process(server.process.pid)
    with ThreadPoolExecutor(count) as pool:
        visits = [pool.submit(visit, number) for number in range(count)]
        ready.wait()
        started, before = time.perf_counter(), sum(process.cpu_times()[:2])
        for done in visits:
            done.result()
        took = time.perf_counter() - started
        work = sum(process.cpu_times()[:2]) - before
    for answer in answers:
        if answer.refused or answer.error:
            raise RuntimeError(answer.refused or answer.error)
    waits = [answer.seconds for answer in answers]
    return Measured(len(waits) / took, statistics.median(waits), work / len(waits))


def _page(server: AppServer, query: str, number: int) -> AbstractContextManager[PageVisitor]:
    return PageVisitor.opened(server.url, query=query, seed=number)


@contextmanager
def _api(server: AppServer, fields: dict[str, str], number: int) -> Iterator[ApiVisitor]:
    # Other posters than the page's visitors have: the encoder's cache knows those by now.
    address, seed = f"127.0.{1 + number // 200}.{number % 200 + 1}", 10_000 + number
    yield ApiVisitor(server.url, address, seed, fields)


if __name__ == "__main__":
    main()
