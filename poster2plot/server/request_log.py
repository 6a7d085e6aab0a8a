"""The log `poster2plot.requests`: a line of JSON for each poster.

No picture, no title, no plot, no address and no name of a file is in it.
"""

from __future__ import annotations

import json
import logging
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger("poster2plot.requests")
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)  # of the HTTP API


def log_request(**line: Any) -> None:
    """Write a line: `time` in UTC, the `request_id` or an `id` of its own, and `line`.

    `line` must fit into JSON. Raises `TypeError` where it does not.
    """
    when = datetime.now(UTC).isoformat(timespec="milliseconds")
    logger.info(json.dumps({"time": when, "id": request_id.get() or uuid.uuid4().hex[:12], **line}))


def log_to_stderr() -> None:
    """Let the lines of `poster2plot.requests` out, one each, whatever other logs there are."""
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False
