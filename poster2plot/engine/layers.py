"""GPT-2 with cross-attention for the rows of many posters at once, in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation

from poster2plot.engine.cache import KeysValues
from poster2plot.engine.rows import Padding, Rows


@dataclass(frozen=True)
class LayerOutputs:
    """What some of a decoder's layers return."""

    hidden: Tensor  # (R, width)
    new: KeysValues  # keys and values (R, width) of the rows, by layer
    cross_attentions: list[Tensor]  # weights (B, heads, K, S) of each layer, if asked for


class Layers(Protocol):
    """Consecutive layers: self-attention, cross-attention, MLP, each before its residual sum."""

    def __len__(self) -> int:
        """How many layers."""

    def __call__(
        self,
        hidden: Tensor,
        rows: Rows,
        past: KeysValues,
        attention_mask: Tensor,
        cross_attention: KeysValues,
        *,
        output_attentions: bool = False,
    ) -> LayerOutputs:
        """Hidden states (R, width) through the layers.

        `past` (U, heads, P, d) and `attention_mask` (U, K, P + K), additive, are those of
        `SelfAttentionCache`; `cross_attention` (B, heads, S, d) is of the posters that the first
        `rows` attend to. `output_attentions` asks for `LayerOutputs.cross_attentions`.
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
        rows: Rows,
        past: KeysValues,
        attention_mask: Tensor,
        cross_attention: KeysValues,
        *,
        output_attentions: bool = False,
    ) -> LayerOutputs:
        new: KeysValues = []
        cross_attentions: list[Tensor] = []
        for layer, own_past, cross_cache in zip(self._layers, past, cross_attention, strict=True):
            block, own, cross = layer.block, layer.block.attn, layer.block.crossattention
            query, *both = own.c_attn(block.ln_1(hidden)).chunk(3, -1)
            query = _split_heads(query, rows.attention, own.num_heads)
            keys, values = (
                torch.cat([old, _split_heads(each, rows.attention, own.num_heads)], -2)
                for old, each in zip(own_past, both, strict=True)
            )
            scores = query @ keys.mT * own.scaling + attention_mask[:, None]
            context = _merge_heads(scores.softmax(-1) @ values, rows.attention)
            hidden = hidden + own.c_proj(context)
            new.append((both[0], both[1]))

            conditional = hidden[: rows.conditional]
            query = cross.q_attn(block.ln_cross_attn(conditional))
            query = _split_heads(query, rows.cross_attention, cross.num_heads)
            keys, values = cross_cache
            weights = (query @ keys.mT * cross.scaling).softmax(-1)
            attended = cross.c_proj(_merge_heads(weights @ values, rows.cross_attention))
            unconditional = hidden[rows.conditional :] + layer.unconditional
            hidden = torch.cat([conditional + attended, unconditional])
            if output_attentions:
                cross_attentions.append(weights)

            hidden = hidden + block.mlp(block.ln_2(hidden))
        return LayerOutputs(hidden, new, cross_attentions)


def _split_heads(x: Tensor, padding: Padding, heads: int) -> Tensor:
    """Rows (R, width) to (N, heads, K, d)."""
    split: Tensor = x[padding.padded].unflatten(-1, (heads, -1))
    return split.transpose(1, 2)


def _merge_heads(x: Tensor, padding: Padding) -> Tensor:
    """(N, heads, K, d) to rows (R, width)."""
    return x.transpose(1, 2).flatten(2).flatten(0, 1)[padding.places]
