"""Whether a model writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from poster2plot.server.request_log import logger
from poster2plot.settings import GenerationSettings

if TYPE_CHECKING:
    from poster2plot.pipeline import Poster2Plot

_PATIENCE = 20.0  # seconds


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
