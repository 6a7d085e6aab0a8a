"""The processes of one run, as `torchrun` or `accelerate launch` start them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

from poster2plot.batch.failures import StoppedError

_LONGEST_WAIT = timedelta(days=365)  # of one process for a slower one; PyTorch's own is minutes

T = TypeVar("T")


class Processes:
    """This process among those of a run; alone where nobody started several."""

    def __init__(self, device: str) -> None:
        """`device` is "cpu" or "cuda"."""
        from accelerate import PartialState

        self._state = PartialState(cpu=device == "cpu", timeout=_LONGEST_WAIT)
        self.count: int = self._state.num_processes
        self.index: int = self._state.process_index

    @property
    def is_first(self) -> bool:
        """Whether it lists, merges and speaks for all."""
        return self.index == 0

    def wait(self) -> None:
        """Return when all processes are here. Raises `StoppedError` where one is no more."""
        with _together():
            self._state.wait_for_everyone()

    def first(self, call: Callable[[], T]) -> T:
        """What `call` gives in the first process, for all of them.

        What it raises in that one is raised there, and `SystemExit` in the others. Raises
        `StoppedError` where a process is no more.
        """
        if self.count == 1:
            return call()
        from accelerate.utils import broadcast_object_list

        if not self.is_first:
            with _together():
                [answer] = broadcast_object_list([None])
            if answer is None:
                raise SystemExit(2)
            found: T = answer[0]
            return found
        try:
            value = call()
        except BaseException:  # whatever it is, the others would wait for ever
            with suppress(RuntimeError):  # of others that are no more
                broadcast_object_list([None])
            raise
        with _together():
            broadcast_object_list([(value,)])
        return value


@contextmanager
def _together() -> Iterator[None]:
    """What all processes do; where one is no more, PyTorch has only words of its own for it."""
    try:
        yield
    except RuntimeError as error:
        raise StoppedError(
            "The run stopped, as another of its processes ended, which may say why, or was killed, "
            "as for its memory; start the same command again to go on: what is written stays."
        ) from error
