"""Classifier-free guidance: follow the poster more closely than the plain model does.

A small captioner knows how plots usually go and leans on it. A model trained with the picture
dropped from some samples can also tell what it would write without a poster; moving away from that
makes captions more specific (Kornblith et al. 2023, "Guiding image captioning models toward more
specific captions", arXiv:2307.16686).
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

WINDOW = 2.5  # nats below the conditional best within which a token stays a candidate


def word_starts(tokenizer: PreTrainedTokenizerBase, size: int) -> Tensor:
    """Which of `size` byte-level tokens can come where a word is over: all but letters.

    Byte-level tokens write a space as Ġ and a line break as Ċ.
    """
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(range(size))]
    return torch.tensor([each[:1] in ("Ġ", "Ċ") or not each[:1].isalpha() for each in tokens])


def guide(
    conditional: Tensor, unconditional: Tensor, scale: float, tokens: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor]:
    """Guided log-probabilities and ids (..., k) of the tokens that may come next.

    From log-probabilities with and without a poster, both (..., vocabulary):
    log p ∝ uncond + scale (cond − uncond), over the tokens near the conditional best. Far tokens
    are removed because a ratio of two tiny probabilities means nothing. Unlike Kornblith et al.,

    * inside a word the plain model goes on: it is told from `starts` (vocabulary), which is false
      for the tokens that go on with a word. Guided, it would put words together that do not exist;
    * a token of the text so far, `tokens` (..., length), gains nothing from the poster any more.
      Else a thing on the poster would be named again and again.
    """
    plain, candidates = _near_the_best(conditional)
    ratio = plain - unconditional.gather(-1, candidates)
    written = (candidates[..., None] == tokens[..., None, :]).any(-1)
    ratio = ratio.where(~written, ratio.clamp(max=0))
    starting = starts[candidates]
    inside = ~starting[..., :1]
    guided = torch.where(inside, plain, plain + (scale - 1) * ratio)
    guided = guided.where(plain.isfinite() & (inside | starting), -torch.inf)
    return guided.log_softmax(-1), candidates


def _near_the_best(log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities and ids (..., k) of the tokens within `WINDOW` of the best, best first.

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


class PictureGuidance(LogitsProcessor):  # type: ignore[misc]
    """`guide` as a processor of the stock `generate`.

    The unconditional batch reads one encoder state of zeros, which is what training shows where it
    drops the picture (attention over equal states does not depend on their number). It depends on
    the tokens alone, so its cache follows beam reordering by looking up each row's prefix.
    """

    def __init__(self, model: VisionEncoderDecoderModel, scale: float, starts: Tensor) -> None:
        self._decoder = model.decoder
        self._scale = scale
        self._starts = starts.to(model.device)
        null_embedding = torch.zeros(1, 1, model.encoder.config.hidden_size, device=model.device)
        null_embedding = null_embedding.to(model.dtype)
        if hasattr(model, "enc_to_dec_proj"):
            null_embedding = model.enc_to_dec_proj(null_embedding)
        self._null_embedding = null_embedding  # (1, 1, decoder width)
        self._cache: EncoderDecoderCache | None = None
        self._previous: Tensor | None = None  # (rows, t) token ids of the last call

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Guided log-probabilities (rows, vocabulary) from the plain model's logits."""
        conditional = scores.log_softmax(-1)
        unconditional = self._unconditional(input_ids).log_softmax(-1)
        guided, tokens = guide(conditional, unconditional, self._scale, input_ids, self._starts)
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
