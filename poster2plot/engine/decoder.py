"""GPT-2 with cross-attention, laid out to decode the beams of many posters a token at a time.

The results are those of the stock modules; the waste is gone:

* A poster's cross-attention keys and values are computed once, and its beams share them as queries
  of one attention. Stock beam search copies them for each beam at each step.
* Self-attention writes to slots allocated beforehand, and nothing is moved when beams are
  reordered: each beam sees the slots of its ancestors through a mask.
* The unconditional batch that guidance needs is further rows of the same matrix products, so
  that a step still reads each weight once. Its cross-attention is over equal encoder states and
  therefore a constant.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from transformers import VisionEncoderDecoderModel

from poster2plot.engine.cache import KeysValues, SelfAttentionCache
from poster2plot.engine.layers import Layer, LayerOutputs, Layers, TorchLayers
from poster2plot.engine.linear import Linear, Precision
from poster2plot.engine.onnx_graph import ACTIVATIONS
from poster2plot.engine.onnx_runtime import (
    OnnxLayers,
    OnnxLMHead,
    layers_per_graph,
)


class Decoder:
    """The decoder of a `VisionEncoderDecoderModel`, with its projection of encoder states."""

    def __init__(self, model: VisionEncoderDecoderModel, precision: Precision) -> None:
        gpt2, config = model.decoder.transformer, model.decoder.config
        self._heads: int = config.n_head
        self._position_embeddings: Tensor = gpt2.wpe.weight.detach()
        self._token_embeddings: Tensor = gpt2.wte.weight.detach()
        self.dtype, self.device = self._token_embeddings.dtype, self._token_embeddings.device
        self._project = getattr(model, "enc_to_dec_proj", nn.Identity())
        self._cross_kv: list[Linear] = []
        self._blocks: list[Layers] = []
        null_embedding = self._project(
            self._token_embeddings.new_zeros(1, model.encoder.config.hidden_size)
        )
        head, activation = model.decoder.lm_head, config.activation_function
        self._lm_head: Callable[[Tensor], Tensor]
        layers = self._layers(gpt2.h, null_embedding)
        if self.device.type == "cpu" and activation in ACTIVATIONS:
            int8 = precision == "int8"
            parameters = sum(each.numel() for each in gpt2.h[0].parameters())
            together = layers_per_graph(parameters, int8=int8)
            while len(gpt2.h):
                some = islice(layers, together)
                self._blocks.append(OnnxLayers(some, activation, int8=int8))
            self._lm_head = OnnxLMHead(gpt2.ln_f, head, int8=int8)
        else:
            self._blocks.append(TorchLayers([*layers]))
            self._lm_head = nn.Sequential(gpt2.ln_f, head)

    def _layers(self, blocks: nn.ModuleList, null_embedding: Tensor) -> Iterator[Layer]:
        """The model's blocks, which leave it so that their weights are not there twice.

        `null_embedding` (1, width) stands for the encoder states in the unconditional batch.
        """
        while len(blocks):
            block = blocks.pop(0)
            cross: Any = block.crossattention
            added = cross.c_proj(cross.c_attn(null_embedding)[:, cross.embed_dim :])[0]
            self._cross_kv.append(Linear(cross.c_attn.weight.T, cross.c_attn.bias, "fp32"))
            yield Layer(block, added)

    def single_threaded(self) -> Decoder | None:
        """The same weights computed on the calling thread alone, for concurrent decoding.

        None where PyTorch computes the layers, which has no such copy.
        """
        if not isinstance(self._lm_head, OnnxLMHead):
            return None
        decoder = copy.copy(self)
        decoder._lm_head = self._lm_head.single_threaded()
        decoder._blocks = [
            blocks.single_threaded() for blocks in self._blocks if isinstance(blocks, OnnxLayers)
        ]
        return decoder

    def cross_attention_cache(self, encoder_states: Tensor) -> KeysValues:
        """Keys and values (B, 1, heads, S, d) of each layer, of encoder states (B, S, width)."""
        projected = self._project(encoder_states)
        cross_attention: KeysValues = []
        for cross_kv in self._cross_kv:
            keys, values = (
                cross_kv(projected)[:, None].unflatten(-1, (2, self._heads, -1)).unbind(-3)
            )
            cross_attention.append(
                (keys.transpose(2, 3).contiguous(), values.transpose(2, 3).contiguous())
            )
        return cross_attention

    def prefill(
        self, prompts: Tensor, cross_attention: KeysValues, *, beams: int, guided: bool
    ) -> SelfAttentionCache:
        """The cache of prompts (B, T) for K beams of each poster; T may be 0.

        Each prompt goes through once, whatever the beams. What is below 0 pads it on the left.
        `guided` adds the unconditional batch, which has no prompt.
        """
        posters, count = prompts.shape
        own = prompts >= 0  # (B, T)
        past = self._empty_past(posters, batches=1)
        if count:
            causal = torch.ones(count, count, dtype=torch.bool, device=self.device).tril()
            # Padding attends to itself, since it must attend to something.
            itself = torch.eye(count, dtype=torch.bool, device=self.device)
            attended = causal & own[:, None] | itself  # (B, T, T)
            mask = torch.where(attended, 0, -torch.inf).to(self.dtype)
            places = (own.cumsum(-1) - 1).clamp(min=0)
            hidden = (
                self._token_embeddings[prompts.clamp(min=0)] + self._position_embeddings[places]
            )
            past = self._forward(hidden[:, None], past, mask[:, None], cross_attention).past
        seen = own[:, None]
        if guided:
            past = [
                (torch.cat([keys, keys], 1), torch.cat([values, values], 1))
                for keys, values in past
            ]
            seen = torch.cat([seen, torch.zeros_like(seen)], dim=1)
        return SelfAttentionCache(past, seen, beams)

    def next_token_logits(
        self, tokens: Tensor, cross_attention: KeysValues, cache: SelfAttentionCache
    ) -> Tensor:
        """Logits (B, G, K, vocabulary) after the last tokens; the cache takes these in.

        `tokens` are (B, G, K), or (B, 1, K) where they are those of both batches.
        """
        positions = self._position_embeddings[cache.positions][:, :, None]  # (B, G, 1, width)
        hidden = self._token_embeddings[tokens] + positions
        outputs = self._forward(hidden, cache.past, cache.attention_mask(), cross_attention)
        cache.advance(outputs.past)
        return self._lm_head(outputs.hidden)

    def cross_attention_weights(self, tokens: Tensor, cross_attention: KeysValues) -> Tensor:
        """Cross-attention weights (T, S) of a text's tokens (T) over one poster's encoder states.

        The mean over all heads and layers; each row sums to 1. All tokens go through at once, as
        beams of a single step under a causal mask.
        """
        count = len(tokens)
        causal = torch.ones(count, count, dtype=torch.bool, device=self.device).tril()
        attention_mask = torch.where(causal, 0, -torch.inf).to(self.dtype)
        hidden = (self._token_embeddings[tokens] + self._position_embeddings[:count])[None, None]
        past = self._empty_past(posters=1, batches=1)
        outputs = self._forward(
            hidden, past, attention_mask[None, None], cross_attention, output_attentions=True
        )
        return torch.stack(outputs.cross_attentions).mean((0, 1, 2))

    def _forward(
        self,
        hidden: Tensor,
        past: KeysValues,
        attention_mask: Tensor,
        cross_attention: KeysValues,
        *,
        output_attentions: bool = False,
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
                output_attentions=output_attentions,
            )
            outputs = LayerOutputs(
                some.hidden,
                outputs.past + some.past,
                outputs.cross_attentions + some.cross_attentions,
            )
        return outputs

    def _empty_past(self, posters: int, batches: int) -> KeysValues:
        """Keys and values (B, G, heads, 0, d) of each layer."""
        d = self._token_embeddings.shape[1] // self._heads
        none = self._token_embeddings.new_empty(posters, batches, self._heads, 0, d)
        return [(none, none) for _ in self._cross_kv]
