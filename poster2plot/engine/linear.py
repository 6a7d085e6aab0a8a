"""Linear layers of the encoder, with weights prepacked once for the hardware.

The packed layouts of oneDNN (fp32) and FBGEMM (int8), which PyTorch brings along, are read several
times faster on a CPU than the layout of `torch.nn.functional.linear`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from poster2plot.engine.quantization import int8_linear

Precision = Literal["fp32", "bf16", "fp16", "int8"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def precisions(device: torch.device) -> tuple[Precision, ...]:
    """What a device can compute in, the default first.

    `int8` is dynamic quantization: large weights and the inputs of their products are in 8 bits.
    """
    if device.type == "cuda":
        return ("fp16", "bf16", "fp32")
    if "fbgemm" in torch.backends.quantized.supported_engines:
        return ("int8", "fp32")
    return ("fp32",)


class Linear(nn.Module):
    """A linear layer with a weight (out, in) and a bias (out), for inference alone."""

    def __init__(self, weight: Tensor, bias: Tensor | None, precision: Precision) -> None:
        super().__init__()
        prepack = _plain if weight.device.type != "cpu" else _ON_CPU[precision]
        self._product = prepack(weight.detach(), None if bias is None else bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return self._product(x)


def prepack_linears(module: nn.Module, precision: Precision) -> None:
    """Replace each `nn.Linear` inside a module by a prepacked `Linear`, in place."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, Linear(child.weight, child.bias, precision))
        else:
            prepack_linears(child, precision)


_Product = Callable[[Tensor], Tensor]


def _plain(weight: Tensor, bias: Tensor | None) -> _Product:
    weight = weight.contiguous()
    return lambda x: F.linear(x, weight, bias)


def _fp32(weight: Tensor, bias: Tensor | None) -> _Product:
    if not torch.backends.mkldnn.is_available() or weight.dtype != torch.float32:
        return _plain(weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


_ROWS = 200  # patches: the batch size that the layout is optimal for; others work too
_ON_CPU = {"fp32": _fp32, "int8": int8_linear}
