"""What decoding has read and written so far: the posters, and the past of each beam."""

from __future__ import annotations

import torch
from torch import Tensor

# For each layer keys and values, both (B, G, heads, T, d), of T places: of B posters in G
# batches: the conditional one and, where there is guidance, the unconditional one. Both share the
# cross-attention cache of the posters themselves (G is 1).
KeysValues = list[tuple[Tensor, Tensor]]

_COMPACT_EVERY = 8  # after so many, what no beam sees any more is forgotten


def select_posters(cached: KeysValues, posters: Tensor) -> KeysValues:
    """Keys and values of these posters alone, (B') indices."""
    return [(keys[posters], values[posters]) for keys, values in cached]


class Cache:
    """The past of B posters with K beams each.

    A step fills K slots. Nothing is moved when beams are reordered: the mask tells each beam the
    slots of its own past. Now and then those that no beam sees any more, most of them, are dropped.
    """

    def __init__(self, empty: KeysValues, own: Tensor) -> None:
        """Begin with `empty`, which has no places.

        `own` (K, K), added to attention scores, is 0 for what a beam sees of its own step, and -inf
        for the rest.
        """
        self.past = empty
        self.steps = 0
        self._own = own.expand(len(empty[0][0]), -1, -1)
        self._attention_mask = self._own[..., :0]  # (B, K, slots) likewise

    def mask(self) -> Tensor:
        """What to add to the scores of the next step: (B, K, slots + K)."""
        return torch.cat([self._attention_mask, self._own], dim=-1)

    def advance(self, past: KeysValues) -> None:
        """Go on from keys and values of all slots, those of one more step included."""
        self._attention_mask = self.mask()
        self.past = past
        self.steps += 1

    def reorder(self, parents: Tensor) -> None:
        """Let each beam (B, K) go on from the past of another one."""
        index = parents[..., None].expand(-1, -1, self._attention_mask.shape[-1])
        self._attention_mask = self._attention_mask.gather(1, index)
        if self.steps % _COMPACT_EVERY == 0:
            self._forget()

    def _forget(self) -> None:
        """Drop slots that no beam sees; posters with fewer than others keep some of them."""
        used = (self._attention_mask == 0).any(1)  # (B, slots)
        most = int(used.sum(-1).amax())
        kept = used.int().argsort(dim=-1, descending=True, stable=True)[:, :most]
        self._attention_mask = self._attention_mask.gather(
            -1, kept[:, None].expand(-1, self._own.shape[1], -1)
        )
        posters, batches, heads, slots, _ = self.past[0][0].shape
        first = torch.arange(posters * batches * heads, device=kept.device) * slots
        rows = first.view(posters, batches, heads, 1) + kept[:, None, None]

        def rest(x: Tensor) -> Tensor:
            return x.flatten(0, -2).index_select(0, rows.flatten()).view(*rows.shape, -1)

        self.past = [(rest(keys), rest(values)) for keys, values in self.past]

    def keep(self, posters: Tensor) -> None:
        """Drop all posters but these, (B') indices."""
        self.past = select_posters(self.past, posters)
        self._attention_mask, self._own = self._attention_mask[posters], self._own[posters]
