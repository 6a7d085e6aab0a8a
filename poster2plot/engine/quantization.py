"""Weights and the inputs of their products rounded to 8 bits."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

_SMALL = 2**18  # weights up to which to round the inputs takes longer than it saves
_LARGEST = 100  # of a rounded weight: AVX2 adds two products in 16 bits, which 127 overflows


def is_worth_rounding(weight: Tensor) -> bool:
    """Whether the product with a weight gets faster by rounding."""
    return weight.numel() > _SMALL


def quantize_columns(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight (in, out) in int8, and the scale (out) of each column."""
    scales = weight.abs().amax(0).clamp(min=1e-8) / _LARGEST
    return (weight / scales).round_().to(torch.int8), scales


def smooth(gain: Tensor, shift: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A layer norm's gain and shift (in) and the weight (in, out) after it, fit to be rounded.

    Columns of the input share a row's scale: let those of weights bear half of what sets them apart
    (SmoothQuant, Xiao et al. 2023, arXiv:2211.10438). The product stays the same.
    """
    typical, largest = torch.hypot(gain, shift), weight.abs().amax(1)
    columns = (typical.clamp(min=1e-4) / largest.clamp(min=1e-4)).sqrt()
    return gain / columns, shift / columns, weight * columns[:, None]


def int8_linear(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The product with a weight (out, in) and its bias (out), both rounded by FBGEMM."""
    scales = weight.abs().amax(1).clamp(min=1e-8) / 127
    zeros = torch.zeros(len(scales), dtype=torch.long)
    with warnings.catch_warnings():
        # A later PyTorch will do without quantized tensors; the pinned one has them.
        warnings.filterwarnings("ignore", "torch.quantize_per", UserWarning)
        quantized = torch.quantize_per_channel(weight.contiguous(), scales, zeros, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(quantized, bias)
    # AVX2 adds two products in 16 bits, which 8-bit inputs can overflow.
    return lambda x: torch.ops.quantized.linear_dynamic(x, packed, reduce_range=True)
