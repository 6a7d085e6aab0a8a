"""Which parts of a poster each word of a plot drew on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


@dataclass(frozen=True, eq=False)
class WordAttention:
    """A word of a plot, and its cross-attention weights over the patches of the poster.

    `weights` (rows, columns) lie over the picture as the model saw it: the mean of the decoder's
    cross-attention over heads, layers and the tokens of the word. What they lack to a sum of 1 fell
    on encoder states that belong to no patch. Attention shows where a model looked, which need not
    be why it chose a word (Jain and Wallace 2019, arXiv:1902.10186).
    """

    word: str
    weights: Tensor


def by_word(
    text: str,
    token_ids: Sequence[int],
    weights: Tensor,
    tokenizer: PreTrainedTokenizerBase,
    grid: tuple[int, int],
) -> list[WordAttention]:
    """Average weights (T, S) of tokens over encoder states by the words of their tidied `text`.

    The last rows × columns encoder states are the patches, row by row: `grid` is their number.
    """
    special = set(tokenizer.all_special_ids)
    words: dict[int, list[int]] = {}  # the places of each word's tokens
    for i, token in enumerate(token_ids):
        if token not in special:
            started = len(tokenizer.decode(token_ids[: i + 1], skip_special_tokens=True).split())
            words.setdefault(max(started - 1, 0), []).append(i)
    rows, columns = grid
    patches = weights[:, weights.shape[1] - rows * columns :].unflatten(1, grid)
    # A text that was cut has fewer words than its tokens.
    return [
        WordAttention(word, patches[each].mean(0))
        for word, each in zip(text.split(), words.values(), strict=False)
    ]


def patch_grid(encoder: PretrainedConfig, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of an encoder's patches on a picture of this size in pixels.

    An encoder in stages, such as Swin, merges four patches into one after each stage.
    """
    patch: Any = encoder.patch_size
    high, wide = (patch, patch) if isinstance(patch, int) else patch
    rows, columns = -(-height // high), -(-width // wide)  # Swin fills up what is left over
    for _ in getattr(encoder, "depths", [0])[1:]:
        rows, columns = -(-rows // 2), -(-columns // 2)
    return rows, columns
