"""Classifier-free guidance: follow the poster more closely than the plain model does.

A small captioner knows how plots usually go and leans on it. A model trained with conditioning
dropout can also tell what it would write without a poster, and moving away from that makes captions
more specific (Ho and Salimans 2022, arXiv:2207.12598; for captions Kornblith et al. 2023, "Guiding
image captioning models toward more specific captions", arXiv:2307.16686).
"""

import torch
from torch import Tensor
from transformers import (
    EncoderDecoderCache,
    LogitsProcessor,
    PreTrainedTokenizerBase,
    VisionEncoderDecoderModel,
)

from poster2plot.engine.topk import largest

WINDOW = 2.5  # nats below the likeliest token; -log α of the plausibility constraint


def word_start_mask(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> Tensor:
    """Which tokens (vocab_size) can come where a word is over: all but letters that go on with it.

    WordPiece marks what goes on with a word by ##; the others mark where one begins, byte-level BPE
    by Ġ (or Ċ, a line break), SentencePiece by ▁.
    """
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(range(vocab_size))]
    goes_on = [token[:2] == "##" and token[2:3].isalpha() for token in tokens]
    if not any(goes_on):  # no WordPiece
        goes_on = [token[:1].isalpha() and token[0] not in "ĠĊ" for token in tokens]
    return ~torch.tensor(goes_on)


def word_parts(prompts: Tensor, word_starts: Tensor) -> Tensor:
    """The tokens of prompts (..., P) that are parts of longer words, and -1 for all others.

    To copy such a word takes several right steps, of which guidance would urge the first alone.
    """
    goes_on = ~word_starts[prompts]
    before = torch.cat([goes_on[..., 1:], torch.zeros_like(goes_on[..., :1])], dim=-1)
    return prompts.where((goes_on | before) & (prompts >= 0), -1)


def guide(
    conditional: Tensor,
    unconditional: Tensor,
    scale: float | Tensor,
    tokens: Tensor,
    word_starts: Tensor,
    prompts: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Guided log-probabilities and ids (..., k) of the tokens that may come next.

    From log-probabilities with and without a poster, both (..., vocabulary), by one scale or those
    (..., 1) of the rows:
    log p ∝ uncond + scale (cond − uncond), over the tokens that the adaptive plausibility
    constraint of contrastive decoding leaves (Li et al. 2023, arXiv:2210.15097), because a ratio of
    two tiny probabilities means nothing. Unlike Kornblith et al.,

    * inside a word there is no guidance, which would put words together that do not exist. One is
      inside a word where the likeliest token is none of `word_starts` (vocabulary, boolean);
    * a token of the text so far, `tokens` (..., length), gains nothing from the poster any more.
      Else a thing on the poster would be named again and again;
    * neither does a part of a title's longer word, by the `prompts` (..., P) with the titles;
    * a word of one token does not follow itself, which is noted in `conditional` itself.
    """
    if tokens.shape[-1]:
        last = tokens[..., -1:]
        doubled = conditional.gather(-1, last).masked_fill(word_starts[last], -torch.inf)
        conditional.scatter_(-1, last, doubled)
    conditional, candidates = _plausible(conditional)
    ratio = conditional - unconditional.gather(-1, candidates)
    if prompts is not None:
        tokens = torch.cat([word_parts(prompts, word_starts), tokens], dim=-1)
    unfavoured = (candidates[..., None] == tokens[..., None, :]).any(-1)
    ratio = ratio.where(~unfavoured, ratio.clamp(max=0))
    starting = word_starts[candidates]
    inside = ~starting[..., :1]
    # As exact for a tensor as for a number.
    more = torch.as_tensor(scale, dtype=torch.float64, device=ratio.device) - 1
    guided = torch.where(inside, conditional, conditional + more.to(ratio.dtype) * ratio)
    guided = guided.where(conditional.isfinite() & (inside | starting), -torch.inf)
    return guided.log_softmax(-1), candidates


def _plausible(log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities and ids (..., k) of the tokens within `WINDOW` of the likeliest, in order.

    What lies outside of a row's window is -inf. k is small beside the vocabulary, so that what
    follows need not go through all of it.
    """
    count = 32
    while True:
        count = min(count, log_probs.shape[-1])
        values, tokens = largest(log_probs, count)
        near = values >= values[..., :1] - WINDOW
        if count == log_probs.shape[-1] or not near[..., -1].any():
            return values.where(near, -torch.inf), tokens
        count *= 8


class GuidanceLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    """`guide` as a `LogitsProcessor` of the stock `generate`.

    The unconditional batch attends to one encoder state of zeros, the null embedding of training's
    conditioning dropout (attention over equal states does not depend on their number). It depends
    on the generated tokens alone, so its cache follows beam reordering by looking up each row's
    prefix. `prompt` is how many of the tokens were given, the start token among them: it alone is
    part of the unconditional text.
    """

    def __init__(
        self,
        model: VisionEncoderDecoderModel,
        scale: float,
        word_starts: Tensor,
        prompt: int = 1,
    ) -> None:
        self._prompt, self._start = prompt, model.generation_config.decoder_start_token_id
        self._decoder = model.decoder
        self._scale = scale
        self._word_starts = word_starts.to(model.device)
        null_embedding = torch.zeros(1, 1, model.encoder.config.hidden_size, device=model.device)
        null_embedding = null_embedding.to(model.dtype)
        if hasattr(model, "enc_to_dec_proj"):
            null_embedding = model.enc_to_dec_proj(null_embedding)
        self._null_embedding = null_embedding  # (1, 1, decoder width)
        self._cache: EncoderDecoderCache | None = None
        self._previous: Tensor | None = None  # (rows, t) token ids of the last call

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Guided log-probabilities from the conditional logits, both (rows, vocabulary)."""
        conditional = scores.log_softmax(-1)
        start = torch.full_like(input_ids[:, :1], self._start)
        text = torch.cat([start, input_ids[:, self._prompt :]], dim=1)
        unconditional = self._unconditional(text).log_softmax(-1)
        prompts = input_ids[:, : self._prompt]
        guided, tokens = guide(
            conditional, unconditional, self._scale, text, self._word_starts, prompts
        )
        return torch.full_like(scores, -torch.inf).scatter(-1, tokens, guided)

    def _unconditional(self, input_ids: Tensor) -> Tensor:
        """Next-token logits (rows, vocabulary) without a poster."""
        new = input_ids
        if self._previous is not None and self._cache is not None:
            prefix = input_ids[:, :-1]
            rows = (prefix[:, None] == self._previous[None]).all(-1).int().argmax(-1)
            self._cache.reorder_cache(rows)
            new = input_ids[:, -1:]
        output = self._decoder(
            new,
            encoder_hidden_states=self._null_embedding.expand(len(input_ids), -1, -1),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache, self._previous = output.past_key_values, input_ids
        logits: Tensor = output.logits[:, -1]
        return logits.float()
