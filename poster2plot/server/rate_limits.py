"""What one process takes on: how much of each visitor in a minute, and how much at once."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from poster2plot.errors import RateLimitError
from poster2plot.server.visitor import Visitor


@dataclass(frozen=True)
class Limits:
    """What one process takes on. `waiting` is of all visitors together, the rest of each.

    `waiting` counts posters, `at_once` requests. `pictures`, `megapixels`, `plots` and `requests`
    to the HTTP API, whatever they ask for, are per minute.
    """

    waiting: int = 64
    at_once: int = 8
    pictures: int = 120
    megapixels: int = 600
    plots: int = 120
    requests: int = 600


Countable = Literal["pictures", "megapixels", "plots", "requests"]


class RateLimiter:
    """Keeps each visitor within `limits`, in memory; safe to share between threads."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._rates = MovingWindowRateLimiter(MemoryStorage())
        self._present: Counter[Visitor] = Counter()
        self._lock = threading.Lock()

    def count(self, visitor: Visitor, what: Countable, cost: int = 1) -> None:
        """Count `cost` of `what`, which weighs on a visitor for 60 seconds.

        Raises `RateLimitError` for more than the limit, and then counts nothing.
        """
        most: int = getattr(self.limits, what)
        rate = RateLimitItemPerMinute(most)
        who = (what, visitor.channel, visitor.name)
        # What alone is above the limit takes the whole minute: otherwise it could never be let in.
        if not self._rates.hit(rate, *who, cost=min(cost, most)):
            wait = self._rates.get_window_stats(rate, *who).reset_time - time.time()
            message = f"That is more than {most} {what} in a minute; wait a little and try again."
            raise RateLimitError(message, retry_after=max(1, math.ceil(wait)))

    def remaining(self, visitor: Visitor, what: Countable) -> tuple[int, int]:
        """How much of `what` a visitor has left, and seconds until there is more."""
        rate = RateLimitItemPerMinute(getattr(self.limits, what))
        stats = self._rates.get_window_stats(rate, what, visitor.channel, visitor.name)
        return stats.remaining, max(0, math.ceil(stats.reset_time - time.time()))

    @contextmanager
    def present(self, visitor: Visitor) -> Iterator[None]:
        """Count a request while it lasts. Raises `RateLimitError` for one too many at once."""
        with self._lock:
            full = self._present[visitor] >= self.limits.at_once
            self._present[visitor] += not full
        if full:
            message = f"No more than {self.limits.at_once} requests at once; wait for one to end."
            raise RateLimitError(message, retry_after=1)
        try:
            yield
        finally:
            with self._lock:
                self._present[visitor] -= 1
                if not self._present[visitor]:  # who is gone takes no memory
                    del self._present[visitor]
