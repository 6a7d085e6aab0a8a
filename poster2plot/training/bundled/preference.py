"""Direct preference optimization: of two plots for a poster, the better one becomes likelier.

Rafailov et al. 2023, arXiv:2305.18290, with the better plot's own loss beside it, as in iterative
reasoning preference optimization (Pang et al. 2024, arXiv:2404.19733), so that it does not become
less likely too.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from poster2plot.training.batches import (
    Captions,
    Collator,
    Example,
    drop_conditioning,
    drop_words,
)
from poster2plot.training.encoder_states import EncoderStates
from poster2plot.training.recipe import Recipe
from poster2plot.training.target_texts import IGNORE_INDEX
from poster2plot.training.train import CaptionTrainer

BETA = 0.1  # how far the captioner may go from what it was


class Preferences(Dataset[tuple[dict[str, Any], dict[str, Any]]]):
    """Of each example its plot and the worse one, both as `Captions`."""

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        encoder_states: EncoderStates | None = None,
    ) -> None:
        self._better = Captions(examples, tokenizer, recipe, encoder_states)
        worse = [replace(example, text=example.worse) for example in examples]
        self._worse = Captions(worse, tokenizer, recipe, encoder_states)
        lengths = zip(self._better.lengths, self._worse.lengths, strict=True)
        self.lengths = [max(both) for both in lengths]

    def __len__(self) -> int:
        return len(self.lengths)

    def digest(self) -> str:
        """As that of `Captions`."""
        return self._better.digest()

    def __getitem__(self, i: int) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._better[i], self._worse[i]


class PreferenceCollator(Collator):
    """As `Collator`, the better plots of all rows first and then the worse ones."""

    def __call__(self, rows: list[Any]) -> dict[str, Any]:
        if isinstance(rows[0], dict):  # of the validation split
            return super().__call__(rows)
        return super().__call__([*(better for better, _ in rows), *(worse for _, worse in rows)])


class PreferenceTrainer(CaptionTrainer):
    """Trains on `Preferences` in batches of `PreferenceCollator`."""

    def __init__(self, captioner: Any, recipe: Recipe, *args: Any, **options: Any) -> None:
        super().__init__(captioner, recipe, *args, **options)
        self.data_collator = PreferenceCollator(
            captioner.tokenizer, captioner.image_processor, recipe
        )
        self._reference: PreTrainedModel = copy.deepcopy(captioner.model).eval()
        self._reference.requires_grad_(False)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **options: Any) -> Any:
        """The preference loss in nats a pair, plus the better plots' own in nats a token."""
        if not model.training:
            return super().compute_loss(model, inputs, *args, **options)
        ids, labels, pictured = (
            inputs[name] for name in ("decoder_input_ids", "labels", "pictured")
        )
        pairs = len(ids) // 2
        kept = torch.ones(pairs, dtype=torch.bool, device=ids.device)
        if share := self._recipe.conditioning_dropout:
            # Without clues no plot is better than another, but it is still to be learnt.
            dropped = drop_conditioning(ids[:pairs], labels[:pairs], pictured[:pairs], share)
            kept = dropped[2]
            ids, labels, pictured = (
                torch.cat([new, old[pairs:]])
                for new, old in zip(dropped, (ids, labels, pictured), strict=True)
            )
        if self._recipe.word_dropout:
            size = self.model.decoder.config.vocab_size
            ids = drop_words(ids, labels, self._recipe.word_dropout, size)
        self._pictured = pictured
        if "encoder_states" in inputs:
            states = self._condition(inputs["encoder_states"], training=True)
        else:  # conditioned as it leaves the encoder
            states = self.model.encoder(inputs["pixel_values"]).last_hidden_state
        read = {
            "decoder_input_ids": ids,
            "encoder_outputs": BaseModelOutput(last_hidden_state=states),
        }
        outputs = model(**read)
        with torch.no_grad(), self.accelerator.autocast():
            reference = self._reference(**read).logits
        gain = _log_likelihood(outputs.logits, labels) - _log_likelihood(reference, labels)
        margin = BETA * (gain[:pairs] - gain[pairs:])
        preference = -(F.logsigmoid(margin) * kept).sum() / kept.sum().clamp(min=1)
        own = F.cross_entropy(
            outputs.logits[:pairs].flatten(0, 1).float(),
            labels[:pairs].flatten(),
            ignore_index=IGNORE_INDEX,
        )
        return preference + own


def _log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-likelihoods (B,) of labels (B, T) by logits (B, T, V)."""
    return -F.cross_entropy(
        logits.float().transpose(1, 2), labels, ignore_index=IGNORE_INDEX, reduction="none"
    ).sum(-1)
