"""What decoding has read and written so far: the posters, and the past of each beam.

The order of dimensions is the one that matrix products read as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_STEPS = 8  # slots are allocated for so many steps, or more


@dataclass(frozen=True)
class KeysValues:
    """Keys (L, B, G, heads, d, T) and values (L, B, G, heads, T, d) of L layers and T places.

    Of B posters, in G streams. All streams share what the decoder knows of the posters themselves.
    """

    keys: Tensor
    values: Tensor

    def layers(self, layers: slice) -> KeysValues:
        return KeysValues(self.keys[layers], self.values[layers])

    def posters(self, posters: Tensor) -> KeysValues:
        """Of these posters alone, (B') indices."""
        return KeysValues(self.keys[:, posters], self.values[:, posters])


class Cache:
    """The past of B posters with K beams each.

    A step fills K slots. Nothing is moved when beams are reordered: the mask tells each beam the
    slots of its own past. Slots that no beam sees any more, most of them, are given up when there
    are none left.
    """

    def __init__(self, empty: KeysValues, own: Tensor) -> None:
        """Room for what is to come after `empty`, which has no places.

        `own` (K, K), added to attention scores, is 0 for what a beam sees of its own step, and -inf
        for the rest.
        """
        self.past = empty
        self.steps = 0
        self._own = own.expand(empty.keys.shape[1], -1, -1)
        self._unseen = self._own[..., :0]  # (B, K, slots) likewise
        self._filled = 0
        self._make_room()

    def _make_room(self) -> None:
        """Move the slots in use to the front and have room for more steps after them."""
        used = (self._unseen == 0).any(1)  # (B, slots)
        self._filled = int(used.sum(-1).amax())
        kept = used.int().argsort(dim=-1, descending=True, stable=True)[:, : self._filled]
        keys, values = self.past.keys, self.past.values
        index = kept[None, :, None, None, None]
        keys = keys.gather(-1, index.expand(*keys.shape[:-1], -1))
        values = values.gather(-2, index.mT.expand(*values.shape[:-2], -1, values.shape[-1]))
        unseen = self._unseen.gather(-1, kept[:, None].expand(-1, self._unseen.shape[1], -1))
        more = max(_STEPS * self._own.shape[1], self._filled // 2)
        self.past = KeysValues(F.pad(keys, (0, more)), F.pad(values, (0, 0, 0, more)))
        self._unseen = F.pad(unseen, (0, more), value=-torch.inf)

    def mask(self) -> Tensor:
        """What to add to the scores of the next step: (B, 1, 1, K, slots + K)."""
        return torch.cat([self._unseen, self._own], dim=-1)[:, None, None]

    def append(self, step: KeysValues) -> None:
        """Take in the keys and values of a step."""
        beams = self._own.shape[1]
        if self._filled + beams > self._unseen.shape[-1]:
            self._make_room()
        slots = slice(self._filled, self._filled + beams)
        self.past.keys[..., slots] = step.keys
        self.past.values[..., slots, :] = step.values
        self._unseen[..., slots] = self._own
        self._filled += beams
        self.steps += 1

    def reorder(self, parents: Tensor) -> None:
        """Let each beam (B, K) go on from the past of another one."""
        index = parents[..., None].expand(-1, -1, self._unseen.shape[-1])
        self._unseen = self._unseen.gather(1, index)

    def keep(self, posters: Tensor) -> None:
        """Drop all posters but these, (B') indices."""
        self.past = self.past.posters(posters)
        self._unseen, self._own = self._unseen[posters], self._own[posters]
