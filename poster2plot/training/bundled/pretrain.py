"""The decoder learns the language of plots, as a plain language model without pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import (
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

from poster2plot.training.beginnings import digest, identity
from poster2plot.training.target_texts import (
    IGNORE_INDEX,
    PackedBlocks,
    Plot,
    lessons,
    packed_blocks,
)
from poster2plot.training.train import mean_loss, train_or_resume
from poster2plot.training.whole import whole_folder

DROPOUT = 0.1


class Blocks(Dataset[dict[str, Tensor]]):
    """What `packed_blocks` made, one block an item."""

    def __init__(self, *epochs: PackedBlocks) -> None:
        self._columns = {name: torch.cat([blocks[name] for blocks in epochs]) for name in epochs[0]}

    def __len__(self) -> int:
        return len(self._columns["input_ids"])

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {name: column[i] for name, column in self._columns.items()}


class BlockTrainer(Trainer):  # type: ignore[misc]
    """Computes logits for targets alone: the vocabulary's product is half of a small decoder."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any
    ) -> Any:
        """Cross-entropy in nats a target."""
        nats = self._nats(model, inputs)[0]
        return (nats.mean(), {}) if return_outputs else nats.mean()

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any
    ) -> tuple[None, Tensor, Tensor]:
        """Nats and targets of each block (B,), where others give logits and labels: `mean_loss`."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            nats, wanted = self._nats(model, inputs)
        by_block = torch.zeros(len(wanted), device=nats.device)
        by_block.index_add_(0, wanted.nonzero()[:, 0], nats.float())
        return None, by_block, wanted.sum(-1)

    def _nats(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Nats of each target, in the order of the blocks, and where those are, (B, T - 1)."""
        targets = inputs["labels"][:, 1:]
        wanted = targets != IGNORE_INDEX
        with self.accelerator.autocast():  # wraps the model's own `forward` alone otherwise
            # Without a cache transformers tells the plots of a block apart by their positions.
            hidden = model.base_model(
                input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], use_cache=False
            ).last_hidden_state[:, :-1]
            logits = model.lm_head(hidden[wanted])
            return F.cross_entropy(logits, targets[wanted], reduction="none"), wanted


def pretrain_decoder(
    decoder: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerBase,
    plots: Sequence[Plot],
    held_out: Sequence[Plot],
    out: Path,
    *,
    epochs: int,
    block_size: int,
    learning_rate: float,
    batch: int,
    bf16: bool,
    title_dropout: float = 0.3,
) -> None:
    """Train for `epochs` on the plots and leave decoder and tokenizer in `out`.

    `batch` counts blocks of `block_size` tokens. The cross-attention is not run and stays as it
    is. A run that finds its own checkpoints in `out` goes on from the last complete one.
    """
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(out)  # first: the decoder there tells that all is done

    def blocks(plots: Sequence[Plot], *, seed: int, title_dropout: float = 0.0) -> PackedBlocks:
        length = decoder.config.n_positions
        taught = lessons(
            tokenizer, plots, max_length=length, seed=seed, title_dropout=title_dropout
        )
        return packed_blocks(taught, block_size=block_size, padding=tokenizer.eos_token_id)

    for module in decoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = DROPOUT  # not in the config: what follows sees each text once
    held_out = [plot for plot in held_out if plot.title]
    train_on_blocks(
        decoder,
        # All epochs in one, each of which drops other titles.
        Blocks(*(blocks(plots, seed=seed, title_dropout=title_dropout) for seed in range(epochs))),
        {
            "titled": Blocks(blocks(held_out, seed=0)),
            "untitled": Blocks(blocks(held_out, seed=0, title_dropout=1)),
        },
        out,
        learning_rate=learning_rate,
        batch=batch,
        bf16=bf16,
        settings={
            "decoder": identity(decoder.name_or_path, decoder),
            "epochs": epochs,
            "plots": digest([*plots, *held_out]),
        },
    )


def train_on_blocks(
    model: PreTrainedModel,
    train: Blocks,
    held_out: dict[str, Blocks],
    out: Path,
    *,
    learning_rate: float,
    batch: int,
    bf16: bool,
    settings: Mapping[str, Any],
    evaluate_every: int = 250,
) -> None:
    """Train a language model on each block once and leave it in `out`.

    `batch` counts blocks. A run that finds its own checkpoints goes on from the last complete one,
    as `train_or_resume` does; `settings` are what model and blocks follow from.
    """
    trainer = BlockTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(out),
            use_cpu=not torch.cuda.is_available(),
            bf16=bf16,
            num_train_epochs=1,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=batch,
            learning_rate=learning_rate,
            lr_scheduler_type="cosine",
            optim="adamw_torch_fused",
            warmup_steps=0.05,  # share of all
            weight_decay=0.01,
            eval_strategy="steps",
            save_strategy="steps",
            eval_steps=evaluate_every,
            save_steps=evaluate_every,
            save_total_limit=1,
            prediction_loss_only=True,
            logging_steps=50,
            dataloader_pin_memory=torch.cuda.is_available(),
            report_to="none",
        ),
        data_collator=default_data_collator,
        train_dataset=train,
        eval_dataset=held_out,
        compute_metrics=mean_loss,
    )
    own = {"learning_rate": learning_rate, "batch": batch, "precision": "bf16" if bf16 else "fp32"}
    train_or_resume(trainer, out, {**settings, **own})
    with whole_folder(out) as part:
        model.save_pretrained(part)
