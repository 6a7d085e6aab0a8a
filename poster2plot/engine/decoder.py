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

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import VisionEncoderDecoderModel
from transformers.activations import ACT2FN

from poster2plot.engine.linear import Linear, Precision


@dataclass(frozen=True)
class Norm:
    """A layer normalisation."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True)
class Block:
    """One layer: self-attention, cross-attention, MLP, each before its residual connection."""

    norm: Norm
    qkv: Linear
    out: Linear
    cross_norm: Norm
    cross_q: Linear
    cross_kv: Linear
    cross_out: Linear
    nothing: Tensor  # (width) what cross-attention adds where there is no poster
    mlp_norm: Norm
    up: Linear
    down: Linear
    scale: float  # of attention scores


@dataclass(frozen=True)
class Memory:
    """What the decoder knows of B posters: keys and values (B, heads, S, d) of each layer."""

    layers: list[tuple[Tensor, Tensor]]

    def __len__(self) -> int:
        return len(self.layers[0][0])

    def __getitem__(self, posters: Tensor) -> Memory:
        return Memory([(keys[posters], values[posters]) for keys, values in self.layers])


class Cache:
    """Self-attention keys and values of B posters with K beams each, in G streams.

    A step fills K slots. `visible` (B, K, slots) tells which of them hold a beam's own past.
    """

    def __init__(self, decoder: Decoder, posters: int, streams: int, beams: int, steps: int):
        shape = (posters, streams, decoder.heads, beams * steps, decoder.head_width)
        options = {"dtype": decoder.dtype, "device": decoder.device}
        self.keys = [torch.zeros(shape, **options) for _ in decoder.blocks]
        self.values = [torch.zeros(shape, **options) for _ in decoder.blocks]
        self.visible = torch.zeros(
            posters, beams, beams * steps, dtype=torch.bool, device=decoder.device
        )
        self.steps = 0

    def reorder(self, parents: Tensor) -> None:
        """Let each beam (B, K) go on from the past of another one."""
        index = parents[..., None].expand(-1, -1, self.visible.shape[-1])
        self.visible = self.visible.gather(1, index)

    def keep(self, posters: Tensor) -> None:
        """Drop all posters but these, (B') indices."""
        self.keys = [keys[posters] for keys in self.keys]
        self.values = [values[posters] for values in self.values]
        self.visible = self.visible[posters]


class Decoder:
    """The decoder of a `VisionEncoderDecoderModel`, with its projection of encoder states.

    Blocks leave the model one by one, so that their weights are never there twice.
    """

    def __init__(self, model: VisionEncoderDecoderModel, precision: Precision) -> None:
        gpt2, config = model.decoder.transformer, model.decoder.config
        self.heads: int = config.n_head
        self.head_width: int = config.n_embd // config.n_head
        self.width: int = config.n_embd
        self.dtype, self.device = gpt2.wte.weight.dtype, gpt2.wte.weight.device
        self.positions: Tensor = gpt2.wpe.weight.detach()
        self.tokens: Tensor = gpt2.wte.weight.detach()
        self._project = getattr(model, "enc_to_dec_proj", torch.nn.Identity())
        self._activation = (
            partial(F.gelu, approximate="tanh")  # the same in one pass over memory instead of eight
            if config.activation_function == "gelu_new"
            else ACT2FN[config.activation_function]
        )
        nothing = torch.zeros(
            1, model.encoder.config.hidden_size, dtype=self.dtype, device=self.device
        )
        nothing = self._project(nothing)

        def norm(layer: torch.nn.LayerNorm) -> Norm:
            return Norm(layer.weight.detach(), layer.bias.detach(), layer.eps)

        def linear(layer: Any) -> Linear:  # GPT-2's Conv1D keeps (in, out)
            return Linear(layer.weight.T, layer.bias, precision)

        self.blocks = []
        while len(gpt2.h):
            block = gpt2.h.pop(0)
            cross: Any = block.crossattention
            cross_kv = linear(cross.c_attn)
            self.blocks.append(
                Block(
                    norm=norm(block.ln_1),
                    qkv=linear(block.attn.c_attn),
                    out=linear(block.attn.c_proj),
                    cross_norm=norm(block.ln_cross_attn),
                    cross_q=linear(cross.q_attn),
                    cross_kv=cross_kv,
                    cross_out=linear(cross.c_proj),
                    nothing=cross.c_proj(cross_kv(nothing)[:, self.width :])[0],
                    mlp_norm=norm(block.ln_2),
                    up=linear(block.mlp.c_fc),
                    down=linear(block.mlp.c_proj),
                    scale=cross.scaling,
                )
            )
        self._norm = norm(gpt2.ln_f)
        head: Any = model.decoder.lm_head
        self._head = Linear(head.weight, head.bias, precision)

    def read(self, states: Tensor) -> Memory:
        """Take in the encoder's last hidden states (B, S, encoder width)."""
        projected = self._project(states)
        layers = []
        for block in self.blocks:
            keys, values = block.cross_kv(projected).split(self.width, -1)
            layers.append((self._by_head(keys).contiguous(), self._by_head(values).contiguous()))
        return Memory(layers)

    def step(self, tokens: Tensor, memory: Memory, cache: Cache) -> Tensor:
        """Logits (B, G, K, vocabulary) of the tokens after these (B, K)."""
        beams = tokens.shape[1]
        old = cache.steps * beams
        slots = slice(old, old + beams)
        own = torch.arange(beams, device=self.device)
        cache.visible[:, own, old + own] = True
        hidden = self.tokens[tokens] + self.positions[cache.steps]  # (B, K, width)
        hidden = hidden[:, None].repeat(1, cache.keys[0].shape[1], 1, 1)  # (B, G, K, width)
        hidden = self._run(hidden, memory, cache, slots)
        cache.steps += 1
        logits: Tensor = self._head(self._norm(hidden))
        return logits

    def attend(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Cross-attention (T, S) of the tokens (T) of a text over one poster's encoder states.

        The mean over all heads and layers; each row sums to 1. All tokens go through at once, as
        beams of a single step that see those before them.
        """
        count = len(tokens)
        cache = Cache(self, posters=1, streams=1, beams=count, steps=1)
        cache.visible[0] = torch.ones_like(cache.visible[0]).tril()
        hidden = (self.tokens[tokens] + self.positions[:count])[None, None]
        weights: list[Tensor] = []
        self._run(hidden, memory, cache, slice(0, count), weights)
        return torch.stack(weights).mean((0, 1, 2))

    def _run(
        self,
        hidden: Tensor,
        memory: Memory,
        cache: Cache,
        slots: slice,
        attention: list[Tensor] | None = None,
    ) -> Tensor:
        """Hidden states (B, G, K, width) through all blocks, past their keys into `slots`.

        `attention` gets the cross-attention (B, heads, K, S) of each block.
        """
        unseen = ~cache.visible[:, None, None, :, : slots.stop]  # (B, 1, 1, K, slots)
        for layer, block in enumerate(self.blocks):
            query, key, value = block.qkv(block.norm(hidden)).split(self.width, -1)
            keys, values = cache.keys[layer], cache.values[layer]
            keys[..., slots, :] = self._by_head(key)
            values[..., slots, :] = self._by_head(value)
            scores = self._by_head(query) @ keys[..., : slots.stop, :].mT * block.scale
            weights = scores.masked_fill_(unseen, -torch.inf).softmax(-1)
            mixed = weights @ values[..., : slots.stop, :]
            hidden = hidden + block.out(self._joined(mixed))

            seen = hidden[:, 0]
            query = self._by_head(block.cross_q(block.cross_norm(seen)))  # (B, heads, K, d)
            keys, values = memory.layers[layer]
            if attention is not None:
                attention.append((query @ keys.mT * block.scale).softmax(-1))
            mixed = F.scaled_dot_product_attention(query, keys, values, scale=block.scale)
            seen = seen + block.cross_out(self._joined(mixed))
            if hidden.shape[1] == 1:
                hidden = seen[:, None]
            else:
                hidden = torch.stack([seen, hidden[:, 1] + block.nothing], dim=1)

            hidden = hidden + block.down(self._activation(block.up(block.mlp_norm(hidden))))
        return hidden

    def _by_head(self, x: Tensor) -> Tensor:
        """(..., K, width) to (..., heads, K, d)."""
        heads: Tensor = x.unflatten(-1, (self.heads, self.head_width))
        return heads.transpose(-3, -2)

    def _joined(self, x: Tensor) -> Tensor:
        """(..., heads, K, d) to (..., K, width)."""
        return x.transpose(-3, -2).flatten(-2)
