"""Who asks a process for plots."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Visitor:
    """Who asks. `channel` is by which way: page or api; the log and the metrics call it `face`.

    `name` tells the visitors of a channel apart and is never logged.
    """

    channel: str
    name: str
