"""Key-value caches of a running batch: cross-attention's of posters, self-attention's of texts.

Both have room for more than they hold, so that a poster joins or leaves without the others being
copied: the last one moves to where one leaves.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from poster2plot.engine.rows import Padding

# For each layer keys and values, both (N, heads, T, d), of T positions of N texts or posters.
KeysValues = list[tuple[Tensor, Tensor]]

ROOM = 8  # steps that a text has slots for when it gets new ones


class Slots:
    """Which places of a cache are whose; the first ones are taken, without gaps."""

    def __init__(self) -> None:
        self._keys: list[Hashable] = []

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, key: Hashable) -> int:
        return self._keys.index(key)

    def add(self, keys: Sequence[Hashable]) -> None:
        """Give them the next places."""
        self._keys += keys

    def remove(self, gone: Container[Hashable]) -> Iterator[tuple[int, int]]:
        """Let some go; yields the places that others move to, and where they were."""
        place = 0
        while place < len(self._keys):
            if self._keys[-1] in gone:
                self._keys.pop()
            elif self._keys[place] in gone:
                self._keys[place] = self._keys.pop()
                yield place, len(self._keys)
            else:
                place += 1


class Store:
    """Keys and values of all layers in one tensor (2 * layers, capacity, heads, T, d)."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def layers(self, count: int) -> KeysValues:
        """Keys and values of the first so many texts or posters."""
        return [
            (keys[:count], values[:count]) for keys, values in self.tensor.unflatten(0, (-1, 2))
        ]

    def reserve(self, count: int, length: int, held: int) -> None:
        """Have room for so many of this length; the first `held` stay."""
        layers, capacity, heads, old, d = self.tensor.shape
        if count <= capacity and length == old:
            return
        # Others that join one by one will not copy it each time.
        capacity = max(count, 2 * capacity) if count > capacity else capacity
        tensor = self.tensor.new_zeros(layers, capacity, heads, length, d)
        if held:
            kept = min(old, length)
            tensor[:, :held, :, :kept] = self.tensor[:, :held, :, :kept]
        self.tensor = tensor

    def write(self, first: int, found: KeysValues) -> None:
        """Put keys and values at the places from `first` on, and there at the first positions."""
        for i, both in enumerate(found):
            for j, each in enumerate(both):
                self.tensor[2 * i + j, first : first + len(each), :, : each.shape[2]] = each

    def select(self, positions: Tensor, length: int) -> None:
        """Keep these positions (N, T) of each of the first N, with room for this length."""
        layers, capacity, heads, _, d = self.tensor.shape
        count, kept = positions.shape
        tensor = self.tensor.new_zeros(layers, capacity, heads, length, d)
        index = positions[:, None, :, None].expand(-1, heads, -1, d)
        for new, old in zip(tensor, self.tensor, strict=True):
            torch.gather(old[:count], 2, index, out=new[:count, :, :kept])
        self.tensor = tensor

    def move(self, to: int, place: int) -> None:
        """Copy one over another."""
        self.tensor[:, to] = self.tensor[:, place]


class SelfAttentionCache:
    """Keys and values of U texts with at most K beams each.

    A step fills as many slots of each text as it has beams, those that none of them attends to any
    more first. Nothing is moved when beams are reordered: the attention mask tells each beam the
    slots of its own past.
    """

    def __init__(self, layers: int, heads: int, like: Tensor) -> None:
        """An empty one of a decoder with so many layers; `like` (…, width) is a weight of it."""
        self._store = Store(like.new_empty(2 * layers, 0, heads, 0, like.shape[-1] // heads))
        self.positions = torch.zeros(0, dtype=torch.long, device=like.device)  # (U), of next tokens
        self._beams = self.positions[:, None]  # (U, 1), how many
        # (U, K, slots), additive. A text with fewer beams than others repeats its first.
        self._mask = like.new_zeros(0, 0, 0)
        self._own = self._own_slots()
        self._most_used = 0  # slots of a text, at most

    @property
    def past(self) -> KeysValues:
        """Keys and values (U, heads, slots, d) of each layer."""
        return self._store.layers(len(self.positions))

    def attention_mask(self) -> Tensor:
        """The additive mask (U, K, slots + K) of the next step, whose own tokens come last."""
        texts, beams, _ = self._mask.shape
        # Within a step a beam attends to its own new token only.
        step = self._mask.new_full((beams, beams), -torch.inf).fill_diagonal_(0)
        return torch.cat([self._mask, step.expand(texts, -1, -1)], dim=-1)

    def join(self, past: KeysValues, seen: Tensor, beams: int) -> None:
        """Take in texts that begin with prompts (n, heads, T, d) and go on with so many beams each.

        `seen` (n, T), boolean, tells which tokens belong to a text's own prompt.
        """
        held, (count, length) = len(self.positions), seen.shape
        most = max(self._mask.shape[1], beams)
        slots = self._mask.shape[2]
        if slots < length + most:
            slots = length + ROOM * most
        self._store.reserve(held + count, slots, held)
        self._store.write(held, past)
        own = torch.where(seen, 0, -torch.inf).to(self._mask.dtype)[:, None].expand(-1, most, -1)
        masks = [_with_slots(own, slots)]
        if held:
            repeated = self._mask[:, :1].expand(-1, most - self._mask.shape[1], -1)
            masks = [_with_slots(torch.cat([self._mask, repeated], dim=1), slots), *masks]
        self._mask = torch.cat(masks)
        self.positions = torch.cat([self.positions, seen.sum(-1)])
        self._beams = torch.cat([self._beams, self._beams.new_full((count, 1), beams)])
        self._own = self._own_slots()
        self._most_used = max(self._most_used, length)

    def advance(self, new: KeysValues, padding: Padding) -> None:
        """Take in the keys and values (R, width) of a step's tokens, by layer."""
        beams, slots = self._mask.shape[1:]
        if self._most_used + beams > slots:
            self._fit()
        free = self._used().byte().argsort(dim=-1, stable=True)[:, :beams]  # (U, K)
        rows = torch.stack([each for both in new for each in both])
        rows = rows.unflatten(-1, (self._store.tensor.shape[2], -1))  # (2 * layers, R, heads, d)
        at = free.flatten()[padding.places]
        self._store.tensor[:, padding.texts, :, at] = rows.transpose(0, 1)
        self._mask = self._mask.scatter(-1, free[..., None], self._own)
        self.positions = self.positions + 1
        self._most_used += beams

    def reorder(self, parents: Tensor) -> None:
        """Let each beam go on from the past of another one: `parents` (U, K) are their indices."""
        self._mask = self._mask.gather(1, parents[..., None].expand_as(self._mask))

    def leave(self, moves: Sequence[tuple[int, int]], count: int) -> None:
        """Keep the first so many texts, after those moves of others over the ones that are gone."""
        order = [*range(count)]
        for to, place in moves:
            self._store.move(to, place)
            order[to] = place
        index = torch.tensor(order, device=self.positions.device)
        self.positions, self._beams = self.positions[index], self._beams[index]
        self._mask = self._mask[index, : int(self._beams.amax())]
        self._own = self._own_slots()
        self._fit()

    def _own_slots(self) -> Tensor:
        """The mask (U, K, 1) of each beam's own token: those that only pad have none."""
        real = torch.arange(self._mask.shape[1], device=self._beams.device) < self._beams
        return torch.where(real, 0, -torch.inf).to(self._mask.dtype)[..., None]

    def _used(self) -> Tensor:
        """Which slots (U, slots) any beam attends to."""
        return (self._mask == 0).any(1)

    def _fit(self) -> None:
        """Have slots for some steps, and not many more."""
        used, (_, beams, slots) = self._used(), self._mask.shape
        self._most_used = int(used.sum(-1).amax())
        wanted = self._most_used + ROOM * beams
        if self._most_used + beams > slots:
            self._store.reserve(len(used), wanted, len(used))
            self._mask = _with_slots(self._mask, wanted)
        if slots <= 2 * wanted:
            return
        kept = used.byte().argsort(dim=-1, descending=True, stable=True)[:, :wanted]
        self._store.select(kept, wanted)
        mask = self._mask.gather(-1, kept[:, None].expand(-1, beams, -1))
        self._mask = _with_slots(mask, wanted)


def _with_slots(mask: Tensor, slots: int) -> Tensor:
    """A mask (…, T) with more slots, which none attends to."""
    return F.pad(mask, (0, slots - mask.shape[-1]), value=-torch.inf)
