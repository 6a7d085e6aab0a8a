"""One worker's share of a catalogue: posters are read in threads while the model writes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from poster2plot.batch.catalogues.item import ChangedError, Item
from poster2plot.batch.catalogues.trouble import UnreachableError
from poster2plot.batch.shards import COLUMNS, Chunk, Row, Shards
from poster2plot.engine.queue import LARGEST_BATCH
from poster2plot.errors import Poster2PlotError, PosterNotFoundError, PosterServiceError
from poster2plot.imdb.circuit_breakers import PAUSE_SECONDS
from poster2plot.imdb.finder import PosterFinder
from poster2plot.inputs import LoadedPoster
from poster2plot.pipeline import PlotRequest, Poster2Plot
from poster2plot.settings import GenerationSettings

READERS = 8  # threads; a title waits for the network, and decoding a picture needs no lock
_READ_AHEAD = 3 * LARGEST_BATCH  # posters read before the model needs them


@dataclass
class Worker:
    """Writes rows; in `idle_seconds` its model had nothing to do but wait for posters.

    A title that no service answers for is asked for again after each of the `pauses`, in seconds.
    With `reads_titles` that of a poster is read from it where it is not known, beside the model.
    """

    p2p: Poster2Plot
    settings: GenerationSettings
    finder: PosterFinder
    pauses: Sequence[float] = (PAUSE_SECONDS, PAUSE_SECONDS)
    reads_titles: bool = False
    idle_seconds: float = field(default=0.0, init=False)
    _unanswered: int = field(default=0, init=False)  # posters in a row

    def write(
        self, chunks: Iterable[Chunk], shards: Shards, report: Callable[[int, int], object]
    ) -> None:
        """Write a shard for each chunk and report how many rows it has, and how many errors.

        Raises `PosterServiceError` when no service answers any more, whatever the title, and
        `UnreachableError` when no poster can be read any more.
        """
        waiting: deque[Chunk] = deque()

        def items() -> Iterator[Item]:
            for chunk in chunks:
                waiting.append(chunk)
                yield from chunk.items

        rows: list[Row] = []
        again = 0
        for row, passes in self._rows(items()):
            rows.append(row)
            again += passes
            if len(rows) == len(waiting[0].items):
                shards.write(waiting.popleft().name, rows, again)
                report(len(rows), sum(row["error"] is not None for row in rows))
                rows, again = [], 0

    def rows(self, items: Iterable[Item]) -> Iterator[Row]:
        """A row for each item, in order; what is wrong with one becomes its `error`."""
        with closing(self._rows(items)) as rows:
            for row, _ in rows:
                yield row

    def _rows(self, items: Iterable[Item]) -> Generator[tuple[Row, bool]]:
        """Each row, and whether to write it again: its error is one of a service or the machine.

        So is the row of a poster whose title could not be looked for.
        """
        rest, stop = iter(items), threading.Event()
        # So that a full batch waits whenever the model is free.
        most_submitted = 2 * LARGEST_BATCH * self.p2p.engine.max_concurrent_decodings
        reading: deque[tuple[Item, Future[LoadedPoster]]] = deque()
        writing: deque[_Written] = deque()
        with ThreadPoolExecutor(READERS) as pool:
            try:
                while True:
                    while len(reading) < _READ_AHEAD and (item := next(rest, None)):
                        reading.append((item, pool.submit(self._load, item, stop)))
                    while reading and len(writing) < most_submitted and reading[0][1].done():
                        writing.append(self._submit(*reading.popleft()))
                    if writing:
                        yield self._row(writing.popleft())
                    elif reading:
                        started = time.perf_counter()
                        writing.append(self._submit(*reading.popleft()))
                        self.idle_seconds += time.perf_counter() - started
                    else:
                        return
            finally:
                stop.set()
                for _, future in reading:
                    future.cancel()
                for each in writing:
                    if len(each) == 3:
                        each[2].cancel()

    def _load(self, item: Item, stop: threading.Event) -> LoadedPoster:
        loaded = self._found(item, stop)
        return loaded.with_printed_title() if self.reads_titles else loaded

    def _found(self, item: Item, stop: threading.Event) -> LoadedPoster:
        for pause in self.pauses:
            try:
                return item.load(self.finder)
            except PosterServiceError:
                if stop.wait(pause):
                    raise
        return item.load(self.finder)

    def _submit(self, item: Item, reading: Future[LoadedPoster]) -> _Written:
        try:
            loaded = reading.result()
        except Poster2PlotError as error:
            is_down = isinstance(error, PosterServiceError | UnreachableError)
            self._unanswered = self._unanswered + 1 if is_down else 0
            if self._unanswered == READERS and isinstance(error, UnreachableError):
                raise UnreachableError(
                    f"Posters cannot be read any more, {READERS} in a row; check the connection, "
                    "the credentials and the disk, and start again to go on: what is written is "
                    f"kept. The last: {error}"
                ) from error
            if self._unanswered == READERS:
                raise PosterServiceError(
                    f"Poster services do not answer, for {READERS} titles in a row; what is "
                    f"written is kept. The last: {error}"
                ) from error
            passes = is_down or isinstance(error, ChangedError)
            if isinstance(error, PosterNotFoundError):
                passes = not error.is_certain
            return _error(item, str(error)), passes
        except MemoryError:
            return _error(item, "There was too little memory to read the picture."), True
        self._unanswered = 0
        title = loaded.title
        [request] = self.p2p.submit([loaded.image], self.settings, [title.text if title else None])
        return item, loaded, request

    def _row(self, written: _Written) -> tuple[Row, bool]:
        if len(written) == 2:
            return written
        item, loaded, request = written
        try:
            candidates = request.result()
        except Exception as error:  # of the machine: out of memory, say
            why = f"The plot could not be written ({type(error).__name__})."
            return _error(item, why), True
        about, title = loaded.poster, loaded.title
        row: Row = {
            "source": item.source,
            "plot": candidates[0].text,
            "score": round(candidates[0].score, 6),
            "candidates": [
                {"text": each.text, "score": round(each.score, 6)} for each in candidates
            ],
            "model": self.p2p.name,
            "title": title.text if title else None,
            "title_source": title.source if title else None,
            "title_used": candidates[0].used_title,
            "year": about and about.year,
            "synopsis": about and about.synopsis,
            "attribution": about and about.attribution,
            "error": None,
        }
        return row, loaded.reading_failed


# A poster whose plot is being written, or its row and whether what is wrong with it passes.
_Written = tuple[Item, LoadedPoster, PlotRequest] | tuple[Row, bool]


def _error(item: Item, why: str) -> Row:
    return {**dict.fromkeys(COLUMNS), "source": item.source, "candidates": [], "error": why}
