"""GPT-2 with cross-attention for the beams of many posters at once, in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation

from poster2plot.engine.cache import KeysValues


@dataclass(frozen=True)
class LayerOutputs:
    """What leaves some of a decoder's layers."""

    hidden: Tensor  # (B, G, K, width)
    past: KeysValues  # that before, and that of the step
    attention: list[Tensor]  # of each layer (B, heads, K, S) over encoder states, if asked for


class Layers(Protocol):
    """Consecutive layers: self-attention, cross-attention, MLP, each before its residual sum."""

    def __len__(self) -> int:
        """How many layers."""

    def __call__(
        self,
        hidden: Tensor,
        past: KeysValues,
        attention_mask: Tensor,
        cross_attention: KeysValues,
        *,
        with_attention: bool = False,
    ) -> LayerOutputs:
        """Hidden states (B, G, K, width) through the layers.

        `past` and `attention_mask` (B, K, T) are those of `Cache`. `cross_attention` is the cache
        of the posters; the conditional batch, the first of G, alone sees it.
        """


@dataclass(frozen=True)
class Layer:
    """A block of GPT-2, and `unconditional` (width), what cross-attention adds without a poster."""

    block: Any  # a GPT2Block
    unconditional: Tensor


class TorchLayers:
    """Layers made of the model's own modules."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        for layer in layers:
            if isinstance(layer.block.mlp.act, NewGELUActivation):
                # The same in one pass over memory instead of eight.
                layer.block.mlp.act = nn.GELU(approximate="tanh")

    def __len__(self) -> int:
        return len(self._layers)

    def __call__(
        self,
        hidden: Tensor,
        past: KeysValues,
        attention_mask: Tensor,
        cross_attention: KeysValues,
        *,
        with_attention: bool = False,
    ) -> LayerOutputs:
        new_past: KeysValues = []
        attention: list[Tensor] = []
        for layer, own_past, poster in zip(self._layers, past, cross_attention, strict=True):
            block, own, cross = layer.block, layer.block.attn, layer.block.crossattention
            query, *new = (
                _by_head(each, own.num_heads)
                for each in own.c_attn(block.ln_1(hidden)).chunk(3, -1)
            )
            keys, values = (torch.cat(both, -2) for both in zip(own_past, new, strict=True))
            scores = query @ keys.mT * own.scaling + attention_mask[:, None, None]
            hidden = hidden + own.c_proj(_joined(scores.softmax(-1) @ values))
            new_past.append((keys, values))

            seen = hidden[:, :1]
            query = _by_head(cross.q_attn(block.ln_cross_attn(seen)), cross.num_heads)
            keys, values = poster
            weights = (query @ keys.mT * cross.scaling).softmax(-1)
            seen = seen + cross.c_proj(_joined(weights @ values))
            hidden = torch.cat([seen, hidden[:, 1:] + layer.unconditional], dim=1)
            if with_attention:
                attention.append(weights[:, 0])

            hidden = hidden + block.mlp(block.ln_2(hidden))
        return LayerOutputs(hidden, new_past, attention)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(..., K, width) to (..., heads, K, d)."""
    by_head: Tensor = x.unflatten(-1, (heads, -1))
    return by_head.transpose(-3, -2)


def _joined(x: Tensor) -> Tensor:
    """(..., heads, K, d) to (..., K, width)."""
    return x.transpose(-3, -2).flatten(-2)
