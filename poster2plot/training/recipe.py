"""Recipes: everything that a fine-tune depends on besides its data.

`ORIGINAL` is the notebook of deepklarity/poster2plot (2021); `SMALL` made the bundled model.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from poster2plot.settings import RANGES

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Targets = Literal["whole", "premise"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyperparameters of a fine-tune; they check themselves and raise `ValueError`."""

    encoder: str  # name or path of a vision encoder, or of a captioner that has one
    decoder: str  # name or path of a GPT-2 language model, or of a captioner that has one

    titles: bool = False  # are prompts; the tokenizer needs a separator token
    targets: Targets = "whole"  # plots, or their opening `target_texts.premise`
    max_target_length: int = 64  # tokens, the end token among them
    mask_names: bool = False  # names are no targets, but for a title's (`target_texts.name_spans`)
    append_eos: bool = True  # else the model never learns to stop, like the original
    pad_to_longest: bool = False  # pad to max_target_length always, or to the longest of a batch

    epochs: float = 5
    batch: int = 32  # pairs a step, over all processes
    learning_rate: float = 1e-5
    cross_attention_rate: float | None = None  # its learning rate where it differs
    scheduler: str = "linear"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    train_encoder: bool = True
    word_dropout: float = 0.0  # share of decoder inputs replaced (`batches.drop_words`)
    conditioning_dropout: float = 0.0  # share of samples with neither poster nor title
    patch_dropout: float = 0.0  # share of patches left out of a batch (`batches.drop_patches`)
    precision: Precision = "auto"  # fp16 on CUDA, fp32 on a CPU
    keep_best: bool = True  # checkpoint by its loss on the validation pairs, else the last
    seed: int = 42

    num_beams: int = 4
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 3
    guidance: float = 1.0  # recommended to whoever decodes

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number.")
        for name in ("max_target_length", "epochs", "batch", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0.")
        for name in ("cross_attention_rate", "warmup_steps", "weight_decay"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must be at least 0.")
        for name in ("num_beams", "length_penalty", "no_repeat_ngram_size", "guidance", "seed"):
            low, high = RANGES[name]
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie between {low} and {high}.")
        for name in ("word_dropout", "conditioning_dropout", "patch_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1.")

    def to_json(self) -> dict[str, Any]:
        """The fields under their names in `training.json`."""
        return {SAVED_NAMES.get(name, name): value for name, value in asdict(self).items()}


ORIGINAL = Recipe(
    encoder="google/vit-base-patch16-224-in21k",
    decoder="gpt2",
    length_penalty=2.0,
)

SMALL = Recipe(
    encoder="runs/bundled/aligned",
    decoder="runs/bundled/language-model",
    titles=True,
    targets="premise",
    mask_names=True,
    pad_to_longest=True,
    epochs=1,
    batch=32,
    learning_rate=4e-4,
    cross_attention_rate=1e-3,
    scheduler="cosine",
    warmup_steps=100,
    weight_decay=0.01,
    train_encoder=False,
    word_dropout=0.05,
    conditioning_dropout=0.12,
    patch_dropout=0.6,
    keep_best=False,
    length_penalty=2.0,
    no_repeat_ngram_size=2,
    guidance=2.0,
)

# Of fields, where `training.json` has others.
SAVED_NAMES = {"word_dropout": "token_dropout", "conditioning_dropout": "picture_dropout"}

PRESETS = {"original": ORIGINAL, "small": SMALL}
