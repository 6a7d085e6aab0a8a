"""Pairs as a captioner's inputs, in batches whose content depends on seed and epoch alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase
from transformers.image_processing_utils import BaseImageProcessor

from poster2plot.training.dataset import Pair, Picture
from poster2plot.training.encoder_states import EncoderStates
from poster2plot.training.recipe import Recipe
from poster2plot.training.target_texts import IGNORE_INDEX, premise

PAD_TO_MULTIPLE_OF = 8  # tokens; few widths of batches: CPU kernels are prepared for each anew


@dataclass(frozen=True)
class Example:
    """A plot to learn for the poster of the title `id`."""

    id: str
    text: str
    picture: Picture


def target_ids(tokenizer: PreTrainedTokenizerBase, text: str, recipe: Recipe) -> list[int]:
    """Token ids of a plot, cut to the recipe's length, closed by the end token if that has room."""
    ids: list[int] = tokenizer(text)["input_ids"]
    if recipe.append_eos:
        ids = [*ids, tokenizer.eos_token_id]
    return ids[: recipe.max_target_length]


def to_examples(pairs: Sequence[Pair], recipe: Recipe) -> list[Example]:
    """Pairs whose plots are targets of the recipe's kind."""
    examples = []
    for pair in pairs:
        text = pair.text if recipe.targets == "whole" else premise(pair.text)
        if text:
            examples.append(Example(pair.id, text, pair.picture))
    return examples


class Captions(Dataset[dict[str, Any]]):
    """Examples as token ids beside a picture or encoder states."""

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerBase,
        recipe: Recipe,
        encoder_states: EncoderStates | None = None,
    ) -> None:
        self._examples, self._encoder_states = examples, encoder_states
        self._labels = [target_ids(tokenizer, example.text, recipe) for example in examples]
        self.lengths = [len(ids) for ids in self._labels]

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, i: int) -> dict[str, Any]:
        example = self._examples[i]
        item: dict[str, Any] = {"labels": self._labels[i]}
        if self._encoder_states is not None:
            item["encoder_states"] = self._encoder_states[example.id]
        else:
            item["image"] = example.picture.read()
        return item


class Collator:
    """Examples to one batch: `labels` and `decoder_input_ids` (B, T), and pictures.

    Pictures are `pixel_values` (B, 3, H, W) or `encoder_states` (B, S, width). The decoder's inputs
    are the labels shifted right, after the start token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        image_processor: BaseImageProcessor,
        recipe: Recipe,
    ) -> None:
        self._end = tokenizer.eos_token_id
        self._image_processor = image_processor
        self._fixed = None if recipe.pad_to_longest else recipe.max_target_length

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        labels = pad_sequence(
            [torch.tensor(row["labels"]) for row in rows],
            batch_first=True,
            padding_value=IGNORE_INDEX,
        )
        width = self._fixed or -(-labels.shape[1] // PAD_TO_MULTIPLE_OF) * PAD_TO_MULTIPLE_OF
        labels = F.pad(labels, (0, width - labels.shape[1]), value=IGNORE_INDEX)
        inputs = F.pad(labels[:, :-1], (1, 0), value=self._end)
        batch: dict[str, Any] = {
            "labels": labels,
            "decoder_input_ids": inputs.masked_fill(inputs == IGNORE_INDEX, self._end),
        }
        if "encoder_states" in rows[0]:
            batch["encoder_states"] = torch.stack([row["encoder_states"] for row in rows])
        else:
            images = [row["image"] for row in rows]
            batch |= self._image_processor(images, return_tensors="pt")
        return batch


class LengthBucketSampler(Sampler[int]):
    """A random order in which a batch's neighbours have like lengths.

    Like transformers' `LengthGroupedSampler`, but the order follows from `seed` and the epoch, so
    that a resumed run sees the batches of an uninterrupted one.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed = lengths, batch, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        noise = torch.rand(len(self._lengths), generator=generator) * PAD_TO_MULTIPLE_OF
        order = (torch.tensor(self._lengths) + noise).argsort()
        whole = len(order) // self._batch * self._batch
        groups = order[:whole].view(-1, self._batch)
        groups = groups[torch.randperm(len(groups), generator=generator)]
        yield from torch.cat([groups.flatten(), order[whole:]]).tolist()


def drop_words(inputs: Tensor, share: float, vocab_size: int) -> Tensor:
    """Decoder inputs (B, T) with a share of the token ids replaced at random, the first excepted.

    Word dropout (Bowman et al. 2016, arXiv:1511.06349), which makes the decoder rely on the
    picture; there an unknown word takes the place, here a random token.
    """
    replaced = torch.rand(inputs.shape, device=inputs.device) < share
    replaced[:, 0] = False
    noise = torch.randint(vocab_size, inputs.shape, device=inputs.device)
    return torch.where(replaced, noise, inputs)


def drop_conditioning(encoder_states: Tensor, share: float) -> Tensor:
    """Encoder states (B, S, width), those of a share of the samples replaced by null embeddings.

    Conditioning dropout of classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598), by
    which one model is also the unconditional one (`poster2plot.engine.guidance`). The null
    embedding is zero.
    """
    keep = torch.rand(len(encoder_states), 1, 1, device=encoder_states.device) >= share
    return encoder_states * keep


def drop_patches(encoder_states: Tensor, share: float) -> Tensor:
    """Encoder states (B, S, width) less a random share of the patches; the CLS state stays.

    All posters lose the same ones. It is cheaper and regularizes (PatchDropout, Liu et al. 2022,
    arXiv:2208.07220).
    """
    patches = encoder_states.shape[1] - 1
    kept = torch.randperm(patches, device=encoder_states.device)[: round(patches * (1 - share))]
    return torch.cat([encoder_states[:, :1], encoder_states[:, 1 + kept]], dim=1)
