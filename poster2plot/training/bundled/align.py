"""The encoder learns what plots are about: its last layers predict a poster's plot embedding.

A captioner trained on few pairs alone hardly looks at the picture. Predicting the sentence
embedding of the plot is an easier lesson on the same
pairs, and leaves what the decoder needs in the encoder's CLS state. The loss is the contrastive
one of CLIP (InfoNCE; Radford et al. 2021, arXiv:2103.00020) against fixed text embeddings.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import EvalPrediction, Trainer, TrainingArguments, ViTModel
from transformers.image_processing_utils import BaseImageProcessor

from poster2plot.errors import InputError
from poster2plot.training.beginnings import digest, identity
from poster2plot.training.dataset import Pair
from poster2plot.training.encoder_states import EncoderStates, save_encoder_states
from poster2plot.training.evaluation.retrieval import Embedder, similarity
from poster2plot.training.train import train_or_resume
from poster2plot.training.whole import whole_folder


class Aligner(torch.nn.Module):
    """The trained end of an encoder, and a linear map from its CLS state to plot embeddings.

    `frozen` layers of `encoder` have run already. In training a random share of the patches,
    `keep_rate`, goes through, which is cheaper and regularizes (PatchDropout, Liu et al. 2022,
    arXiv:2208.07220).
    """

    def __init__(
        self, encoder: ViTModel, *, frozen: int, embedding_width: int, keep_rate: float = 0.4
    ) -> None:
        super().__init__()
        self.layers = encoder.layers[frozen:]
        self.layernorm = encoder.layernorm
        self.head = torch.nn.Linear(encoder.config.hidden_size, embedding_width)
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.keep_rate = keep_rate

    def encode(self, hidden: Tensor) -> Tensor:
        """The encoder's last hidden states (B, S, width) from those of the frozen layers."""
        for layer in self.layers:
            hidden = layer(hidden)
        normed: Tensor = self.layernorm(hidden)
        return normed

    def forward(self, hidden: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss and predictions (B, E) for hidden states (B, S, width) and embeddings (B, E)."""
        if self.training:
            patches = hidden.shape[1] - 1
            chosen = torch.randperm(patches, device=hidden.device)[: int(patches * self.keep_rate)]
            hidden = torch.cat([hidden[:, :1], hidden[:, 1 + chosen]], dim=1)
        predicted = F.normalize(self.head(self.encode(hidden)[:, 0]), dim=-1)
        logits = self.log_scale.exp() * predicted @ F.normalize(labels, dim=-1).T  # (B, B)
        own = torch.arange(len(logits), device=logits.device)
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        return {"loss": loss, "logits": predicted}


class Alignment(Dataset[dict[str, Tensor]]):
    """Hidden states of posters after the frozen layers, and embeddings (N, E) of their plots."""

    def __init__(self, hidden: EncoderStates, pairs: Sequence[Pair], embeddings: Tensor) -> None:
        self._hidden, self._pairs, self._embeddings = hidden, pairs, embeddings

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"hidden": self._hidden[self._pairs[i].id], "labels": self._embeddings[i]}


class AlignmentTrainer(Trainer):  # type: ignore[misc]
    """Learns from whole batches alone, and is measured on every pair."""

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """The validation pairs; the Trainer would leave out a last batch that is not whole."""
        self.args.dataloader_drop_last = False
        loader = super().get_eval_dataloader(eval_dataset)
        self.args.dataloader_drop_last = True
        return loader


def align_encoder(
    encoder: ViTModel,
    image_processor: BaseImageProcessor,
    train: Sequence[Pair],
    valid: Sequence[Pair],
    embedder: Embedder,
    out: Path,
    *,
    frozen: int,
    epochs: int,
    batch: int,
    learning_rate: float = 3e-4,
) -> None:
    """Train the layers after the first `frozen` and leave encoder and processor in `out`.

    `states.npy` there holds the aligned encoder's last hidden states of all posters for the
    fine-tune. A batch has at most all training pairs. A run that finds its own checkpoints goes on
    from the last complete one, as `train_or_resume` does. Raises `InputError` for more frozen
    layers than there are, and for fewer than two training pairs.
    """
    layers = len(encoder.layers)
    if frozen > layers:
        raise InputError(f"The encoder has {layers} layers; lower --frozen, which is {frozen}.")
    if len(train) < 2:
        raise InputError("A single training pair has nothing to be told from; prepare more.")
    out.mkdir(parents=True, exist_ok=True)
    pairs = [*train, *valid]
    settings = {
        "encoder": identity(encoder.name_or_path, encoder),
        "frozen": frozen,
        "posters": digest(row for pair in pairs for row in (pair.id, pair.picture.bytes())),
    }
    path = out / f"frozen-{digest(settings.values())}.npy"
    if not path.with_suffix(".ids").exists():
        save_encoder_states(path, pairs, _frozen_hidden_states(encoder, image_processor, frozen))
    hidden = EncoderStates(path)
    embeddings = embedder([pair.text for pair in pairs])
    embeddings = embeddings - embeddings[: len(train)].mean(0)  # what all plots share says nothing
    aligner = Aligner(encoder, frozen=frozen, embedding_width=embeddings.shape[1])
    trainer = AlignmentTrainer(
        model=aligner,
        args=TrainingArguments(
            output_dir=str(out),
            num_train_epochs=epochs,
            per_device_train_batch_size=min(batch, len(train)),
            per_device_eval_batch_size=batch,
            learning_rate=learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=40,
            weight_decay=0.05,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=2,
            load_best_model_at_end=True,
            metric_for_best_model="eval_recall",
            greater_is_better=True,
            dataloader_drop_last=True,
            dataloader_pin_memory=torch.cuda.is_available(),
            logging_steps=20,
            report_to="none",
        ),
        train_dataset=Alignment(hidden, train, embeddings[: len(train)]),
        eval_dataset=Alignment(hidden, valid, embeddings[len(train) :]),
        compute_metrics=_recall,
    )
    settings |= {
        "embedder": embedder.identity,
        "plots": digest((pair.split, pair.text) for pair in pairs),
        "epochs": epochs,
        "batch": batch,
        "learning_rate": learning_rate,
    }
    train_or_resume(trainer, out, settings)
    with whole_folder(out) as part:
        encoder.save_pretrained(part)
        image_processor.save_pretrained(part)
    aligner.eval()
    device = aligner.head.weight.device
    save_encoder_states(
        out / "states.npy",
        pairs,
        lambda some: aligner.encode(torch.stack([hidden[pair.id] for pair in some]).to(device)),
    )


def _frozen_hidden_states(
    encoder: ViTModel, image_processor: BaseImageProcessor, layers: int
) -> Callable[[Sequence[Pair]], Tensor]:
    encoder.eval()

    def encode(pairs: Sequence[Pair]) -> Tensor:
        images = [pair.picture.read() for pair in pairs]
        hidden = encoder.embeddings(image_processor(images, return_tensors="pt")["pixel_values"])
        for layer in encoder.layers[:layers]:
            hidden = layer(hidden)
        found: Tensor = hidden
        return found

    return encode


def _recall(prediction: EvalPrediction) -> dict[str, float]:
    predicted = torch.from_numpy(prediction.predictions)
    wanted = F.normalize(torch.from_numpy(prediction.label_ids), dim=-1)
    found = similarity(predicted, [*wanted[:, None]])
    return {"recall": float(found.hits.mean()), "margin": float(found.margin.mean())}
