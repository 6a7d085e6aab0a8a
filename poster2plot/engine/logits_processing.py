"""From a decoder's logits to the candidates that a search chooses from."""

from __future__ import annotations

import torch
from torch import Tensor

from poster2plot.engine.guidance import guide
from poster2plot.settings import GenerationSettings


def process(
    logits: Tensor, tokens: Tensor, settings: GenerationSettings, end: int, starts: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and ids (B, N, k) of what may follow tokens (B, N, length).

    `logits` are (B, G, N, V). Whatever is no candidate has the log-probability -inf.

    `end` is the end token; `starts` (V) tells the tokens that may begin a word from the others.
    G is 2 where guidance compares with the unconditional batch, else 1. As in
    `transformers`, guidance comes after minimum length and n-gram ban.
    """
    log_probs = logits.float().log_softmax(-1)
    seen = log_probs[:, 0]
    if tokens.shape[-1] < settings.min_length:
        seen[..., end] = -torch.inf
    if settings.no_repeat_ngram_size:
        _ban_repeats(seen, tokens, settings.no_repeat_ngram_size)
    if logits.shape[1] == 1:
        return seen, _vocabulary(seen)
    scale = settings.guidance or 1
    guided, ids = guide(seen.log_softmax(-1), log_probs[:, 1], scale, tokens, starts)
    if settings.sample:
        # What is drawn depends on the order and number of the candidates, and these on the others
        # that are decoded.
        return torch.full_like(seen, -torch.inf).scatter(-1, ids, guided), _vocabulary(seen)
    return guided, ids


def _vocabulary(log_probs: Tensor) -> Tensor:
    """The ids of all tokens (B, N, V)."""
    return torch.arange(log_probs.shape[-1], device=log_probs.device).expand_as(log_probs)


def _ban_repeats(log_probs: Tensor, tokens: Tensor, size: int) -> None:
    """Forbid whatever would complete an n-gram of this size that a row already has."""
    if tokens.shape[-1] < size:
        return
    ngrams = tokens.unfold(-1, size, 1)  # (B, N, how many, size)
    prefix = tokens[..., None, tokens.shape[-1] - size + 1 :]
    poster, row, place = (ngrams[..., :-1] == prefix).all(-1).nonzero(as_tuple=True)
    log_probs[poster, row, ngrams[poster, row, place, -1]] = -torch.inf
