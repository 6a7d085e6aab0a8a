"""A title as a prompt of the decoder: start · title · separator, after which the plot comes.

`config.json` of a checkpoint that takes titles says how:
`"title_prompt": {"separator_token_id": 21697, "max_tokens": 32}`.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poster2plot.title_spelling import as_catalogued

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

LONGEST_TITLE = 200  # characters
_JOINERS = "\u200c\u200d"  # format characters that words of some scripts are written with


def clean_title(title: str) -> str:
    """One line of at most `LONGEST_TITLE` characters, without control and bidi characters."""
    text = unicodedata.normalize("NFC", title[: 4 * LONGEST_TITLE])
    kept = (
        " " if unicodedata.category(char) == "Cc" else char
        for char in text
        if char in _JOINERS or unicodedata.category(char) not in ("Cf", "Cs", "Co", "Cn")
    )
    return " ".join("".join(kept).split())[:LONGEST_TITLE].rstrip()


def title_token_ids(
    tokenizer: PreTrainedTokenizerBase, titles: Sequence[str], *, max_tokens: int
) -> list[list[int]]:
    """The first token ids of each title; a special token that it spells is plain text."""
    if not titles:
        return []
    texts = [title and f" {title}" for title in map(clean_title, titles)]
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)[
        "input_ids"
    ]
    return [row[:max_tokens] for row in ids]


@dataclass(frozen=True)
class TitlePrompt:
    """How a checkpoint takes titles."""

    separator_token_id: int
    max_tokens: int

    @classmethod
    def of(cls, config: Any) -> TitlePrompt | None:
        """That of a checkpoint's config; None where it takes no titles."""
        written = getattr(config, "title_prompt", None)
        return None if written is None else cls(**written)

    def token_ids(
        self, tokenizer: PreTrainedTokenizerBase, title: str, *, start: int, max_length: int
    ) -> list[int]:
        """The prompt of a title, which leaves at least half of `max_length` tokens to the plot.

        It is the start token alone where nothing of the title is left.
        """
        room = min(self.max_tokens, max_length // 2 - 2)
        # Not in `title_token_ids`: what is learnt from is spelt so, or otherwise on purpose. That
        # cleans the title again, in which an entity of HTML may have been a control character.
        spelt = as_catalogued(clean_title(title))
        [ids] = title_token_ids(tokenizer, [spelt], max_tokens=max(0, room))
        return [start, *ids, self.separator_token_id] if ids else [start]
