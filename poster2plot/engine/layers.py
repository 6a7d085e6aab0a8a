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
    """What some of a decoder's layers return."""

    hidden: Tensor  # (B, G, K, width)
    past: KeysValues  # keys and values of all steps, this one included
    cross_attentions: list[Tensor]  # weights (B, heads, K, S) of each layer, if asked for


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
        output_attentions: bool = False,
    ) -> LayerOutputs:
        """Hidden states (B, G, K, width) through the layers.

        `past` and `attention_mask` (B, G, K, T), additive, are those of `SelfAttentionCache`, and
        `cross_attention` is the cross-attention cache, which the conditional batch (the first of G)
        alone attends to. `output_attentions` asks for `LayerOutputs.cross_attentions`.
        """


@dataclass(frozen=True)
class Layer:
    """A block of GPT-2, and `unconditional` (width), what its cross-attention always adds there."""

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
        output_attentions: bool = False,
    ) -> LayerOutputs:
        new_past: KeysValues = []
        cross_attentions: list[Tensor] = []
        for layer, own_past, cross_cache in zip(self._layers, past, cross_attention, strict=True):
            block, own, cross = layer.block, layer.block.attn, layer.block.crossattention
            query, *new = (
                _split_heads(each, own.num_heads)
                for each in own.c_attn(block.ln_1(hidden)).chunk(3, -1)
            )
            keys, values = (torch.cat(both, -2) for both in zip(own_past, new, strict=True))
            scores = query @ keys.mT * own.scaling + attention_mask[:, :, None]
            hidden = hidden + own.c_proj(_merge_heads(scores.softmax(-1) @ values))
            new_past.append((keys, values))

            conditional = hidden[:, :1]
            query = _split_heads(cross.q_attn(block.ln_cross_attn(conditional)), cross.num_heads)
            keys, values = cross_cache
            weights = (query @ keys.mT * cross.scaling).softmax(-1)
            conditional = conditional + cross.c_proj(_merge_heads(weights @ values))
            hidden = torch.cat([conditional, hidden[:, 1:] + layer.unconditional], dim=1)
            if output_attentions:
                cross_attentions.append(weights[:, 0])

            hidden = hidden + block.mlp(block.ln_2(hidden))
        return LayerOutputs(hidden, new_past, cross_attentions)


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """(..., K, width) to (..., heads, K, d)."""
    split: Tensor = x.unflatten(-1, (heads, -1))
    return split.transpose(-3, -2)


def _merge_heads(x: Tensor) -> Tensor:
    """(..., heads, K, d) to (..., K, width)."""
    return x.transpose(-3, -2).flatten(-2)
