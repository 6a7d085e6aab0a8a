"""Libraries log what they are given; what a visitor gave is no business of a log.

Streamlit's messages with all that was typed, the text in a picture's metadata, forms, addresses of
pages: at the most talkative level some library writes each of them, and an exception's message may
quote any. Of the records of these libraries the place, the level and the text of the source stay.
"""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Any

# They handle what visitors send.
_LIBRARIES = {
    "PIL",
    "RapidOCR",
    "asyncio",
    "concurrent",
    "fastapi",
    "httpcore2",
    "multipart",
    "python_multipart",
    "starlette",
    "streamlit",
    "tokenizers",
    "transformers",
    "uvicorn",
    "websockets",
}


def keep_visitors_out() -> None:
    """From now on no log of this process gets from a library what a visitor gave it."""
    make = logging.getLogRecordFactory()
    if getattr(make, "keeps_visitors_out", False):
        return

    def private(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        if record.name.partition(".")[0] in _LIBRARIES:
            _strip(record)
        return record

    private.keeps_visitors_out = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(private)


def _strip(record: logging.LogRecord) -> None:
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = _without_messages(*record.exc_info)
        record.exc_info = None
    if not record.args:
        # It may be a text that was put together before.
        record.msg = "(a message that may quote a visitor is left out)"
    record.args = ()


def _without_messages(
    kind: type[BaseException] | None,
    error: BaseException | None,
    frames: TracebackType | None,
) -> str:
    """A traceback with the kinds of its errors, and not what they say."""
    lines: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        stack = "".join(traceback.format_tb(error.__traceback__ or frames))
        lines.insert(0, f"Traceback (most recent call last):\n{stack}{type(error).__qualname__}")
        error, frames = error.__cause__ or error.__context__, None
    return "\n\n".join(lines) or str(kind)
