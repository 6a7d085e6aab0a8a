"""Services that keep failing are left out for a while, so that nobody waits for them in vain."""

from __future__ import annotations

from collections.abc import Iterable

from pybreaker import CircuitBreaker

from poster2plot.errors import ImageError
from poster2plot.imdb.http_client import FetchError

FAILURES = 3  # in a row, after which a service is left out …
PAUSE_SECONDS = 60  # … for so long


def make_breakers(names: Iterable[str]) -> dict[str, CircuitBreaker]:
    """Make a closed breaker for each of the named services; safe to share between threads.

    The `FAILURES`th error in a row opens it. For `PAUSE_SECONDS` from then on it raises pybreaker's
    CircuitBreakerError in place of asking; after them one success closes it again, and one error
    opens it anew. An error is always raised as it is, the one that opens it too. An ImageError
    counts as a success: the service did answer, and its next picture may be a good one. So does a
    FetchError that is not `of_service`.
    """
    return {
        name: CircuitBreaker(
            fail_max=FAILURES,
            reset_timeout=PAUSE_SECONDS,
            exclude=[_is_of_one_title],
            throw_new_error_on_trip=False,
        )
        for name in names
    }


def _is_of_one_title(error: BaseException) -> bool:
    """Whether the service answered, and what it said is no use for this title alone."""
    if isinstance(error, FetchError):
        return not error.of_service
    return isinstance(error, ImageError)
