"""Errors on their way between processes."""

import copy
import pickle
from collections.abc import Callable
from types import ModuleType

import pytest

from poster2plot import errors
from poster2plot.batch import failures
from poster2plot.batch.catalogues import item, trouble
from poster2plot.engine import queue
from poster2plot.errors import AmbiguousNameError, QueueFullError, RateLimitError
from poster2plot.images import decoding, limits
from poster2plot.imdb import http_client, network_guard

HOMES: list[ModuleType] = [
    errors, failures, item, trouble, queue, decoding, limits, http_client, network_guard,
]  # fmt: skip
KINDS = [
    kind
    for home in HOMES
    for kind in vars(home).values()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == home.__name__
]
MORE = {
    AmbiguousNameError: (["a title", "another"],),
    errors.BusyError: (3,),
    QueueFullError: (3,),
    RateLimitError: (3,),
}


@pytest.mark.parametrize(
    "way", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_arrives_with_all_it_has(
    kind: type[Exception], way: Callable[[Exception], Exception]
):
    error = kind("What is wrong.", *MORE.get(kind, ()))
    error.add_note("noted on the way")
    arrived = way(error)
    assert type(arrived) is kind
    assert (str(arrived), arrived.args) == ("What is wrong.", ("What is wrong.",))
    assert vars(arrived) == vars(error)
    assert vars(arrived).keys() > {"__notes__"} or kind not in MORE
