"""What the page has of a poster before its picture is read."""

from collections.abc import Callable
from dataclasses import dataclass

from poster2plot.inputs import LoadedPoster


@dataclass(frozen=True)
class Entry:
    """One poster on the page; `source` tells it from the others of this visit.

    Its image is read only when its turn comes, `from_afar` over the network. `link` is what the
    page's address says to show it again; an upload, which is nobody else's, has none.
    """

    label: str
    source: str
    load: Callable[[], LoadedPoster]
    link: dict[str, str] | None = None
    from_afar: bool = False
