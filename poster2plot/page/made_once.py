"""What is made of a visit's plots when the browser asks for it, and is gone with them."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from poster2plot.page.session_state import WrittenPlots

T = TypeVar("T")


class MadeOnce(Generic[T]):
    """A function of plots that keeps its last answers, `most` of all visits, while there are plots.

    Who asks again and again must not keep a core busy, and a picture must not outlive its visit.
    """

    def __init__(self, make: Callable[[WrittenPlots], T], most: int) -> None:
        self._make, self._most = make, most
        self._made: WeakKeyDictionary[WrittenPlots, T] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __call__(self, plots: WrittenPlots) -> T:
        """What is made of these plots."""
        with self._lock:
            if plots in self._made:
                return self._made[plots]
        made = self._make(plots)
        with self._lock:
            for oldest in [*self._made][: max(0, len(self._made) + 1 - self._most)]:
                del self._made[oldest]
            self._made[plots] = made
        return made

    def __len__(self) -> int:
        """How many answers are kept."""
        return len(self._made)
