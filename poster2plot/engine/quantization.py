"""Dynamic int8 quantization: weights once and per channel, the inputs of products as they come."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

_SMALL = 2**18  # weights up to which quantizing the inputs takes longer than it saves
_QMAX = 100  # of a quantized weight: AVX2 adds two products in 16 bits, which 127 overflows


def is_worth_quantizing(weight: Tensor) -> bool:
    """Whether the product with a weight gets faster in int8."""
    return weight.numel() > _SMALL


def quantize_columns(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight (in, out) in int8, symmetric per channel, and the scales (out)."""
    scales = weight.abs().amax(0).clamp(min=1e-8) / _QMAX
    return (weight / scales).round_().to(torch.int8), scales


def smooth(gain: Tensor, shift: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A layer norm's gain and shift (in) and the weight (in, out) after it, fit to be quantized.

    Channels of the input share a row's scale: half of the differences in their magnitude moves to
    the weight (SmoothQuant, Xiao et al. 2023, arXiv:2211.10438, with a migration strength of 0.5
    and the norm's own parameters for a calibration set). The product stays the same.
    """
    activations, weights = torch.hypot(gain, shift), weight.abs().amax(1)
    factors = (activations.clamp(min=1e-4) / weights.clamp(min=1e-4)).sqrt()
    return gain / factors, shift / factors, weight * factors[:, None]


def int8_linear(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """FBGEMM's dynamically quantized product with a weight (out, in), plus a bias (out)."""
    scales = weight.abs().amax(1).clamp(min=1e-8) / 127
    zero_points = torch.zeros(len(scales), dtype=torch.long)
    with warnings.catch_warnings():
        # A later PyTorch will do without quantized tensors; the pinned one has them.
        warnings.filterwarnings("ignore", "torch.quantize_per", UserWarning)
        quantized = torch.quantize_per_channel(
            weight.contiguous(), scales, zero_points, 0, torch.qint8
        )
    packed = torch.ops.quantized.linear_prepack(quantized, bias)
    # AVX2 adds two products in 16 bits, which 8-bit inputs can overflow.
    return lambda x: torch.ops.quantized.linear_dynamic(x, packed, reduce_range=True)
