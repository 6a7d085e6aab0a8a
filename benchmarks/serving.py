"""Requests with settings of their own, as they come: `python -m benchmarks.serving`.

Plots a second of visitors who ask again as soon as they are answered, more of them than are decoded
at once: all with the same settings, for each of six kinds, and all kinds mixed. Mixed ones are held
against what the kinds give by themselves, each for its share of the plots. Then requests that come
at random (Poisson) at a share of that capacity, or so many a second: how long each takes, against
one of its kind alone, and until it has its first words. Every poster is new, so that all are
encoded, too. `--equal` is the first of these figures alone, of the kind that is the default.
"""

from __future__ import annotations

import argparse
import io
import itertools
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import torch
from PIL import Image

from poster2plot import GenerationSettings, Poster2Plot
from support.page_client import Posters

TITLE = "The House on Harrow Hill"
KINDS: list[tuple[GenerationSettings, str | None]] = [
    (GenerationSettings(), None),
    (GenerationSettings(), TITLE),
    (GenerationSettings(num_beams=1), TITLE),
    (GenerationSettings(num_beams=8, num_candidates=4, length_penalty=1), None),
    (GenerationSettings(sample=True, num_candidates=4), None),
    (GenerationSettings(guidance=1, min_length=24, no_repeat_ngram_size=3), TITLE),
]
VISITORS = 40
SETTLING = 4  # seconds until the first posters, which came together, have gone
_POSTERS = 256  # more than the model keeps encoder states of


def main() -> None:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each kind")
    parser.add_argument("--load", type=float, default=0.7, help="share of the capacity")
    parser.add_argument("--rate", type=float, help="requests a second, instead of a share")
    parser.add_argument("--equal", action="store_true", help="only the default settings, saturated")
    options = parser.parse_args()
    posters = Posters(seed=1)
    serving = Serving([Image.open(io.BytesIO(posters.next())) for _ in range(_POSTERS)])
    print(f"{torch.get_num_threads()} threads", flush=True)
    rate, _ = serving.saturated(KINDS[:1], options.seconds)
    print(f"default settings: {rate:.2f} plots a second", flush=True)
    if options.equal:
        return
    alone = [serving.alone(kind) for kind in KINDS]
    print("alone:", ", ".join(f"{seconds:.2f} s" for seconds in alone), flush=True)
    equal = [rate] + [serving.saturated([kind], options.seconds)[0] for kind in KINDS[1:]]
    print("equal settings:", ", ".join(f"{each:.2f}" for each in equal), "plots a second")
    mixed, done = serving.saturated(KINDS, 2 * options.seconds)
    ideal = sum(done.values()) / sum(count / equal[kind] for kind, count in done.items())
    print(f"mixed: {mixed:.2f} plots a second, {mixed / ideal:.0%} of equal ones", flush=True)
    arrivals = options.rate or options.load * mixed
    waits = serving.arriving(arrivals, 4 * options.seconds)
    ratios = _percentiles([wait.whole / alone[kind] for kind, wait in waits])
    words = _percentiles([wait.first_words for _, wait in waits])
    print(
        f"{len(waits)} random arrivals, {arrivals:.1f} a second: each takes {ratios[0]:.1f} times "
        f"as long as alone in the median, {ratios[1]:.1f} times at the 95th percentile; first "
        f"words after {words[0]:.2f} s and {words[1]:.2f} s"
    )


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 95th percentile."""
    return statistics.median(values), sorted(values)[int(0.95 * len(values))]


class _Wait(NamedTuple):
    """Seconds of a request."""

    first_words: float
    whole: float


class Serving:
    """A model, and posters that each ask it for a plot once before the first one comes again."""

    def __init__(self, posters: Sequence[Image.Image]) -> None:
        self._p2p = Poster2Plot.from_pretrained(device="cpu")
        self._posters, self._lock = itertools.cycle(posters), threading.Lock()

    def _ask(self, kind: tuple[GenerationSettings, str | None], visitor: str) -> _Wait:
        """Wait for a plot of this kind."""
        settings, title = kind
        with self._lock:
            poster = next(self._posters)
        steps: list[float] = []
        began = time.perf_counter()
        [request] = self._p2p.submit(
            [poster],
            settings,
            [title],
            visitor=visitor,
            on_step=lambda *_: steps.append(time.perf_counter() - began),
        )
        request.result()
        whole = time.perf_counter() - began
        return _Wait(steps[0], whole)

    def alone(self, kind: tuple[GenerationSettings, str | None], runs: int = 7) -> float:
        """The median seconds of requests one after the other."""
        return statistics.median(self._ask(kind, "").whole for _ in range(runs))

    def saturated(
        self, kinds: Sequence[tuple[GenerationSettings, str | None]], seconds: float
    ) -> tuple[float, Counter[int]]:
        """Plots a second of many visitors, who each ask for all kinds in turn; and how many."""
        began = time.perf_counter() + SETTLING
        done: list[int] = []

        def visit(number: int) -> None:
            for turn in itertools.count(number):
                kind = turn % len(kinds)
                self._ask(kinds[kind], str(number))
                if time.perf_counter() > began + seconds:
                    return
                if time.perf_counter() > began:
                    done.append(kind)

        with ThreadPoolExecutor(VISITORS) as pool:
            list(pool.map(visit, range(VISITORS)))
        return len(done) / seconds, Counter(done)

    def arriving(self, rate: float, seconds: float) -> list[tuple[int, _Wait]]:
        """The kind and the wait of each of the requests that come so often."""
        chance, answers = random.Random(0), []  # noqa: S311
        began = when = time.perf_counter()
        with ThreadPoolExecutor(10 * VISITORS) as pool:
            while when < began + seconds:
                time.sleep(max(0, when - time.perf_counter()))
                kind = chance.randrange(len(KINDS))
                answers.append((kind, pool.submit(partial(self._ask, KINDS[kind], str(when)))))
                when += chance.expovariate(rate)
            return [(kind, answer.result()) for kind, answer in answers]


if __name__ == "__main__":
    main()
