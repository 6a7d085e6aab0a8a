"""Looking titles up by the thousand, as services allow it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from poster2plot.imdb.finder import PosterFinder
from poster2plot.imdb.http_client import Fetcher, FetchLimits
from poster2plot.imdb.services import Services

# Requests a second. TMDB allows about 40 (https://developer.themoviedb.org/docs/rate-limiting), and
# half of that leaves some for its user's other programs. The others name no rate, but OMDb's free
# keys end at 1,000 a day.
RATES = {"api.themoviedb.org": 20.0}
OTHER_HOSTS = 10.0


class Pace:
    """Makes requests to each host wait until it may be asked; safe to share between threads.

    `workers` share the rates, requests a second, in equal parts, without having to talk to one
    another. `other_hosts` is the rate of each host that `rates` does not name.
    """

    def __init__(
        self, workers: int, rates: Mapping[str, float] = RATES, other_hosts: float = OTHER_HOSTS
    ):
        self._workers, self._rates, self._other_hosts = workers, rates, other_hosts
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def __call__(self, host: str) -> None:
        """Return when `host` may be asked once."""
        share = self._share(self._rates.get(host, self._other_hosts) / self._workers)
        while not self._limiter.hit(share, host):
            reset = self._limiter.get_window_stats(share, host).reset_time
            time.sleep(max(0.01, reset - time.time()))

    @staticmethod
    def _share(rate: float) -> RateLimitItem:
        if rate >= 1:
            return RateLimitItemPerSecond(math.floor(rate))
        return RateLimitItemPerSecond(1, math.ceil(1 / rate))


def patient_finder(workers: int, secrets: Mapping[str, str] | None = None) -> PosterFinder:
    """A finder for one of `workers` that run at once; nobody waits for its single answers.

    It keeps to the services' rates and waits for as long as one asks it to. Configured as
    `PosterFinder.from_environment`.
    """
    limits = FetchLimits(total=90.0, retry_after=60.0)
    services = Services(Fetcher(limits, pace=Pace(workers)))
    return PosterFinder.from_environment(secrets, services=services, seconds=math.inf)
