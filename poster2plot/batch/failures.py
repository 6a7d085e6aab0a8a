"""What stops a run, in one sentence with a hint."""

from __future__ import annotations

from poster2plot.batch.catalogues.trouble import first_line, trouble
from poster2plot.errors import Poster2PlotError, is_out_of_memory


class StoppedError(Poster2PlotError):
    """A run began, and stopped before there was an output."""


def sentence(error: BaseException) -> str | None:
    """What happened and what helps, or None for a fault of this program."""
    if is_out_of_memory(error):
        return (
            "The run stopped: there is too little memory; close other programs or use fewer "
            "processes, then start it again to go on."
        )
    if (why := trouble(error)) is not None:
        return f"The run stopped, as {why}; then start it again to go on: what is written stays."
    if isinstance(error, OSError):
        return (
            f"The run stopped: {first_line(error)}; then start it again to go on: what is written "
            "stays."
        )
    return None
