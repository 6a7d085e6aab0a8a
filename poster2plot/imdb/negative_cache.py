"""Which services have no poster of a title, so that none is asked for it again within a day."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from poster2plot.imdb.poster_cache import forget, keep
from poster2plot.imdb.services import PosterInfo

WITHOUT_SECONDS = 24 * 3600  # for which a service is not asked again
TITLES_IN_MEMORY = 1_000


@dataclass(frozen=True)
class WithoutPoster:
    """What services that have no poster of a title said of it."""

    services: dict[str, float] = field(default_factory=dict)  # when each said so, Unix time
    known: PosterInfo | None = None  # the title's name and the like, if one told it

    def recent(self) -> set[str]:
        """The services that said so within `WITHOUT_SECONDS`."""
        # A time far ahead is of a clock that was wrong, and would otherwise never expire.
        now = time.time()
        return {name for name, said in self.services.items() if abs(now - said) <= WITHOUT_SECONDS}


class NegativeCache:
    """A file for each title, or without a folder some memory. Trouble with it is a miss.

    Safe to share between threads, and `folder` between processes: a file is replaced as a whole.
    """

    def __init__(self, folder: Path | None) -> None:
        """`folder` may be that of a `PosterCache`, and is made when there is something to keep."""
        self._folder = folder
        self._memory: OrderedDict[str, WithoutPoster] = OrderedDict()

    def read(self, title_id: str) -> WithoutPoster:
        """What is known of a title id, in the form that `parse_title_id` gives."""
        file = self._file(title_id)
        if not file:
            return self._memory.get(title_id, WithoutPoster())
        try:
            found = json.loads(file.read_bytes())
            services = {name: float(said) for name, said in found["services"].items()}
            known = found["known"] and PosterInfo(**found["known"])
            is_its = found["title_id"] == title_id
        except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return WithoutPoster()
        return WithoutPoster(services, known) if is_its else WithoutPoster()

    def add(self, title_id: str, services: Collection[str], known: PosterInfo | None) -> None:
        """Keep that these services say now that they have no poster of a title."""
        before = self.read(title_id)
        said = {name: before.services[name] for name in before.recent()}
        said |= dict.fromkeys(services, time.time())
        now = WithoutPoster(said, known or before.known)
        if file := self._file(title_id):
            keep(file, json.dumps({"title_id": title_id, **asdict(now)}).encode())
            return
        self._memory[title_id] = now
        while len(self._memory) > TITLES_IN_MEMORY:
            with suppress(KeyError):  # another thread was faster
                self._memory.popitem(last=False)

    def forget(self, title_id: str) -> None:
        """Know nothing of a title any more: it has a poster."""
        if file := self._file(title_id):
            forget(file)
        self._memory.pop(title_id, None)

    def _file(self, title_id: str) -> Path | None:
        return self._folder / f"{title_id}.none" if self._folder else None
