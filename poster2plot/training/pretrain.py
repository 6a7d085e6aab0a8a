"""The decoder learns the language of plots, as a plain language model without pictures."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    GPT2LMHeadModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

from poster2plot.training.texts import packed_blocks
from poster2plot.training.train import last_checkpoint


class Blocks(Dataset[dict[str, Tensor]]):
    """Blocks (N, T) of token ids; each is its own target, which the model shifts by one."""

    def __init__(self, ids: Tensor) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"input_ids": self._ids[i], "labels": self._ids[i]}


def pretrain_decoder(
    decoder: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    held_out: Sequence[str],
    out: Path,
    *,
    steps: int,
    length: int,
    rate: float = 8e-4,
    batch: int = 16,
    evaluate_every: int = 250,
) -> None:
    """Train on blocks of `length` tokens and leave decoder and tokenizer in `out`.

    The cross-attention is not run and stays as it is. A run that finds its own checkpoints in
    `out` goes on from the last complete one.
    """
    trainer = Trainer(
        model=decoder,
        args=TrainingArguments(
            output_dir=str(out),
            max_steps=steps,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=batch,
            learning_rate=rate,
            lr_scheduler_type="cosine",
            warmup_steps=min(200, steps // 10),
            weight_decay=0.01,
            eval_strategy="steps",
            save_strategy="steps",
            eval_steps=evaluate_every,
            save_steps=evaluate_every,
            save_total_limit=2,
            prediction_loss_only=True,
            logging_steps=50,
            report_to="none",
        ),
        data_collator=default_data_collator,
        train_dataset=Blocks(packed_blocks(tokenizer, texts, length=length, seed=0)),
        eval_dataset=Blocks(packed_blocks(tokenizer, held_out, length=length, seed=0)),
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(out))
    decoder.save_pretrained(out)
    tokenizer.save_pretrained(out)
