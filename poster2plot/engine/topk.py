"""The largest values of long rows, such as log-probabilities of a whole vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 32  # columns


def largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """What `values.topk(count)` gives, (..., count) values and columns, several times faster.

    A row's `count` largest values lie in at most as many blocks of columns, those with the largest
    maxima. To find the maxima is quick, and what remains is short.
    """
    blocks = values.shape[-1] // _BLOCK
    if blocks < 2 * count:
        found = values.topk(count)
        return found.values, found.indices
    whole = blocks * _BLOCK
    maxima = values[..., :whole].unflatten(-1, (blocks, _BLOCK)).amax(-1)
    best = maxima.topk(count, sorted=False).indices * _BLOCK
    columns = best[..., None] + torch.arange(_BLOCK, device=values.device)
    rest = torch.arange(whole, values.shape[-1], device=values.device)
    columns = torch.cat([columns.flatten(-2), rest.expand(*values.shape[:-1], -1)], dim=-1)
    found = values.gather(-1, columns).topk(count)
    return found.values, columns.gather(-1, found.indices)
