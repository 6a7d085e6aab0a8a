"""GPT-2 with cross-attention, laid out to decode the beams of many posters a token at a time.

The results are those of the stock modules; the waste is gone:

* A poster's cross-attention keys and values are computed once, and its beams share them as queries
  of one attention. Stock beam search copies them for each beam at each step.
* Self-attention writes to slots allocated beforehand, and nothing is moved when beams are
  reordered: each beam sees the slots of its ancestors through a mask.
* The unconditional batch that guidance needs is further rows of the same matrix products, so
  that a step still reads each weight once. Its cross-attention is over equal states and therefore
  a constant.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from transformers import VisionEncoderDecoderModel

from poster2plot.engine.cache import Cache, KeysValues
from poster2plot.engine.layers import Layer, LayerOutputs, Layers, TorchLayers
from poster2plot.engine.linear import Linear, Precision
from poster2plot.engine.onnx_graph import ACTIVATIONS
from poster2plot.engine.onnx_layers import (
    OnnxHead,
    OnnxLayers,
    layers_per_graph,
)


class Decoder:
    """The decoder of a `VisionEncoderDecoderModel`, with its projection of encoder states."""

    def __init__(self, model: VisionEncoderDecoderModel, precision: Precision) -> None:
        gpt2, config = model.decoder.transformer, model.decoder.config
        self._heads: int = config.n_head
        self._positions: Tensor = gpt2.wpe.weight.detach()
        self._tokens: Tensor = gpt2.wte.weight.detach()
        self.dtype, self.device = self._tokens.dtype, self._tokens.device
        self._project = getattr(model, "enc_to_dec_proj", nn.Identity())
        self._cross_kv: list[Linear] = []
        self._blocks: list[Layers] = []
        null_embedding = self._project(self._tokens.new_zeros(1, model.encoder.config.hidden_size))
        head, activation = model.decoder.lm_head, config.activation_function
        self._head: Callable[[Tensor], Tensor]
        layers = self._layers(gpt2.h, null_embedding)
        if self.device.type == "cpu" and activation in ACTIVATIONS:
            int8 = precision == "int8"
            parameters = sum(each.numel() for each in gpt2.h[0].parameters())
            together = layers_per_graph(parameters, int8=int8)
            while len(gpt2.h):
                some = islice(layers, together)
                self._blocks.append(OnnxLayers(some, activation, int8=int8))
            self._head = OnnxHead(gpt2.ln_f, head, int8=int8)
        else:
            self._blocks.append(TorchLayers([*layers]))
            self._head = nn.Sequential(gpt2.ln_f, head)

    def _layers(self, blocks: nn.ModuleList, null_embedding: Tensor) -> Iterator[Layer]:
        """The model's blocks, which leave it so that their weights are not there twice.

        `null_embedding` (1, width) is the encoder state of an absent poster.
        """
        while len(blocks):
            block = blocks.pop(0)
            cross: Any = block.crossattention
            added = cross.c_proj(cross.c_attn(null_embedding)[:, cross.embed_dim :])[0]
            self._cross_kv.append(Linear(cross.c_attn.weight.T, cross.c_attn.bias, "fp32"))
            yield Layer(block, added)

    def on_one_thread(self) -> Decoder | None:
        """The same for threads that decode side by side, each alone; None if not laid out so."""
        if not isinstance(self._head, OnnxHead):
            return None
        decoder = copy.copy(self)
        decoder._head = self._head.on_one_thread()
        decoder._blocks = [
            blocks.on_one_thread() for blocks in self._blocks if isinstance(blocks, OnnxLayers)
        ]
        return decoder

    def read(self, states: Tensor) -> KeysValues:
        """The cross-attention cache of posters, from encoder's last hidden states (B, S, ...)."""
        projected = self._project(states)
        cross_attention: KeysValues = []
        for cross_kv in self._cross_kv:
            keys, values = (
                cross_kv(projected)[:, None].unflatten(-1, (2, self._heads, -1)).unbind(-3)
            )
            cross_attention.append(
                (keys.transpose(2, 3).contiguous(), values.transpose(2, 3).contiguous())
            )
        return cross_attention

    def cache(self, posters: int, beams: int, batches: int) -> Cache:
        """Room for the past of `beams` beams of each poster."""
        own = torch.full((beams, beams), -torch.inf, dtype=self.dtype, device=self.device)
        return Cache(self._no_past(posters, batches), own.fill_diagonal_(0))

    def step(self, tokens: Tensor, cross_attention: KeysValues, cache: Cache) -> Tensor:
        """Logits (B, G, K, vocabulary) of the tokens after these (B, K)."""
        hidden = self._tokens[tokens] + self._positions[cache.steps]  # (B, K, width)
        batches = cache.past[0][0].shape[1]
        hidden = hidden[:, None].expand(-1, batches, -1, -1)
        outputs = self._pass(hidden, cache.past, cache.mask(), cross_attention)
        cache.advance(outputs.past)
        return self._head(outputs.hidden)

    def attend(self, tokens: Tensor, cross_attention: KeysValues) -> Tensor:
        """Cross-attention (T, S) of the tokens (T) of a text over one poster's encoder states.

        The mean over all heads and layers; each row sums to 1. All tokens go through at once, as
        beams of a single step that see those before them.
        """
        count = len(tokens)
        before = torch.ones(count, count, dtype=torch.bool, device=self.device).tril()
        attention_mask = torch.where(before, 0, -torch.inf).to(self.dtype)
        hidden = (self._tokens[tokens] + self._positions[:count])[None, None]
        past = self._no_past(posters=1, batches=1)
        outputs = self._pass(
            hidden, past, attention_mask[None], cross_attention, with_attention=True
        )
        return torch.stack(outputs.attention).mean((0, 1, 2))

    def _pass(
        self,
        hidden: Tensor,
        past: KeysValues,
        attention_mask: Tensor,
        cross_attention: KeysValues,
        *,
        with_attention: bool = False,
    ) -> LayerOutputs:
        """Hidden states (B, G, K, width) through all layers."""
        outputs, done = LayerOutputs(hidden, [], []), 0
        for layers in self._blocks:
            here = slice(done, done + len(layers))
            done = here.stop
            some = layers(
                outputs.hidden,
                past[here],
                attention_mask,
                cross_attention[here],
                with_attention=with_attention,
            )
            outputs = LayerOutputs(
                some.hidden, outputs.past + some.past, outputs.attention + some.attention
            )
        return outputs

    def _no_past(self, posters: int, batches: int) -> KeysValues:
        """Keys and values of no places."""
        d = self._tokens.shape[1] // self._heads
        none = self._tokens.new_empty(posters, batches, self._heads, 0, d)
        return [(none, none) for _ in self._cross_kv]
