"""What a checkpoint's generation config asks of decoding, as the stock `generate` follows it.

What `GenerationSettings` has a field for is the user's to say, as a keyword of `generate` comes
before the config, and has the default of `GenerationSettings` where the user says nothing. The
config's `min_length`, `min_new_tokens` and `max_new_tokens` bound it. All else that changes the
tokens is done by the logits processors of transformers themselves, in the order in which `generate`
applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation import logits_process as stock

from poster2plot.engine.search import PAD
from poster2plot.settings import GenerationSettings

# What changes no token of a plot: how it is computed, and what else `generate` returns.
_WITHOUT_EFFECT = {
    "_from_model_config",
    "transformers_version",
    "pad_token_id",
    "use_cache",
    "cache_implementation",
    "cache_config",
    "max_cache_len",
    "prefill_chunk_size",
    "low_memory",
    "compile_config",
    "disable_compile",
    "continuous_batching_config",
    "return_dict_in_generate",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "output_logits",
}
# What the settings decide, and what it is called there.
_BY_SETTINGS = {
    "num_beams": "num_beams",
    "max_length": "max_length",
    "num_return_sequences": "num_candidates",
    "length_penalty": "length_penalty",
    "early_stopping": "early_stopping",
    "no_repeat_ngram_size": "no_repeat_ngram_size",
    "do_sample": "sample",
    "temperature": "temperature",
    "top_p": "top_p",
}
_OF_SAMPLING = {"temperature", "top_p"}
_FOLLOWED = {
    "decoder_start_token_id",
    "bos_token_id",
    "eos_token_id",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "sequence_bias",
    "repetition_penalty",
    "bad_words_ids",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "remove_invalid_values",
    "exponential_decay_length_penalty",
    "suppress_tokens",
    "begin_suppress_tokens",
    "renormalize_logits",
    "top_h",
    "top_k",
    "min_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
}
# Values that ask for nothing, which older versions of transformers wrote out.
_NEUTRAL = {"encoder_repetition_penalty": 1, "num_beam_groups": 1, "guidance_scale": 1}


@lru_cache
@torch.inference_mode(False)
def _on_device(ids: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(ids, dtype=torch.long, device=device)


@dataclass(frozen=True, eq=False)
class GenerationRules:
    """The rules of one checkpoint; `eos_token_ids` may be none, and then no plot ends by itself.

    What does not depend on a poster's prompt is there for all posters together: `bias` is that
    against sequences, `suppressed` are the token ids that never come.
    """

    eos_token_ids: tuple[int, ...]
    config: GenerationConfig = field(default_factory=GenerationConfig)
    bias: stock.SequenceBiasLogitsProcessor | None = None
    suppressed: tuple[int, ...] = ()

    @classmethod
    def of(cls, config: GenerationConfig, vocab_size: int, device: torch.device) -> GenerationRules:
        """The rules of a generation config, for a model on `device`.

        Raises `ValueError` where `generate` could not follow them: a token to begin with or to
        force is none of the vocabulary, or a value is out of range.
        """
        begun = ("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")
        for name in begun:
            value = getattr(config, name)
            ids = value if isinstance(value, list) else [] if value is None else [value]
            if not all(type(each) is int and 0 <= each < vocab_size for each in ids):
                raise ValueError(f"{name} is {value!r}, none of its {vocab_size} tokens")
        if type(config.decoder_start_token_id) is not int:
            value = config.decoder_start_token_id
            raise ValueError(f"decoder_start_token_id is {value!r}, not the token to begin with")
        eos = config.eos_token_id
        eos = eos if isinstance(eos, list) else [eos]
        # An end token beyond the vocabulary never comes.
        ends = tuple(each for each in eos if type(each) is int and 0 <= each < vocab_size)
        try:
            sequences = config.sequence_bias
            bias = None if sequences is None else stock.SequenceBiasLogitsProcessor(sequences)
            # One that the vocabulary lacks never comes anyway.
            suppressed = tuple(id for id in config.suppress_tokens or () if 0 <= id < vocab_size)
            rules = cls(ends, config, bias, suppressed)
            rules._check(vocab_size, device)
        except Exception as error:  # of whatever kind a library raises for a value of odd type
            raise ValueError(" ".join(str(error).split())) from error
        return rules

    def _check(self, vocab_size: int, device: torch.device) -> None:
        """Let the processors and warpers see a text of one token."""
        for name in ("max_new_tokens", "min_length", "min_new_tokens"):
            value = getattr(self.config, name)
            if value is not None and (type(value) is not int or value < (name[:3] == "max")):
                raise ValueError(f"{name} cannot be {value!r}")
        start = torch.tensor([[self.config.decoder_start_token_id]], device=device)
        scores = torch.zeros(1, vocab_size, device=device)
        self.process(scores[None], start[None], [self.processors(1, 8, device)])
        self.warpers(GenerationSettings(sample=True), device)(start, scores)

    @property
    def ignored(self) -> list[str]:
        """The names of what the config asks for beside these rules, sorted."""
        known = _WITHOUT_EFFECT | _BY_SETTINGS.keys() | _FOLLOWED
        return sorted(
            name
            for name, value in self.config.to_dict().items()
            if name not in known and value and value != _NEUTRAL.get(name)
        )

    @property
    def overruled(self) -> dict[str, tuple[Any, Any]]:
        """By the name of a setting, what the config asks for and the default that is used instead.

        Only where they differ, and where what is asked for would make a difference.
        """
        found = {}
        for name, setting in _BY_SETTINGS.items():
            asked = getattr(self.config, name)
            default = getattr(GenerationSettings, setting)
            if name in _OF_SAMPLING and not self.config.do_sample:
                continue
            if asked is not None and asked != default:
                found[setting] = asked, default
        return found

    @property
    def start(self) -> int:
        """The token that every text begins with."""
        return int(self.config.decoder_start_token_id)

    @property
    def filler(self) -> int:
        """What stands behind the end of a row, cut off in the end."""
        return self.eos_token_ids[0] if self.eos_token_ids else 0

    def ends(self, tokens: Tensor) -> Tensor:
        """Which of these tokens end a text; boolean, of their shape."""
        return torch.isin(tokens, self.end_ids(tokens.device))

    def end_ids(self, device: torch.device) -> Tensor:
        """The end tokens, (how many); made once, as every step asks for them."""
        return _on_device(self.eos_token_ids, device)

    def until_end(self, token_ids: list[int]) -> tuple[int, ...]:
        """The token ids up to the first end token, with it; all where there is none."""
        for place, token in enumerate(token_ids):
            if token in self.eos_token_ids:
                return tuple(token_ids[: place + 1])
        return tuple(token_ids)

    def most_tokens(self, settings: GenerationSettings, prompts: Tensor) -> Tensor:
        """How many tokens may follow prompts of these lengths (B); (B)."""
        most = settings.max_length - prompts
        new = self.config.max_new_tokens
        return most if new is None else most.clamp(max=new)

    def process(
        self, scores: Tensor, tokens: Tensor, processors: Sequence[LogitsProcessorList]
    ) -> Tensor:
        """Scores (B, N, V) after B posters' texts (B, N, length), which `PAD` fills on the left.

        They are log-probabilities in beam search, else logits, and may be changed in place.
        `processors` are those of each poster.
        """
        if self.bias is not None:
            # Padding is in no sequence, so that all posters go through together.
            scores = self.bias(tokens.flatten(0, 1), scores.flatten(0, 1)).view_as(scores)
        for row, own in enumerate(processors):
            if own:
                written = tokens[row][:, tokens[row, 0] != PAD]
                scores[row] = own(written, scores[row])
        if self.suppressed:
            suppressed = _on_device(self.suppressed, scores.device)
            scores.index_fill_(-1, suppressed, -torch.inf)
        return scores

    def processors(self, prompt: int, longest: int, device: torch.device) -> LogitsProcessorList:
        """A poster's own, whose texts begin with `prompt` tokens and have `longest` at most.

        They take in token ids (rows, length) and scores (rows, vocabulary). The list is empty where
        the config asks for nothing that depends on either.
        """
        config, processors = self.config, LogitsProcessorList()
        ends = self.end_ids(device)

        def add(value: object, make: Callable[[], Any]) -> None:
            if value is not None:
                processors.append(make())

        def least(name: str) -> int | None:
            return getattr(config, name) if self.eos_token_ids else None

        add(
            None if config.repetition_penalty == 1 else config.repetition_penalty,
            lambda: stock.RepetitionPenaltyLogitsProcessor(config.repetition_penalty),
        )
        add(
            config.bad_words_ids,
            lambda: stock.NoBadWordsLogitsProcessor(config.bad_words_ids, ends),
        )
        add(
            # The number of new tokens comes before that of all.
            least("min_length") if config.min_new_tokens is None else None,
            lambda: stock.MinLengthLogitsProcessor(config.min_length, ends, str(device)),
        )
        add(
            least("min_new_tokens"),
            lambda: stock.MinNewTokensLengthLogitsProcessor(
                prompt, config.min_new_tokens, ends, str(device)
            ),
        )
        add(
            config.forced_bos_token_id,
            lambda: stock.ForcedBOSTokenLogitsProcessor(config.forced_bos_token_id),
        )
        add(
            config.forced_eos_token_id,
            lambda: stock.ForcedEOSTokenLogitsProcessor(
                longest, config.forced_eos_token_id, str(device)
            ),
        )
        add(config.remove_invalid_values or None, stock.InfNanRemoveLogitsProcessor)
        add(
            config.exponential_decay_length_penalty,
            lambda: stock.ExponentialDecayLengthPenalty(
                tuple(config.exponential_decay_length_penalty), ends, prompt
            ),
        )
        # A forced first token is none that these may be kept from.
        first = prompt + (prompt == 1 and config.forced_bos_token_id is not None)
        add(
            config.begin_suppress_tokens,
            lambda: stock.SuppressTokensAtBeginLogitsProcessor(
                config.begin_suppress_tokens, first, str(device)
            ),
        )
        return processors

    def warpers(self, settings: GenerationSettings, device: torch.device) -> LogitsProcessorList:
        """What sampling does to scores (rows, vocabulary) before it draws."""
        config, warpers = self.config, LogitsProcessorList()
        if settings.temperature != 1:
            warpers.append(stock.TemperatureLogitsWarper(settings.temperature))
        if config.top_h is not None:
            warpers.append(stock.TopHLogitsWarper(config.top_h))
        if config.top_k:
            warpers.append(stock.TopKLogitsWarper(config.top_k))
        if settings.top_p < 1:
            warpers.append(stock.TopPLogitsWarper(settings.top_p))
        if config.min_p is not None:
            warpers.append(stock.MinPLogitsWarper(config.min_p))
        if config.typical_p is not None and config.typical_p < 1:
            warpers.append(stock.TypicalLogitsWarper(config.typical_p))
        if config.epsilon_cutoff is not None and 0 < config.epsilon_cutoff < 1:
            warpers.append(stock.EpsilonLogitsWarper(config.epsilon_cutoff))
        if config.eta_cutoff is not None and 0 < config.eta_cutoff < 1:
            warpers.append(stock.EtaLogitsWarper(config.eta_cutoff, device=str(device)))
        return warpers
