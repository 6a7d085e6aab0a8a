"""What cannot be done, as a status and one sentence."""

from __future__ import annotations

import logging
import re
from concurrent.futures import CancelledError
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from poster2plot.errors import (
    AmbiguousNameError,
    BusyError,
    CheckpointError,
    DamagedImageError,
    ImageTooLargeError,
    InputError,
    InvalidTitleError,
    Poster2PlotError,
    PosterNotFoundError,
    PosterServiceError,
    QueueFullError,
    RateLimitError,
    SettingsError,
    UnsupportedImageError,
)
from poster2plot.records import choice
from poster2plot.server.http_types import SENTENCE

_STATUS = {
    SettingsError: 400,
    InputError: 400,
    InvalidTitleError: 400,
    PosterNotFoundError: 404,
    AmbiguousNameError: 409,
    ImageTooLargeError: 413,
    UnsupportedImageError: 415,
    DamagedImageError: 422,
    RateLimitError: 429,
    PosterServiceError: 502,
    CheckpointError: 503,
    QueueFullError: 503,
}
RETRY_AFTER = 10  # seconds, where the model cannot be loaded
_GONE = 499  # as nginx says it: the client is gone

logger = logging.getLogger(__name__)


def status_and_sentence(error: Exception) -> tuple[int, str]:
    """What an error is to a client."""
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, Poster2PlotError):
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        return status, _without_echo(error)
    if isinstance(error, ClientDisconnect | CancelledError):
        return _GONE, "The client is gone."
    # Only its kind: a message may quote what the visitor sent.
    logger.error("a plot failed: %s", type(error).__name__)
    return 500, "The plot could not be written; try again later."


def as_result(error: Exception) -> dict[str, Any]:
    """An error where a record would be, in a stream or among several."""
    status, sentence = status_and_sentence(error)
    result = {"error": sentence, "status": status, **choice(error)}
    after = _retry_after(error, status)
    return result if after is None else result | {"retry_after": after}


def answer(error: Exception) -> Response:
    """The answer to a request that ends in an error."""
    status, sentence = status_and_sentence(error)
    headers = dict(getattr(error, "headers", None) or {})
    after = _retry_after(error, status)
    if after is not None:
        headers["Retry-After"] = str(after)
    return JSONResponse({"error": sentence, **choice(error)}, status, headers)


def _retry_after(error: Exception, status: int) -> int | None:
    """In how many seconds a client may come again, of an error that passes."""
    if isinstance(error, BusyError):
        return error.retry_after
    return RETRY_AFTER if status == 503 else None


def _without_echo(error: Poster2PlotError) -> str:
    """The sentence of an error, which may quote an input, without the input, and not too long."""
    text = str(error)
    text = re.sub(r"\A“.*”", "The title", text, flags=re.DOTALL)
    if not isinstance(error, InvalidTitleError):  # which names an id as an example
        text = re.sub(r"'?\btt[0-9]+\b'?", "the title", text)
    if len(text) > SENTENCE:  # as many services can fail in many words
        text = re.sub(r" \(.*\)", "", text, flags=re.DOTALL)
    return text if len(text) <= SENTENCE else f"{text[: SENTENCE - 1]}…"
