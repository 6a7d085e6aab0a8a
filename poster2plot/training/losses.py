"""The loss of a plot given its poster, and what the poster is worth."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2LMHeadModel, GPT2Tokenizer

from poster2plot.training.data import IGNORED, Pair, pair_batches


def caption_loss(
    decoder: GPT2LMHeadModel, states: Tensor, labels: Tensor, *, token_dropout: float = 0.0
) -> Tensor:
    """Mean loss of plots, in nats a token, given encoder states (B, S, width).

    `labels` (B, T) end in EOS and then IGNORED. EOS also starts each input. `token_dropout`
    replaces that share of the other input tokens at random.
    """
    eos = decoder.config.eos_token_id
    inputs = F.pad(labels[:, :-1], (1, 0), value=eos)
    inputs = inputs.masked_fill(inputs == IGNORED, eos)
    if token_dropout:
        replaced = torch.rand(inputs.shape) < token_dropout
        replaced[:, 0] = False  # the start token stays
        noise = torch.randint(decoder.config.vocab_size, inputs.shape)
        inputs = torch.where(replaced, noise, inputs)
    logits = decoder(inputs, encoder_hidden_states=states, use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


@dataclass(frozen=True)
class Losses:
    """Mean loss on true plots, in nats a token, by what the model is shown."""

    right: float
    shuffled: float
    nothing: float

    @property
    def picture_gain(self) -> float:
        """What the right poster is worth against another title's; 0 means blind."""
        return self.shuffled - self.right


@torch.inference_mode()
def measure_losses(
    decoder: GPT2LMHeadModel,
    tokenizer: GPT2Tokenizer,
    states: Callable[[Sequence[str]], Tensor],
    pairs: Sequence[Pair],
    *,
    batch: int,
    longest: int,
) -> Losses:
    """Losses with each pair's own poster, with another one's, and with none.

    `states` gives the encoder states (B, S, width) of the posters with these ids, on the
    decoder's device; `longest` is in tokens.
    """
    shuffled = [pair.id for pair in pairs]
    random.Random(0).shuffle(shuffled)
    stranger = dict(zip((pair.id for pair in pairs), shuffled, strict=True))
    means: list[list[float]] = []
    for ids, labels in pair_batches(tokenizer, pairs, batch=batch, longest=longest, seed=0):
        right = states(ids)
        shown = (right, states([stranger[id] for id in ids]), torch.zeros_like(right[:, :1]))
        means.append([float(caption_loss(decoder, s, labels.to(s.device))) for s in shown])
    return Losses(*(sum(column) / len(column) for column in zip(*means, strict=True)))
