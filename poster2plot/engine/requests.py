"""A poster that somebody asks to be decoded, and the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from poster2plot.settings import GenerationSettings

if TYPE_CHECKING:
    from torch import Tensor

    from poster2plot.engine.search import Hypothesis


@dataclass(frozen=True, eq=False)
class DecodingRequest:
    """A poster to decode: `encode` makes its encoder states (1, S, width), in a worker's thread.

    `on_step` gets the best hypothesis after each step, in the same thread. The `future` gets the
    hypotheses, best first; to cancel it ends the request, also while it is decoded. `seconds` fills
    with the time that each stage took: wait, encode, decode. `submitted` is of `perf_counter`.
    `prompt` is one of `Decoding.join`; an empty one is the start token alone.
    """

    encode: Callable[[], Tensor]
    settings: GenerationSettings
    on_step: Callable[[Hypothesis], None] | None = None
    visitor: str = ""
    prompt: Sequence[int] = ()
    future: Future[list[Hypothesis]] = field(default_factory=Future)
    seconds: dict[str, float] = field(default_factory=dict)
    submitted: float = field(default_factory=time.perf_counter)


def settle(future: Future[list[Hypothesis]], outcome: list[Hypothesis] | BaseException) -> None:
    """Set hypotheses or an error, unless the request has been ended meanwhile.

    What would end the thread that waits, such as `SystemExit`, comes as a `RuntimeError`.
    """
    try:
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        elif isinstance(outcome, BaseException):
            ended = RuntimeError(f"decoding ended by {type(outcome).__name__}")
            ended.__cause__ = outcome
            future.set_exception(ended)
        else:
            future.set_result(outcome)
    except InvalidStateError:
        pass
