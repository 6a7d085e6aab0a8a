"""Key-value caches: cross-attention's of the posters, self-attention's of each beam so far."""

from __future__ import annotations

import torch
from torch import Tensor

# For each layer keys and values, both (B, G, heads, T, d), of T positions of B posters. G is 2 in
# self-attention with classifier-free guidance (0 the conditional batch, 1 the unconditional one),
# else 1. The cross-attention cache has G = 1: the unconditional batch needs none.
KeysValues = list[tuple[Tensor, Tensor]]

_COMPACT_EVERY = 8  # steps between two compactions


def select_posters(cached: KeysValues, posters: Tensor) -> KeysValues:
    """Keys and values of these posters alone, (B') indices."""
    return [(keys[posters], values[posters]) for keys, values in cached]


class SelfAttentionCache:
    """The self-attention cache of B posters with K beams each.

    A step fills K slots. Nothing is moved when beams are reordered: the attention mask tells each
    beam the slots of its own past. Every few steps the slots that no beam attends to any more, most
    of them, are dropped.
    """

    def __init__(self, past: KeysValues, seen: Tensor, beams: int) -> None:
        """Begin with the keys and values of prompts; no prompts have T = 0.

        `seen` (B, G, T), boolean, tells which of them belong to a poster's own prompt.
        """
        self.past = past
        self.positions = seen.sum(-1)  # (B, G), of the next token
        mask = past[0][0].new_full((beams, beams), -torch.inf).fill_diagonal_(0)
        # Within a step a beam attends to its own new token only.
        self._step_mask = mask.expand(*seen.shape[:2], -1, -1)
        prompts = torch.where(seen, 0, -torch.inf).to(mask.dtype)
        self._attention_mask = prompts[:, :, None].expand(-1, -1, beams, -1)  # (B, G, K, slots)
        self._steps = 0

    def attention_mask(self) -> Tensor:
        """The additive attention mask (B, G, K, slots + K) of the next step."""
        return torch.cat([self._attention_mask, self._step_mask], dim=-1)

    def advance(self, past: KeysValues) -> None:
        """Take in the keys and values of all slots, those of one more step included."""
        self._attention_mask = self.attention_mask()
        self.past = past
        self.positions = self.positions + 1
        self._steps += 1

    def reorder(self, parents: Tensor) -> None:
        """Let each beam go on from the past of another one: `parents` (B, K) are their indices."""
        index = parents[:, None, :, None].expand_as(self._attention_mask)
        self._attention_mask = self._attention_mask.gather(2, index)
        if self._steps % _COMPACT_EVERY == 0:
            self._compact()

    def _compact(self) -> None:
        """Drop slots that no beam attends to; posters with fewer used ones keep some of them."""
        used = (self._attention_mask == 0).any(2).any(1)  # (B, slots)
        most = int(used.sum(-1).amax())
        kept = used.int().argsort(dim=-1, descending=True, stable=True)[:, :most]
        self._attention_mask = self._attention_mask.gather(
            -1, kept[:, None, None].expand(*self._attention_mask.shape[:3], -1)
        )
        posters, batches, heads, slots, _ = self.past[0][0].shape
        first = torch.arange(posters * batches * heads, device=kept.device) * slots
        rows = first.view(posters, batches, heads, 1) + kept[:, None, None]

        def kept_slots(x: Tensor) -> Tensor:
            return x.flatten(0, -2).index_select(0, rows.flatten()).view(*rows.shape, -1)

        self.past = [(kept_slots(keys), kept_slots(values)) for keys, values in self.past]

    def select(self, posters: Tensor) -> None:
        """Keep only these posters, (B') indices into the batch."""
        self.past = select_posters(self.past, posters)
        self.positions = self.positions[posters]
        self._attention_mask, self._step_mask = (
            self._attention_mask[posters],
            self._step_mask[posters],
        )
