"""Pairs as a captioner's inputs, in batches whose content depends on seed and epoch alone."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase
from transformers.image_processing_utils import BaseImageProcessor

from poster2plot.errors import InputError
from poster2plot.training.beginnings import digest
from poster2plot.training.dataset import Pair, Picture
from poster2plot.training.encoder_states import EncoderStates
from poster2plot.training.recipe import Recipe
from poster2plot.training.target_texts import (
    IGNORE_INDEX,
    TITLE_TOKENS,
    name_spans,
    premise,
    prompt_ids,
)

PAD_TO_MULTIPLE_OF = 8  # tokens; few widths of batches: CPU kernels are prepared for each anew


@dataclass(frozen=True)
class Example:
    """A plot to learn from what is known of the title `id`: its poster, its name, or both."""

    id: str
    text: str
    picture: Picture
    title: str = ""  # empty where the plot is to be learnt without it
    pictured: bool = True  # else the plot is to be learnt without the poster
    worse: str = ""  # a plot that suits them less, where there is one


def target_ids(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], recipe: Recipe
) -> list[list[int]]:
    """Token ids of plots, cut to the recipe's length, closed by the end token if that has room."""
    end = [tokenizer.eos_token_id] if recipe.append_eos else []
    rows = tokenizer([*texts])["input_ids"] if texts else []
    return [[*ids, *end][: recipe.max_target_length] for ids in rows]


def _without_names(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], example: Example
) -> list[int]:
    """Labels of a plot's token ids, of which those of names are no targets."""
    spans = name_spans(example.text, example.title)
    if not spans:
        return list(ids)
    offsets = tokenizer(example.text, return_offsets_mapping=True)["offset_mapping"]
    offsets += [(len(example.text),) * 2]  # of the end token
    return [
        IGNORE_INDEX if any(start < last and first < end for start, end in spans) else token
        for token, (first, last) in zip(ids, offsets, strict=False)
    ]


def to_examples(pairs: Sequence[Pair], recipe: Recipe) -> list[Example]:
    """Pairs whose plots are targets of the recipe's kind; how many are none is told.

    Raises `InputError` where none is.
    """
    examples = []
    for pair in pairs:
        text = pair.text if recipe.targets == "whole" else premise(pair.text)
        if text:
            examples.append(Example(pair.id, text, pair.picture, pair.title))
    if left_out := len(pairs) - len(examples):
        told = (
            f"{left_out} of {len(pairs)} plots are no targets, as they have no premise in letters "
            "of western Europe; --targets whole takes them."
        )
        if not examples:
            raise InputError(told)
        print(told, file=sys.stderr)
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
        self._ids = target_ids(tokenizer, [example.text for example in examples], recipe)
        self._labels = self._ids
        if recipe.mask_names:
            self._labels = [
                _without_names(tokenizer, ids, example)
                for ids, example in zip(self._ids, examples, strict=True)
            ]
        titles = [example.title if recipe.titles else "" for example in examples]
        self._prompts = prompt_ids(tokenizer, titles)
        self.lengths = [
            len(prompt) + len(labels)
            for prompt, labels in zip(self._prompts, self._labels, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._examples)

    def digest(self) -> str:
        """What tells the examples, and their pictures or encoder states, from others."""
        rows: list[object] = [
            (each.id, each.text, each.title, each.pictured, each.worse) for each in self._examples
        ]
        pictures = {example.id: example.picture for example in self._examples}
        states = self._encoder_states
        seen = (
            pictures[id].bytes() if states is None else states[id].numpy().tobytes()
            for id in pictures
        )
        return digest(chain(rows, seen))

    def __getitem__(self, i: int) -> dict[str, Any]:
        example = self._examples[i]
        item: dict[str, Any] = {
            "prompt": self._prompts[i],
            "ids": self._ids[i],
            "labels": self._labels[i],
            "pictured": example.pictured,
        }
        if self._encoder_states is not None:
            item["encoder_states"] = self._encoder_states[example.id]
        else:
            item["image"] = example.picture.read()
        return item


class Collator:
    """Examples to one batch: `labels` and `decoder_input_ids` (B, T), `pictured` (B), and pictures.

    Pictures are `pixel_values` (B, 3, H, W) or `encoder_states` (B, S, width), which do not count
    where `pictured` is false. The decoder's inputs are a prompt and the labels, shifted right.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        image_processor: BaseImageProcessor,
        recipe: Recipe,
    ) -> None:
        self._end = tokenizer.eos_token_id
        self._image_processor = image_processor
        self._recipe = recipe

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        # Labels are the plot's ids, but for those that are no targets.
        inputs = [[*row["prompt"], *row.get("ids", row["labels"])[:-1]] for row in rows]
        labels = [[IGNORE_INDEX] * (len(row["prompt"]) - 1) + row["labels"] for row in rows]
        width = padded_width(max(map(len, labels)), self._recipe)
        batch: dict[str, Any] = {
            "labels": _padded(labels, width, IGNORE_INDEX),
            "decoder_input_ids": _padded(inputs, width, self._end),
            "pictured": torch.tensor([row["pictured"] for row in rows]),
        }
        if "encoder_states" in rows[0]:
            batch["encoder_states"] = torch.stack([row["encoder_states"] for row in rows])
        else:
            images = [row["image"] for row in rows]
            batch |= self._image_processor(images, return_tensors="pt")
        return batch


def padded_width(longest: int, recipe: Recipe) -> int:
    """Tokens of each row of a batch whose longest has so many labels, those of its prompt too."""
    if recipe.pad_to_longest:
        return -(-longest // PAD_TO_MULTIPLE_OF) * PAD_TO_MULTIPLE_OF
    return recipe.max_target_length + (TITLE_TOKENS + 1 if recipe.titles else 0)


def check_positions(lengths: Sequence[int], recipe: Recipe, positions: int) -> None:
    """Raises `InputError` where examples of these `lengths` do not fit a decoder's positions."""
    width = padded_width(max(lengths) - 1, recipe)
    if width > positions:
        raise InputError(
            f"Titles and plots take {width} tokens, and the decoder reads at most {positions}; "
            f"lower --max-target-length, which is {recipe.max_target_length}."
        )


def _padded(rows: Sequence[Sequence[int]], width: int, padding: int) -> Tensor:
    return torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows])


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


def drop_words(inputs: Tensor, labels: Tensor, share: float, vocab_size: int) -> Tensor:
    """Decoder inputs (B, T) with a share of the plots' token ids replaced at random.

    The prompt before a plot, by its labels (B, T), stays. Word dropout (Bowman et al. 2016,
    arXiv:1511.06349) makes the decoder rely on poster and title; there an unknown word takes the
    place, here a random token.
    """
    of_plot = F.pad(labels[:, :-1] != IGNORE_INDEX, (1, 0))
    replaced = of_plot & (torch.rand(inputs.shape, device=inputs.device) < share)
    noise = torch.randint(vocab_size, inputs.shape, device=inputs.device)
    return torch.where(replaced, noise, inputs)


def drop_conditioning(
    inputs: Tensor, labels: Tensor, pictured: Tensor, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Decoder inputs and labels (B, T) and `pictured` (B) with a share of posters and titles gone.

    Conditioning dropout of classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598), by
    which one model is also the unconditional one (`poster2plot.engine.guidance`). A sample loses
    both clues: its plot follows the start token.
    """
    dropped = torch.rand(len(inputs), device=inputs.device) < share
    before_plot = (labels != IGNORE_INDEX).int().argmax(1)  # tokens between start and plot
    position = torch.arange(inputs.shape[1], device=inputs.device)
    source = position + (before_plot * dropped)[:, None]
    beyond = source >= inputs.shape[1]
    source = source.masked_fill(beyond, inputs.shape[1] - 1)
    shifted = torch.cat([inputs[:, :1], inputs.gather(1, source)[:, 1:]], dim=1)
    return (
        shifted,
        labels.gather(1, source).masked_fill(beyond, IGNORE_INDEX),
        pictured & ~dropped,
    )


def drop_patches(encoder_states: Tensor, share: float) -> Tensor:
    """Encoder states (B, S, width) less a random share of the patches; the CLS state stays.

    All posters lose the same ones. It is cheaper and regularizes (PatchDropout, Liu et al. 2022,
    arXiv:2208.07220).
    """
    patches = encoder_states.shape[1] - 1
    kept = torch.randperm(patches, device=encoder_states.device)[: round(patches * (1 - share))]
    return torch.cat([encoder_states[:, :1], encoder_states[:, 1 + kept]], dim=1)
