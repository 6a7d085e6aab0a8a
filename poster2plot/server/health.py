"""Whether a model writes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from PIL import Image

from poster2plot.server.request_log import logger
from poster2plot.settings import GenerationSettings

if TYPE_CHECKING:
    from poster2plot.pipeline import Poster2Plot

_PATIENCE = 20.0  # seconds
_GOOD_FOR = 60.0  # seconds that a plot proves that the model writes
_BAD_FOR = 5.0  # seconds until a model that does not write is tried again


class ModelHealth:
    """Whether a model writes, known from what it writes for visitors and tried only without.

    Safe to share between threads.
    """

    def __init__(self, p2p: Poster2Plot) -> None:
        self._p2p = p2p
        self._trying = threading.Lock()
        self._known: tuple[bool, float] | None = None  # whether it wrote, until when that counts

    def wrote(self) -> None:
        """A plot was written."""
        self._known = (True, time.monotonic() + _GOOD_FOR)

    def failed(self) -> None:
        """A plot failed, which may be the model's fault: the next question tries it."""
        self._known = None

    def writes(self) -> bool:
        """Whether the model writes; takes up to 20 seconds where that is not known."""
        with self._trying:  # who asks meanwhile gets the same answer
            known = self._known
            if known is None or known[1] < time.monotonic():
                writes = model_writes(self._p2p)
                known = (writes, time.monotonic() + (_GOOD_FOR if writes else _BAD_FOR))
                self._known = known
            return known[0]


def model_writes(p2p: Poster2Plot) -> bool:
    """Whether the model still writes; takes a turn in the queue and up to 20 seconds.

    Why it does not is in the log of requests.
    """
    blank = Image.new("RGB", (32, 32))
    settings = GenerationSettings(num_beams=1, max_length=8, guidance=1.0)
    [request] = p2p.submit([blank], settings, visitor="health")
    try:
        return bool(request.result(_PATIENCE))
    except Exception:
        logger.exception("the health check failed")
        return False
    finally:
        request.cancel()  # nobody waits for it any more
