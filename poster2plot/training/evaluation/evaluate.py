"""Does the model look at the poster, and does it say something fitting and different to each?"""

import csv
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput

from poster2plot.checkpoints.loading import Checkpoint
from poster2plot.pipeline import Poster2Plot
from poster2plot.settings import GenerationSettings
from poster2plot.training.batches import Collator, target_ids
from poster2plot.training.dataset import Dataset, Pair
from poster2plot.training.evaluation.contact_sheet import Entry, contact_sheet
from poster2plot.training.evaluation.retrieval import Similarity, similarity
from poster2plot.training.recipe import Recipe
from poster2plot.training.train import token_loss

ENGLISH = {"en", "English"}
Embed = Callable[[Sequence[str]], Tensor]


@dataclass(frozen=True)
class Losses:
    """Mean teacher-forced loss on true plots, in nats a token, by what conditions it."""

    right: float
    shuffled: float
    unconditional: float

    @property
    def picture_gain(self) -> float:
        """What the right poster is worth against another title's; 0 means blind."""
        return self.shuffled - self.right


@dataclass(frozen=True)
class Diversity:
    """How different a set of plots is."""

    unique: float  # share of distinct plots
    commonest_opening: float  # share of plots that begin with the commonest four words
    opening: str
    whole: float  # share that ends in a full sentence

    @classmethod
    def of(cls, plots: Sequence[str]) -> "Diversity":
        openings = Counter(" ".join(plot.split()[:4]) for plot in plots)
        opening, count = openings.most_common(1)[0]
        whole = sum(plot.rstrip("\"'”’")[-1:] in {".", "!", "?"} for plot in plots)
        return cls(len(set(plots)) / len(plots), count / len(plots), opening, whole / len(plots))


@dataclass(frozen=True)
class Comparison:
    """A source of plots (the model or a baseline) against the references."""

    name: str
    similarity: Similarity
    diversity: Diversity


@dataclass(frozen=True)
class Evaluation:
    """All figures of a checkpoint on a split."""

    checkpoint: str
    split: str
    settings: GenerationSettings
    losses: Losses
    pairs: tuple[Pair, ...]
    plots: tuple[str, ...]
    sources: tuple[Comparison, ...]  # the model first
    ceiling: Comparison | None  # another human's plot, for titles that have one

    def markdown(self) -> str:
        """Every figure as Markdown tables."""
        guidance = self.settings.guidance
        lines = [
            f"`{Path(self.checkpoint).name}` on {len(self.pairs)} pairs of the {self.split} split; "
            f"{self.settings.num_beams} beams, {self.settings.max_length} tokens, "
            f"guidance {guidance:g}.",
            "",
            "| loss, nats a token | |",
            "|---|---|",
            f"| with the right poster | {self.losses.right:.3f} |",
            f"| with another title's | {self.losses.shuffled:.3f} |",
            f"| without a poster | {self.losses.unconditional:.3f} |",
            f"| picture gain | {self.losses.picture_gain:.4f} |",
            "",
            "| plots of | titles | cosine | margin | R@10 | unique | whole | commonest opening |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for source in (*self.sources, *([self.ceiling] if self.ceiling else [])):
            found, diversity = source.similarity, source.diversity
            lines.append(
                f"| {source.name} | {len(found.cosine)} | {found.cosine.mean():.3f} "
                f"| {found.margin.mean():.3f} | {found.hits.mean():.3f} "
                f"| {diversity.unique:.1%} | {diversity.whole:.1%} "
                f"| {diversity.commonest_opening:.1%} “{diversity.opening}” |"
            )
        lines += ["", "| group | titles | cosine | margin | R@10 |", "|---|---|---|---|---|"]
        for name, chosen in self._groups():
            found, rows = self.sources[0].similarity, torch.tensor(chosen)
            lines.append(
                f"| {name} | {len(chosen)} | {found.cosine[rows].mean():.3f} "
                f"| {found.margin[rows].mean():.3f} | {found.hits[rows].mean():.3f} |"
            )
        return "\n".join(lines) + "\n"

    def save(self, folder: Path, *, shown: int) -> None:
        """Write `evaluation.md`, `plots.csv`, and a sheet of the first `shown` posters."""
        (folder / "evaluation.md").write_text(self.markdown(), encoding="utf-8")
        with (folder / "plots.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "title", "plot", "true"])
            for pair, plot in zip(self.pairs, self.plots, strict=True):
                writer.writerow([pair.id, pair.title, plot, pair.text])
        entries = [
            Entry(
                pair.picture.read(),
                f"{pair.title or pair.id} ({pair.language or '?'})",
                (("written", plot), ("true", pair.text)),
            )
            for pair, plot in list(zip(self.pairs, self.plots, strict=True))[:shown]
        ]
        contact_sheet(entries).save(folder / "contact-sheet.png")

    def _groups(self, smallest: int = 10) -> Iterator[tuple[str, list[int]]]:
        """Titles by kind, by English or not, and by each language with `smallest` titles."""
        kinds = sorted({pair.kind for pair in self.pairs})
        for kind in kinds:
            yield kind or "kind unknown", [i for i, p in enumerate(self.pairs) if p.kind == kind]
        known = [i for i, pair in enumerate(self.pairs) if pair.language]
        foreign = [i for i in known if self.pairs[i].language not in ENGLISH]
        if foreign:
            yield "not English", foreign
        for language, count in Counter(pair.language for pair in self.pairs).most_common():
            if count >= smallest:
                rows = [i for i, pair in enumerate(self.pairs) if pair.language == language]
                yield f"language {language or 'unknown'}", rows


def evaluate(
    checkpoint: Checkpoint,
    dataset: Dataset,
    split: str,
    embed: Embed,
    *,
    settings: GenerationSettings,
    cache: Path,
    max_pairs: int | None = None,
) -> Evaluation:
    """Measure a model on a split, or on `max_pairs` random pairs of it, beside simple baselines.

    The nearest neighbour copies the plot of the training poster whose mean encoder state is most
    like this one's; `cache` keeps those of the training posters.
    """
    pairs = dataset.split(split)
    if max_pairs is not None and max_pairs < len(pairs):
        pairs = random.Random(0).sample(pairs, max_pairs)
    p2p = Poster2Plot(replace(checkpoint, model=deepcopy(checkpoint.model)))
    settings = p2p.resolve(settings)
    images = [pair.picture.read() for pair in pairs]
    plots: list[str] = []
    for start in range(0, len(images), 64):
        found = p2p.generate(images[start : start + 64], settings)
        plots += [best.text for best, *_ in found]
        print(f"{len(plots)} of {len(images)} plots", flush=True)
    references = [
        embed(list(dict.fromkeys([pair.text, *dataset.references.get(pair.id, ())])))
        for pair in pairs
    ]

    train = dataset.split("train")
    vectors = _mean_encoder_states(checkpoint, images)
    nearest = (vectors @ _train_mean_states(checkpoint, train, cache).T).argmax(-1).tolist()
    chance = random.Random(0)
    sources = {
        "the model": plots,
        "nearest neighbour": [train[i].text for i in nearest],
        "random plot": [chance.choice(train).text for _ in pairs],
    }
    others = [i for i, pair in enumerate(pairs) if len(references[i]) > 1]
    ceiling = None
    if len(others) > 1:
        own = torch.stack([references[i][0] for i in others])
        ceiling = Comparison(
            "another human",
            similarity(own, [references[i][1:] for i in others]),
            Diversity.of([pairs[i].text for i in others]),
        )
    return Evaluation(
        checkpoint.name,
        split,
        settings,
        measure_losses(checkpoint, pairs, images),
        tuple(pairs),
        tuple(plots),
        tuple(
            Comparison(name, similarity(embed(texts), references), Diversity.of(texts))
            for name, texts in sources.items()
        ),
        ceiling,
    )


@torch.inference_mode()
def measure_losses(
    checkpoint: Checkpoint, pairs: Sequence[Pair], images: Sequence[Image.Image], *, batch: int = 16
) -> Losses:
    """Losses on whole plots, cut at 64 tokens: right poster, another title's, null embedding."""
    recipe = Recipe(encoder="", decoder="", pad_to_longest=True)
    collate = Collator(checkpoint.tokenizer, checkpoint.image_processor, recipe)
    encoder_states = torch.cat(
        [
            encode(checkpoint, images[i : i + batch]).half().cpu()
            for i in range(0, len(images), batch)
        ]
    )
    totals, tokens = [0.0, 0.0, 0.0], 0
    shuffled = torch.arange(len(pairs)).roll(1)  # nobody gets its own
    for start in range(0, len(pairs), batch):
        rows = torch.arange(start, min(start + batch, len(pairs)))
        conditions = (
            encoder_states[rows],
            encoder_states[shuffled[rows]],
            torch.zeros_like(encoder_states[rows, :1]),
        )
        labels = [target_ids(checkpoint.tokenizer, pairs[i].text, recipe) for i in rows.tolist()]
        inputs = collate(
            [
                {"labels": ids, "encoder_states": s}
                for ids, s in zip(labels, conditions[0], strict=True)
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


def encode(checkpoint: Checkpoint, images: Sequence[Image.Image]) -> Tensor:
    """Last hidden states (B, S, width) of the encoder."""
    pixels = checkpoint.image_processor(list(images), return_tensors="pt")["pixel_values"]
    states: Tensor = checkpoint.model.encoder(pixels.to(checkpoint.device)).last_hidden_state
    return states


@torch.inference_mode()
def _mean_encoder_states(
    checkpoint: Checkpoint, images: Sequence[Image.Image], *, batch: int = 32
) -> Tensor:
    """Unit means (N, width) of the encoder states of N images."""
    means = [
        encode(checkpoint, images[i : i + batch]).mean(1).cpu()
        for i in range(0, len(images), batch)
    ]
    return F.normalize(torch.cat(means), dim=-1)


def _train_mean_states(checkpoint: Checkpoint, train: Sequence[Pair], cache: Path) -> Tensor:
    """Mean states of the training posters, kept in `cache` under the encoder's and their digest."""
    digest = hashlib.sha256(repr([pair.id for pair in train]).encode())
    for parameter in checkpoint.model.encoder.parameters():
        digest.update(parameter.detach().cpu().numpy().tobytes())
    path = cache / f"neighbours-{digest.hexdigest()[:16]}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        parts = []
        for start in range(0, len(train), 512):
            images = [pair.picture.read() for pair in train[start : start + 512]]
            parts.append(_mean_encoder_states(checkpoint, images).numpy())
            print(f"{start + len(images)} of {len(train)} training posters", flush=True)
        np.save(path, np.concatenate(parts))
    return torch.from_numpy(np.load(path))
