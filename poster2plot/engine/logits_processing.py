"""From a decoder's logits to the candidates that a search chooses from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor
from transformers import LogitsProcessorList

from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.guidance import guide
from poster2plot.engine.lexicon import Lexicon
from poster2plot.engine.search import PAD, NextTokens, Texts, grouped
from poster2plot.settings import GenerationSettings


def process_logits(
    conditional: Tensor,
    unconditional: Tensor | None,
    texts: Texts,
    settings: Sequence[GenerationSettings],
    rules: GenerationRules,
    processors: Sequence[LogitsProcessorList],
    word_starts: Tensor,
    lexicon: Lexicon | None,
) -> NextTokens:
    """What may follow `texts`.

    From logits (B, N, V), the unconditional ones where there is guidance, by the `settings` of each
    poster; of these whether they sample, and beam search or not, are the same. Whatever must not
    follow has the log-probability -inf. Minimum length, n-gram ban and the `processors` of each
    poster, by the checkpoint's `rules`, count all tokens, as in `transformers`, and come before the
    `lexicon`, where there is one, and this before guidance. Under a lexicon the n-gram ban counts
    only what is written: else no word of several tokens could be copied from a title, but its
    beginning could. `word_starts` (V), boolean, marks the tokens that may begin a word.
    """
    conditional, tokens = conditional.float(), texts.tokens
    searched = settings[0].is_beam_search
    # What follows changes the conditional ones in place.
    plain = conditional.log_softmax(-1) if searched and unconditional is not None else None
    processed = any(processors) or rules.bias is not None or rules.suppressed
    if searched and (unconditional is None or processed):
        conditional = conditional.log_softmax(-1) if plain is None else plain.clone()
    short = [
        i
        for i, (each, length) in enumerate(zip(settings, texts.lengths, strict=True))
        if length < each.min_length
    ]
    if short:
        conditional[short] = conditional[short].index_fill(
            -1, rules.end_ids(tokens.device), -torch.inf
        )
    counted = tokens if lexicon is None else texts.written(PAD)
    sizes = [each.no_repeat_ngram_size for each in settings]
    for posters in grouped(sizes):
        if size := sizes[posters[0]]:
            _ban_repeated_ngrams(conditional, counted, size, posters)
    conditional = rules.process(conditional, tokens, processors)
    if lexicon is not None:
        lexicon.restrict(
            conditional.view(-1, conditional.shape[-1]),
            list(chain.from_iterable(texts.rows())),
            [prompt[1:-1] for prompt in texts.prompts for _ in range(tokens.shape[1])],
        )
    if unconditional is None:
        if rules.config.renormalize_logits:
            conditional = conditional.log_softmax(-1)
        return NextTokens(conditional, _vocabulary(conditional))
    unconditional = unconditional.float().log_softmax(-1)
    guided, ids = guide(
        conditional.log_softmax(-1),
        unconditional,
        torch.tensor([each.guidance for each in settings], dtype=torch.float64)[:, None, None],
        texts.written(rules.start),
        word_starts,
        texts.prompt_tokens.expand(-1, tokens.shape[1], -1),
    )
    if settings[0].sample:
        # What is drawn depends on the order and number of the candidates, and these on the others
        # that are decoded.
        everywhere = torch.full_like(conditional, -torch.inf).scatter(-1, ids, guided)
        return NextTokens(everywhere, _vocabulary(conditional))
    gains = None if plain is None else plain.gather(-1, ids) - unconditional.gather(-1, ids)
    return NextTokens(guided, ids, gains)


def _vocabulary(log_probs: Tensor) -> Tensor:
    """The ids of all tokens (B, N, V)."""
    return torch.arange(log_probs.shape[-1], device=log_probs.device).expand_as(log_probs)


def _ban_repeated_ngrams(
    log_probs: Tensor, tokens: Tensor, size: int, posters: Sequence[int]
) -> None:
    """Forbid these posters to complete an n-gram of this size that a row already has."""
    if tokens.shape[-1] < size:
        return
    index = torch.tensor(posters, device=tokens.device)
    ngrams = tokens[index].unfold(-1, size, 1)  # (B', N, how many, size)
    prefix = ngrams[..., -1:, 1:]
    repeated = (ngrams[..., :-1] == prefix).all(-1) & (ngrams != PAD).all(-1)
    poster, row, place = repeated.nonzero(as_tuple=True)
    log_probs[index[poster], row, ngrams[poster, row, place, -1]] = -torch.inf
