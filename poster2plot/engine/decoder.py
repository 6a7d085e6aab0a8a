"""GPT-2 with cross-attention, laid out to decode the beams of many posters a token at a time.

The results are those of the stock modules; the waste is gone:

* A poster's cross-attention keys and values are computed once, and its beams share them as queries
  of one attention. Stock beam search copies them for each beam at each step.
* Self-attention writes to slots allocated beforehand, and nothing is moved when beams are
  reordered: each beam sees the slots of its ancestors through a mask.
* The unconditional texts that guidance needs are further rows of the same matrix products, so
  that a step still reads each weight once. Their cross-attention is over equal encoder states and
  therefore a constant.
* Posters join and leave between two steps, whatever the numbers of their beams.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
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
from poster2plot.engine.rows import Rows


class Decoder:
    """The decoder of a `VisionEncoderDecoderModel`, with its projection of encoder states."""

    def __init__(self, model: VisionEncoderDecoderModel, precision: Precision) -> None:
        gpt2, config = model.decoder.transformer, model.decoder.config
        self.heads: int = config.n_head
        self.layers: int = config.n_layer
        self._position_embeddings: Tensor = gpt2.wpe.weight.detach()
        self.embeddings: Tensor = gpt2.wte.weight.detach()  # (vocabulary, width)
        self.dtype, self.device = self.embeddings.dtype, self.embeddings.device
        self._project = getattr(model, "enc_to_dec_proj", nn.Identity())
        self._cross_kv: list[Linear] = []
        self._blocks: list[Layers] = []
        null_embedding = self._project(
            self.embeddings.new_zeros(1, model.encoder.config.hidden_size)
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

    @property
    def bytes_per_token(self) -> int:
        """Of keys and values of all layers."""
        return 2 * self.layers * self.embeddings.shape[1] * self.embeddings.element_size()

    def cross_attention_cache(self, encoder_states: Tensor) -> KeysValues:
        """Keys and values (B, heads, S, d) of each layer, of encoder states (B, S, width)."""
        projected = self._project(encoder_states)
        cross_attention: KeysValues = []
        for cross_kv in self._cross_kv:
            keys, values = cross_kv(projected).unflatten(-1, (2, self.heads, -1)).unbind(-3)
            cross_attention.append((keys.transpose(1, 2), values.transpose(1, 2)))
        return cross_attention

    def prefill(self, prompts: Tensor, cross_attention: KeysValues) -> KeysValues:
        """Keys and values (B, heads, T, d) of prompts (B, T) for posters; T may be 0.

        What is below 0 pads them on the left.
        """
        posters, count = prompts.shape
        d = self.embeddings.shape[1] // self.heads
        if not count:
            none = self.embeddings.new_empty(posters, self.heads, 0, d)
            return [(none, none) for _ in self._cross_kv]
        own = prompts >= 0
        causal = torch.ones(count, count, dtype=torch.bool, device=self.device).tril()
        # Padding attends to itself, since it must attend to something.
        itself = torch.eye(count, dtype=torch.bool, device=self.device)
        attended = causal & own[:, None] | itself  # (B, T, T)
        places = (own.cumsum(-1) - 1).clamp(min=0)
        outputs = self._at_once(prompts.clamp(min=0), places, attended, cross_attention)
        return [
            (_of_heads(keys, posters, self.heads), _of_heads(values, posters, self.heads))
            for keys, values in outputs.new
        ]

    def next_token_logits(
        self,
        tokens: Tensor,
        rows: Rows,
        cache: SelfAttentionCache,
        cross_attention: KeysValues,
    ) -> Tensor:
        """Logits (R, vocabulary) after the last tokens (R) of `rows`; the cache takes these in."""
        positions = cache.positions[rows.attention.texts]
        hidden = self.embeddings[tokens] + self._position_embeddings[positions]
        mask = cache.attention_mask()
        outputs = self._forward(hidden, rows, cache.past, mask, cross_attention)
        cache.advance(outputs.new, rows.attention)
        return self._lm_head(outputs.hidden)

    def cross_attention_weights(self, tokens: Tensor, cross_attention: KeysValues) -> Tensor:
        """Cross-attention weights (T, S) of a text's tokens (T) over one poster's encoder states.

        The mean over all heads and layers; each row sums to 1.
        """
        count = len(tokens)
        causal = torch.ones(1, count, count, dtype=torch.bool, device=self.device).tril()
        places = torch.arange(count, device=self.device)[None]
        outputs = self._at_once(
            tokens[None], places, causal, cross_attention, output_attentions=True
        )
        return torch.stack(outputs.cross_attentions).mean((0, 1, 2))

    def _at_once(
        self,
        tokens: Tensor,
        places: Tensor,
        attended: Tensor,
        cross_attention: KeysValues,
        *,
        output_attentions: bool = False,
    ) -> LayerOutputs:
        """All tokens (B, T) of posters at these places through the layers, as beams of one step.

        `attended` (B, T, T), boolean, tells which of them each may attend to.
        """
        posters, count = tokens.shape
        rows = Rows.of([count] * posters, range(posters), range(posters), self.device)
        hidden = self.embeddings[tokens] + self._position_embeddings[places]
        # A slot of the past that none attends to, as not all kernels know an empty past.
        d = hidden.shape[-1] // self.heads
        nothing = hidden.new_zeros(posters, self.heads, 1, d)
        past = [(nothing, nothing)] * len(self._cross_kv)
        mask = torch.where(F.pad(attended, (1, 0)), 0, -torch.inf).to(self.dtype)
        return self._forward(
            hidden.flatten(0, 1),
            rows,
            past,
            mask,
            [(keys.contiguous(), values.contiguous()) for keys, values in cross_attention],
            output_attentions=output_attentions,
        )

    def _forward(
        self,
        hidden: Tensor,
        rows: Rows,
        past: KeysValues,
        attention_mask: Tensor,
        cross_attention: KeysValues,
        *,
        output_attentions: bool = False,
    ) -> LayerOutputs:
        """Hidden states (R, width) through all layers."""
        outputs, done = LayerOutputs(hidden, [], []), 0
        for layers in self._blocks:
            here = slice(done, done + len(layers))
            done = here.stop
            some = layers(
                outputs.hidden,
                rows,
                past[here],
                attention_mask,
                cross_attention[here],
                output_attentions=output_attentions,
            )
            outputs = LayerOutputs(
                some.hidden,
                outputs.new + some.new,
                outputs.cross_attentions + some.cross_attentions,
            )
        return outputs


def _of_heads(rows: Tensor, texts: int, heads: int) -> Tensor:
    """Rows (N * T, width) to (N, heads, T, d)."""
    split: Tensor = rows.unflatten(0, (texts, -1)).unflatten(-1, (heads, -1))
    return split.transpose(1, 2)
