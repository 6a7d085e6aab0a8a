"""A server that is told to end does so within a bounded time, and answers who still waits."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType

DRAIN_SECONDS = 6.0  # for the plots that are being written
LEFT_SECONDS = 3.0  # then, for the answers to arrive; Docker kills after 10 in all

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def drain_on_signals(
    close: Callable[[float], None],
    *,
    seconds: float = DRAIN_SECONDS,
    left: float = LEFT_SECONDS,
    signals: Iterable[signal.Signals] = _SIGNALS,
) -> None:
    """Let the signals that end this process first call `close` with the seconds it may take.

    Then, or at a second signal, what was to happen on a signal does: a web server stops to listen
    and waits for its requests. Until then it answers, so that who asks learns that it drains,
    rather than finding its connection closed. What is still there `left` seconds after that is not
    waited for. Call this in the main thread when the web server has set its own handlers; elsewhere
    nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    begun, passed_on = threading.Event(), threading.Event()

    def end(number: int) -> None:
        # In a thread of its own: a handler must not wait, and a lock may be held where it runs.
        closing = threading.Thread(target=close, args=(seconds,), daemon=True)
        closing.start()
        closing.join(seconds)
        if not passed_on.is_set():
            signal.raise_signal(number)  # the main thread handles it
        time.sleep(left)  # the process has ended by then, unless something hangs
        # Not by an exception: PyTorch aborts a process that ends while a thread is in its code.
        os._exit(0)

    def handler_after(before: object) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if not begun.is_set():
                begun.set()
                threading.Thread(target=end, args=(number,), name="shutdown", daemon=True).start()
                return
            passed_on.set()
            if callable(before):
                before(number, frame)

        return handle

    for each in signals:
        signal.signal(each, handler_after(signal.getsignal(each)))
