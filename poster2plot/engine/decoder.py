"""GPT-2 with cross-attention, laid out to decode the beams of many posters a token at a time.

The results are those of the stock modules; the waste is gone:

* A poster's cross-attention keys and values are computed once, and its beams share them as queries
  of one attention. Stock beam search copies them for each beam at each step.
* Self-attention writes to slots allocated beforehand, and nothing is moved when beams are
  reordered: each beam sees the slots of its ancestors through a mask.
* The stream without a poster that guidance needs is further rows of the same matrix products, so
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
from poster2plot.engine.layers import Blocks, Layer, Passed, TorchBlocks
from poster2plot.engine.linear import Linear, Precision
from poster2plot.engine.onnx_layers import (
    ACTIVATIONS,
    RuntimeBlocks,
    RuntimeHead,
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
        self._blocks: list[Blocks] = []
        nothing = self._project(self._tokens.new_zeros(1, model.encoder.config.hidden_size))
        head, activation = model.decoder.lm_head, config.activation_function
        self._head: Callable[[Tensor], Tensor]
        layers = self._layers(gpt2.h, nothing)
        if self.device.type == "cpu" and activation in ACTIVATIONS:
            int8 = precision == "int8"
            parameters = sum(each.numel() for each in gpt2.h[0].parameters())
            together = layers_per_graph(parameters, int8=int8)
            while len(gpt2.h):
                some = islice(layers, together)
                self._blocks.append(RuntimeBlocks(some, activation, int8=int8))
            self._head = RuntimeHead(gpt2.ln_f, head, int8=int8)
        else:
            self._blocks.append(TorchBlocks([*layers]))
            self._head = nn.Sequential(gpt2.ln_f, head)

    def _layers(self, blocks: nn.ModuleList, nothing: Tensor) -> Iterator[Layer]:
        """The model's blocks, which leave it so that their weights are not there twice.

        `nothing` is the state of an absent poster.
        """
        while len(blocks):
            block = blocks.pop(0)
            cross: Any = block.crossattention
            added = cross.c_proj(cross.c_attn(nothing)[:, cross.embed_dim :])[0]
            self._cross_kv.append(Linear(cross.c_attn.weight.T, cross.c_attn.bias, "fp32"))
            yield Layer(block, added)

    def on_one_thread(self) -> Decoder | None:
        """The same for threads that decode side by side, each alone; None if not laid out so."""
        if not isinstance(self._head, RuntimeHead):
            return None
        decoder = copy.copy(self)
        decoder._head = self._head.on_one_thread()
        decoder._blocks = [
            blocks.on_one_thread() for blocks in self._blocks if isinstance(blocks, RuntimeBlocks)
        ]
        return decoder

    def read(self, states: Tensor) -> KeysValues:
        """What the decoder knows of posters from encoder's last hidden states (B, S, ...)."""
        projected = self._project(states)
        known = []
        for cross_kv in self._cross_kv:
            keys, values = (
                cross_kv(projected)[:, None].unflatten(-1, (2, self._heads, -1)).unbind(-3)
            )
            known.append((keys.transpose(2, 3).contiguous(), values.transpose(2, 3).contiguous()))
        return known

    def cache(self, posters: int, beams: int, streams: int) -> Cache:
        """Room for the past of `beams` beams of each poster."""
        own = torch.full((beams, beams), -torch.inf, dtype=self.dtype, device=self.device)
        return Cache(self._no_past(posters, streams), own.fill_diagonal_(0))

    def step(self, tokens: Tensor, memory: KeysValues, cache: Cache) -> Tensor:
        """Logits (B, G, K, vocabulary) of the tokens after these (B, K)."""
        hidden = self._tokens[tokens] + self._positions[cache.steps]  # (B, K, width)
        streams = cache.past[0][0].shape[1]
        hidden = hidden[:, None].expand(-1, streams, -1, -1)
        passed = self._pass(hidden, cache.past, cache.mask(), memory)
        cache.advance(passed.past)
        return self._head(passed.hidden)

    def attend(self, tokens: Tensor, memory: KeysValues) -> Tensor:
        """Cross-attention (T, S) of the tokens (T) of a text over one poster's encoder states.

        The mean over all heads and layers; each row sums to 1. All tokens go through at once, as
        beams of a single step that see those before them.
        """
        count = len(tokens)
        before = torch.ones(count, count, dtype=torch.bool, device=self.device).tril()
        unseen = torch.where(before, 0, -torch.inf).to(self.dtype)
        hidden = (self._tokens[tokens] + self._positions[:count])[None, None]
        past = self._no_past(posters=1, streams=1)
        passed = self._pass(hidden, past, unseen[None], memory, with_attention=True)
        return torch.stack(passed.attention).mean((0, 1, 2))

    def _pass(
        self,
        hidden: Tensor,
        past: KeysValues,
        unseen: Tensor,
        memory: KeysValues,
        *,
        with_attention: bool = False,
    ) -> Passed:
        """Hidden states (B, G, K, width) through all layers."""
        passed, done = Passed(hidden, [], []), 0
        for blocks in self._blocks:
            here = slice(done, done + len(blocks))
            done = here.stop
            some = blocks(
                passed.hidden, past[here], unseen, memory[here], with_attention=with_attention
            )
            passed = Passed(some.hidden, passed.past + some.past, passed.attention + some.attention)
        return passed

    def _no_past(self, posters: int, streams: int) -> KeysValues:
        """Keys and values of no places."""
        d = self._tokens.shape[1] // self._heads
        none = self._tokens.new_empty(posters, streams, self._heads, 0, d)
        return [(none, none) for _ in self._cross_kv]
