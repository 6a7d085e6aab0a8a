"""The fine-tune: transformers' `Trainer`, on one CPU or GPU or many of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import PartialState
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Sampler
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    VisionEncoderDecoderModel,
)
from transformers.modeling_outputs import BaseModelOutput

from poster2plot.errors import InputError
from poster2plot.training.batches import (
    Captions,
    Collator,
    LengthBucketSampler,
    drop_conditioning,
    drop_patches,
    drop_words,
)
from poster2plot.training.beginnings import hold_to_beginning, identity, note_beginning
from poster2plot.training.compose import Captioner
from poster2plot.training.recipe import Recipe
from poster2plot.training.target_texts import IGNORE_INDEX
from poster2plot.training.whole import whole_file

LOG = "training.json"  # of a finished run: how it was made
# Of a recipe, what the weights do not depend on.
DECODING = {"num_beams", "length_penalty", "no_repeat_ngram_size", "guidance"}


def token_loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | None = None) -> Tensor:
    """Cross-entropy in nats a token.

    `num_items_in_batch` counts the tokens of all processes and accumulated batches, so that each
    token weighs the same on any number of devices. (The loss of `VisionEncoderDecoderModel` itself
    ignores the count that the Trainer passes it.)
    """
    total = F.cross_entropy(
        outputs.logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
    )
    count = (labels != IGNORE_INDEX).sum() if num_items_in_batch is None else num_items_in_batch
    return total / count


def mean_loss(prediction: EvalPrediction) -> dict[str, float]:
    """Nats a token over all batches, of what a `prediction_step` gave for each row.

    The Trainer's own is the mean over batches, of which the last is small and weighs as much.
    """
    nats, tokens = prediction.predictions, prediction.label_ids
    return {"loss": float(nats.sum() / tokens.sum())}


class BatchedExamples(Protocol):
    """What a captioner learns from: items for the trainer's collator, and their lengths."""

    lengths: list[int]  # tokens

    def __len__(self) -> int:
        """How many."""

    def digest(self) -> str:
        """What tells them from others."""

    def __getitem__(self, i: int) -> Any:
        """One of them."""


# Not `Seq2SeqTrainer`, which measures the rows twice that fill up the last batch of processes.
class CaptionTrainer(Trainer):  # type: ignore[misc]
    """`Trainer` with the recipe's dropouts, learning rates and order of batches."""

    def __init__(
        self,
        captioner: Captioner,
        recipe: Recipe,
        args: TrainingArguments,
        train: BatchedExamples,
        valid: Captions,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        self._recipe = recipe
        super().__init__(
            model=captioner.model,
            args=args,
            data_collator=Collator(captioner.tokenizer, captioner.image_processor, recipe),
            train_dataset=train,
            eval_dataset=valid,
            compute_loss_func=token_loss,
            compute_metrics=mean_loss,
            callbacks=list(callbacks),
        )
        # Its forward passes unknown arguments on to the encoder, which does not want the count.
        self.model_accepts_loss_kwargs = False
        self._pictured = torch.empty(0)  # (B,) of the batch that the encoder reads
        captioner.model.encoder.register_forward_hook(self._condition_hook)

    def _condition_hook(self, encoder: PreTrainedModel, _: Any, output: BaseModelOutput) -> None:
        output["last_hidden_state"] = self._condition(
            output.last_hidden_state, training=encoder.training
        )

    def _condition(self, encoder_states: Tensor, *, training: bool) -> Tensor:
        """Encoder states (B, S, width) after PatchDropout, zero where a poster does not count."""
        if training and self._recipe.patch_dropout:
            encoder_states = drop_patches(encoder_states, self._recipe.patch_dropout)
        return encoder_states * self._pictured.to(encoder_states)[:, None, None]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **options: Any) -> Any:
        """The loss on saved encoder states or pictures, with dropouts where the model trains."""
        recipe, inputs = self._recipe, dict(inputs)
        if model.training and recipe.conditioning_dropout:
            inputs["decoder_input_ids"], inputs["labels"], inputs["pictured"] = drop_conditioning(
                inputs["decoder_input_ids"],
                inputs["labels"],
                inputs["pictured"],
                recipe.conditioning_dropout,
            )
        if model.training and recipe.word_dropout:
            size = self.model.decoder.config.vocab_size
            corrupted = drop_words(
                inputs["decoder_input_ids"], inputs["labels"], recipe.word_dropout, size
            )
            inputs["decoder_input_ids"] = corrupted
        self._pictured = inputs.pop("pictured")
        if "encoder_states" in inputs:
            states = self._condition(inputs.pop("encoder_states"), training=model.training)
            inputs["encoder_outputs"] = BaseModelOutput(last_hidden_state=states)
        return super().compute_loss(model, inputs, *args, **options)

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any
    ) -> tuple[None, Tensor, Tensor]:
        """Nats and tokens of each row (B,), where others give logits and labels: `mean_loss`."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            _, outputs = self.compute_loss(model, inputs, return_outputs=True)
        labels = inputs["labels"]
        nats = F.cross_entropy(
            outputs.logits.float().transpose(1, 2),
            labels,
            ignore_index=IGNORE_INDEX,
            reduction="none",
        )
        return None, nats.sum(-1), (labels != IGNORE_INDEX).sum(-1)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW; the cross-attention learns at its own rate where the recipe gives one."""
        recipe = self._recipe
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for name, parameter in (model or self.model).named_parameters():
            if not parameter.requires_grad:
                continue
            new = "cross" in name or "enc_to_dec_proj" in name
            own = recipe.cross_attention_rate if new else None  # may be 0
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            key = (recipe.learning_rate if own is None else own, decay)
            groups.setdefault(key, []).append(parameter)
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            [
                {"params": parameters, "lr": rate, "weight_decay": decay}
                for (rate, decay), parameters in groups.items()
            ],
            fused=True,
        )
        return self.optimizer

    # The Trainer reads the file of weights by the model's own names and passes over others in
    # silence, but a ViT is saved under the names of 2021: resuming would lose the encoder.
    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        saved = VisionEncoderDecoderModel.from_pretrained(
            resume_from_checkpoint, dtype=torch.float32
        ).state_dict()
        model = model or self.model
        model.load_state_dict({name: saved[name] for name in model.state_dict()})

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        if not self._recipe.pad_to_longest:
            sampler: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return sampler
        return LengthBucketSampler(
            self.train_dataset.lengths, self._recipe.batch, self._recipe.seed
        )


def train_captioner(
    captioner: Captioner,
    recipe: Recipe,
    train: BatchedExamples,
    valid: Captions,
    out: Path,
    *,
    evaluate_every: int | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    trainer_class: type[CaptionTrainer] = CaptionTrainer,
) -> None:
    """Fine-tune and leave the checkpoint in `out`, with the recipe and a log beside it.

    Evaluates and saves every `evaluate_every` steps, else once an epoch. A run that finds its own
    checkpoints in `out` goes on from the last complete one, as `train_or_resume` does.
    """
    args = training_arguments(recipe, out, evaluate_every=evaluate_every)
    trainer = trainer_class(captioner, recipe, args, train, valid, callbacks)
    settings = {
        **{name: value for name, value in asdict(recipe).items() if name not in DECODING},
        "encoder": identity(recipe.encoder, captioner.model.encoder),
        "decoder": identity(recipe.decoder, captioner.model.decoder),
        "evaluate_every": evaluate_every,
        "training_data": train.digest(),
        "validation_data": valid.digest(),
    }
    train_or_resume(trainer, out, settings)
    if trainer.is_world_process_zero():
        captioner.save(out)
        made = {
            "recipe": recipe.to_json(),
            "processes": args.world_size,
            "log": trainer.state.log_history,
        }
        with whole_file(out / LOG) as part:
            part.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def train_or_resume(trainer: Trainer, out: Path, settings: Mapping[str, Any]) -> None:
    """Train, from the last complete checkpoint in `out` where there is one.

    Raises `InputError` where that is of a run that was begun with other settings.
    """
    checkpoint = last_checkpoint(out)
    if checkpoint:
        hold_to_beginning(out, settings)
    elif trainer.is_world_process_zero():
        note_beginning(out, settings)
    trainer.train(resume_from_checkpoint=checkpoint)


def training_arguments(
    recipe: Recipe, out: Path, *, evaluate_every: int | None
) -> TrainingArguments:
    """The recipe in the Trainer's terms. Raises `ValueError` for a batch that cannot be shared."""
    cuda = torch.cuda.is_available()
    processes = PartialState(cpu=not cuda).num_processes
    if recipe.batch % processes:
        raise ValueError(f"A batch of {recipe.batch} does not divide among {processes} processes.")
    precision = recipe.precision
    if precision == "auto":
        precision = "fp16" if cuda else "fp32"
    when = "epoch" if evaluate_every is None else "steps"
    return TrainingArguments(
        output_dir=str(out),
        use_cpu=not cuda,  # else accelerate would overlook the processes of torchrun
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch // processes,
        per_device_eval_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.scheduler,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        fp16=precision == "fp16",
        bf16=precision == "bf16",
        seed=recipe.seed,
        eval_strategy=when,
        save_strategy=when,
        eval_steps=evaluate_every,
        save_steps=evaluate_every or 500,
        save_total_limit=2,
        load_best_model_at_end=recipe.keep_best,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        prediction_loss_only=True,
        logging_steps=25,
        remove_unused_columns=False,
        dataloader_num_workers=8 if cuda else 0,  # a GPU waits for decoded pictures
        dataloader_pin_memory=cuda,
        report_to="none",
    )


def finished_run(folder: Path) -> Path:
    """The log of a run. Raises `InputError` where the folder holds none that is finished."""
    if not (folder / LOG).is_file():
        raise InputError(f"{str(folder)!r} holds no finished training run; run `train` first.")
    return folder / LOG


def last_checkpoint(out: Path) -> str | None:
    """The newest checkpoint that was written to its end; the trainer's state is its last file."""
    complete = []
    for path in out.glob("checkpoint-*/trainer_state.json"):
        try:
            complete.append((json.loads(path.read_text(encoding="utf-8"))["global_step"], path))
        except (ValueError, KeyError):
            continue
    return str(max(complete)[1].parent) if complete else None
