"""The two phases of training: the decoder learns the language, then learns to look."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    GPT2LMHeadModel,
    GPT2Tokenizer,
    VisionEncoderDecoderModel,
)

from poster2plot.training.data import Features, Pair, packed_blocks, pair_batches
from poster2plot.training.loop import Schedule, optimise
from poster2plot.training.losses import caption_loss, measure_losses


def pretrain_decoder(
    decoder: GPT2LMHeadModel,
    tokenizer: GPT2Tokenizer,
    texts: Sequence[str],
    held_out: Sequence[str],
    *,
    schedule: Schedule,
    state: Path,
    rate: float = 8e-4,
    length: int = 96,
    batch: int = 16,
) -> None:
    """Continue the decoder as a language model on plot texts; cross-attention is not run."""
    valid = packed_blocks(tokenizer, held_out, length=length, seed=0)

    def loss(ids: Tensor) -> Tensor:
        logits = decoder(ids[:, :-1], use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    def batches(number: int) -> Iterator[Tensor]:
        yield from packed_blocks(tokenizer, texts, length=length, seed=number).split(batch)

    @torch.inference_mode()
    def evaluate() -> str:
        return f"valid loss {torch.stack([loss(ids) for ids in valid.split(batch)]).mean():.3f}"

    parameters = [
        parameter
        for name, parameter in decoder.named_parameters()
        if "crossattention" not in name and "ln_cross_attn" not in name
    ]
    optimise(decoder, [(parameters, rate)], batches, loss, evaluate, schedule, state)


def train_captioner(
    model: VisionEncoderDecoderModel,
    tokenizer: GPT2Tokenizer,
    features: Features,
    train: Sequence[Pair],
    valid: Sequence[Pair],
    *,
    schedule: Schedule,
    state: Path,
    rate: float = 0.0,
    cross_rate: float = 1e-3,
    batch: int = 32,
    longest: int = 56,
    token_dropout: float = 0.12,
    picture_dropout: float = 0.12,
) -> None:
    """Teach a decoder to write from the states of a frozen encoder.

    `cross_rate` is the learning rate of the cross-attention, `rate` that of the rest of the
    decoder; at 0 the language model stays as it is, and cannot learn the pairs' texts by heart.
    `token_dropout` replaces that share of the input tokens at random, so that the picture is
    needed. `picture_dropout` zeroes the encoder states of that share of the samples, which is the
    unconditional stream of classifier-free guidance (Kornblith et al. 2023, arXiv:2307.16686).
    """
    norm, decoder = model.encoder.layernorm, model.decoder

    def states(ids: Sequence[str]) -> Tensor:
        normed: Tensor = norm(features[ids])  # (B, patches + 1, width)
        return normed

    def loss(item: tuple[list[str], Tensor]) -> Tensor:
        ids, labels = item
        seen = torch.rand(len(ids), 1, 1) >= picture_dropout
        return caption_loss(decoder, states(ids) * seen, labels, token_dropout=token_dropout)

    def batches(number: int) -> Iterator[tuple[list[str], Tensor]]:
        return pair_batches(tokenizer, train, batch=batch, longest=longest, seed=number)

    def evaluate() -> str:
        found = measure_losses(decoder, tokenizer, states, valid, batch=batch, longest=longest)
        return (
            f"valid loss {found.right:.3f}, shuffled posters {found.shuffled:.3f}, "
            f"no poster {found.nothing:.3f}, picture gain {found.picture_gain:.4f}"
        )

    new = [p for name, p in decoder.named_parameters() if "cross" in name]
    old = [p for name, p in decoder.named_parameters() if "cross" not in name]
    trained = torch.nn.ModuleDict({"norm": norm, "decoder": decoder})
    groups = [([*new, *norm.parameters()], cross_rate)]
    if rate:
        groups.append((old, rate))
    for parameter in old:
        parameter.requires_grad_(rate > 0)
    optimise(trained, groups, batches, loss, evaluate, schedule, state)
