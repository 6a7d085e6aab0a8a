"""What a catalogue holds beside posters: nothing is left out in silence."""

from __future__ import annotations

from collections import Counter


class PassedOver:
    """Counts what was passed over, by the reason, with the first name of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, what: str, name: str) -> None:
        """Count one; `what` reads on from a number: "of another kind", for example."""
        self._counts[what] += 1
        self._first.setdefault(what, name)

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __str__(self) -> str:
        """As a part of a sentence: "2 of another kind ('a.txt' …), 1 hidden ('.b.png')"."""
        return ", ".join(
            f"{count:,} {what} ({self._first[what]!r}{' …' if count > 1 else ''})"
            for what, count in self._counts.items()
        )
