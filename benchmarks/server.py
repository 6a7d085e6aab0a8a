"""What a server takes before, between and after plots: `python -m benchmarks.server`.

It is started anew, then pages are opened in which nobody does anything, while one visitor of the
HTTP API asks for plots; at last many visitors of the page come and go for as long as `--minutes`
says. The visitors, who render nothing, share the machine with the server.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psutil

from support.app_server import AppServer, serve_app
from support.page_client import Answer, ApiVisitor, PageVisitor
from support.poster_server import PosterServer, serve_posters

QUERY = "use_title=false"
PLOTS = 2  # of a visitor, each time
VISITORS = 30
REST = 30.0  # seconds in which nobody does anything


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    print("| | |\n|---|---|")
    with serve_posters() as services, _started(services) as (server, began):
        with PageVisitor.opened(server.url, query=QUERY) as visitor:
            _row("until the page takes a poster", visitor.ready - began)
            _checked(visitor.ask())
            _row("until its first plot", time.perf_counter() - began)
        api = ApiVisitor(server.url, "127.0.0.2", 1, {"use_title": "false"})
        _waits(api)  # warms up
        alone = _waits(api)
        work, memory = _at_rest(server), _megabytes(server)
        with ExitStack() as pages:
            for number in range(options.pages):
                pages.enter_context(PageVisitor.opened(server.url, query=QUERY, seed=number))
            share = (_at_rest(server) - work) / options.pages
            _row("an idle page, per cent of a core", 100 * share, 3)
            _row("an idle page, MB", (_megabytes(server) - memory) / options.pages)
            beside = _waits(api)
        ratio = statistics.median(beside) / statistics.median(alone + _waits(api))
        _row(f"a plot beside {options.pages} of them against before and after them", ratio)
        before = _load(server, 1)
        _row("MB after a minute of visitors", before, 0)
        after = _load(server, options.minutes)
        _row(f"the same after {options.minutes:g} more, per cent", 100 * (after / before - 1), 1)


@contextmanager
def _started(services: PosterServer) -> Iterator[tuple[AppServer, float]]:
    """A new server, once it answers, and when it was started."""
    began = time.perf_counter()
    with serve_app(services) as server:
        _row("seconds from the start until it answers", time.perf_counter() - began)
        yield server, began


def _waits(visitor: ApiVisitor) -> list[float]:
    """Seconds until a plot is there, for some in turn."""
    return [_checked(visitor.ask()).seconds for _ in range(PLOTS)]


def _at_rest(server: AppServer) -> float:
    """The share of a core that the server takes while nobody does anything."""
    process = psutil.Process(server.process.pid)
    time.sleep(5)  # what the last visitor left behind
    before = sum(process.cpu_times()[:2])
    time.sleep(REST)
    return float(sum(process.cpu_times()[:2]) - before) / REST


def _load(server: AppServer, minutes: float) -> float:
    """The server's memory in MB after so many minutes with many visitors of the page."""
    end = time.monotonic() + 60 * minutes

    def visit(number: int) -> None:
        for seed in itertools.count(1_000 * number):
            with PageVisitor.opened(server.url, query=QUERY, seed=seed) as visitor:
                for _ in range(PLOTS):
                    if time.monotonic() > end:
                        return
                    _checked(visitor.ask())

    with ThreadPoolExecutor(VISITORS) as pool:
        for done in [pool.submit(visit, number) for number in range(VISITORS)]:
            done.result()
    return _megabytes(server)


def _megabytes(server: AppServer) -> float:
    return float(psutil.Process(server.process.pid).memory_info().rss) / 1e6


def _checked(answer: Answer) -> Answer:
    if answer.refused or answer.error:
        raise RuntimeError(answer.refused or answer.error)
    return answer


def _row(what: str, value: float, digits: int = 2) -> None:
    print(f"| {what} | {value:.{digits}f} |", flush=True)


if __name__ == "__main__":
    main()
