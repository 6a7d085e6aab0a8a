"""Teacher-forced losses: what the right poster and the right title are worth in nats a token."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from poster2plot.checkpoints.loading import Checkpoint
from poster2plot.training.batches import Collator, target_ids
from poster2plot.training.recipe import Recipe
from poster2plot.training.target_texts import prompt_ids
from poster2plot.training.train import token_loss


@dataclass(frozen=True)
class Losses:
    """Mean loss on true plots, in nats a token, by the poster."""

    right: float
    shuffled: float  # another title's poster
    without: float  # the null embedding

    @property
    def picture_gain(self) -> float:
        """What the right poster is worth against another title's; 0 means blind."""
        return self.shuffled - self.right


@torch.inference_mode()
def measure_losses(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    encoder_states: Tensor,
    titles: Sequence[str],
    *,
    batch: int = 16,
) -> Losses:
    """Losses on plots, cut at 64 tokens, after the titles as prompts; an empty one is none.

    `encoder_states` (N, S, width) are those of the posters, by `encode_all`.
    """
    recipe = Recipe(encoder="", decoder="", pad_to_longest=True)
    tokenizer = checkpoint.tokenizer
    collate = Collator(tokenizer, checkpoint.image_processor, recipe)
    totals, tokens = [0.0, 0.0, 0.0], 0
    shuffled = torch.arange(len(texts)).roll(1)  # nobody gets its own
    for start in range(0, len(texts), batch):
        rows = torch.arange(start, min(start + batch, len(texts)))
        conditions = (
            encoder_states[rows],
            encoder_states[shuffled[rows]],
            torch.zeros_like(encoder_states[rows, :1]),
        )
        labels = target_ids(tokenizer, [texts[i] for i in rows.tolist()], recipe)
        prompts = prompt_ids(tokenizer, [titles[i] for i in rows.tolist()])
        inputs = collate(
            [
                {"prompt": prompt, "labels": ids, "pictured": True, "encoder_states": states}
                for prompt, ids, states in zip(prompts, labels, conditions[0], strict=True)
            ]
        )
        count = sum(map(len, labels))
        tokens += count
        for i, condition in enumerate(conditions):
            output = checkpoint.model(
                encoder_outputs=BaseModelOutput(
                    last_hidden_state=condition.float().to(checkpoint.device)
                ),
                decoder_input_ids=inputs["decoder_input_ids"].to(checkpoint.device),
                use_cache=False,
            )
            totals[i] += float(token_loss(output, inputs["labels"].to(checkpoint.device))) * count
    return Losses(*(total / tokens for total in totals))


@torch.inference_mode()
def encode_all(checkpoint: Checkpoint, images: Sequence[Image.Image], *, batch: int = 16) -> Tensor:
    """Last hidden states (N, S, width) of the encoder in half precision, a batch at once."""
    return torch.cat(
        [
            encode(checkpoint, images[i : i + batch]).half().cpu()
            for i in range(0, len(images), batch)
        ]
    )


def encode(checkpoint: Checkpoint, images: Sequence[Image.Image]) -> Tensor:
    """Last hidden states (B, S, width) of the encoder."""
    pixels = checkpoint.image_processor(list(images), return_tensors="pt")["pixel_values"]
    states: Tensor = checkpoint.model.encoder(pixels.to(checkpoint.device)).last_hidden_state
    return states
