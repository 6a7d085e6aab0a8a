"""Matrix products with few rows, whose speed is that of reading the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

Precision = Literal["fp32"]
Linear = Callable[[Tensor], Tensor]
LayOut = Callable[[Tensor, Tensor | None], Linear]


def lay_out_for(precision: Precision) -> LayOut:
    """How to lay out weights (out, in) and a bias (out) once, for many products."""
    return {"fp32": _float}[precision]


def _float(weight: Tensor, bias: Tensor | None) -> Linear:
    weight = weight.contiguous()
    return lambda x: F.linear(x, weight, bias)
