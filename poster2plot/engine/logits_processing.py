"""From a decoder's logits to the candidates that a search chooses from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessorList

from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.guidance import guide
from poster2plot.engine.lexicon import Lexicon
from poster2plot.engine.search import PAD
from poster2plot.settings import GenerationSettings


def process_logits(
    logits: Tensor,
    tokens: Tensor,
    text: Tensor,
    settings: GenerationSettings,
    rules: GenerationRules,
    processors: Sequence[LogitsProcessorList],
    word_starts: Tensor,
    lexicon: Lexicon | None,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and ids (B, N, k) of what may follow tokens (B, N, length).

    `logits` are (B, G, N, V): G is 2 with classifier-free guidance (conditional, unconditional),
    else 1. Whatever must not follow has the log-probability -inf. `text` are the tokens without the
    title of a prompt, which guidance takes otherwise; minimum length, n-gram ban and the
    `processors` of each poster, by the checkpoint's `rules`, count all, as in `transformers`, and
    come before the `lexicon`, where there is one, and this before guidance. `word_starts` (V),
    boolean, marks the tokens that may begin a word.
    """
    logits = logits.float()
    conditional = logits[:, 0]
    if settings.num_beams > 1 and not settings.sample:
        conditional = conditional.log_softmax(-1)
    if text.shape[-1] < settings.min_length:
        short = (tokens[:, 0] != PAD).sum(-1) < settings.min_length  # (B,)
        conditional[short] = conditional[short].index_fill(
            -1, rules.end_ids(tokens.device), -torch.inf
        )
    if settings.no_repeat_ngram_size:
        _ban_repeated_ngrams(conditional, tokens, settings.no_repeat_ngram_size)
    for row, own in enumerate(processors):
        if own:
            written = tokens[row][:, tokens[row, 0] != PAD]
            conditional[row] = own(written, conditional[row])
    prompts = tokens[..., : tokens.shape[-1] - text.shape[-1] + 1]
    if lexicon is not None:
        given = [[id for id in row if id != PAD] for row in prompts[:, 0].tolist()]
        conditional = lexicon.restrict(
            conditional.flatten(0, 1),
            text[..., 1:].flatten(0, 1).tolist(),
            [row[1:-1] for row in given for _ in range(prompts.shape[1])],
        ).view_as(conditional)
    if logits.shape[1] == 1:
        if rules.config.renormalize_logits:
            conditional = conditional.log_softmax(-1)
        return conditional, _vocabulary(conditional)
    scale = settings.guidance or 1
    unconditional = logits[:, 1].log_softmax(-1)
    guided, ids = guide(
        conditional.log_softmax(-1), unconditional, scale, text, word_starts, prompts
    )
    if settings.sample:
        # What is drawn depends on the order and number of the candidates, and these on the others
        # that are decoded.
        return torch.full_like(conditional, -torch.inf).scatter(-1, ids, guided), _vocabulary(
            conditional
        )
    return guided, ids


def _vocabulary(log_probs: Tensor) -> Tensor:
    """The ids of all tokens (B, N, V)."""
    return torch.arange(log_probs.shape[-1], device=log_probs.device).expand_as(log_probs)


def _ban_repeated_ngrams(log_probs: Tensor, tokens: Tensor, size: int) -> None:
    """Forbid whatever would complete an n-gram of this size that a row already has."""
    if tokens.shape[-1] < size:
        return
    ngrams = tokens.unfold(-1, size, 1)  # (B, N, how many, size)
    prefix = tokens[..., None, tokens.shape[-1] - size + 1 :]
    repeated = (ngrams[..., :-1] == prefix).all(-1) & (ngrams != PAD).all(-1)
    poster, row, place = repeated.nonzero(as_tuple=True)
    log_probs[poster, row, ngrams[poster, row, place, -1]] = -torch.inf
