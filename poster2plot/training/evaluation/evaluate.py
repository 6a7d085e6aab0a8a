"""Does the model look at poster and title, and does it say something fitting and different?"""

import csv
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from poster2plot.checkpoints.loading import Checkpoint
from poster2plot.pipeline import Poster2Plot
from poster2plot.settings import GenerationSettings
from poster2plot.title_reading.reader import TitleReader
from poster2plot.training.dataset import Dataset, Pair
from poster2plot.training.evaluation.contact_sheet import Entry, contact_sheet
from poster2plot.training.evaluation.copier import copied_plots
from poster2plot.training.evaluation.losses import Losses, encode_all, measure_losses
from poster2plot.training.evaluation.retrieval import (
    POOL_SIZE,
    RECALL_AT,
    Embedder,
    Similarity,
    similarity,
)
from poster2plot.training.evaluation.wording import Wording, vocabulary
from poster2plot.training.target_texts import openings
from poster2plot.training.whole import whole_file

ENGLISH = {"en", "English"}
T = TypeVar("T")
Judge = Callable[[Sequence[str]], float]


@dataclass(frozen=True)
class Comparison:
    """Plots from one source (the model under some condition, or a baseline)."""

    name: str
    plots: tuple[str, ...]
    similarity: Similarity  # to the references
    wording: Wording
    fluency: float | None  # nats a token under the judge


@dataclass(frozen=True)
class Evaluation:
    """All figures of a checkpoint on a split."""

    checkpoint: str
    split: str
    settings: GenerationSettings
    losses: dict[str, Losses]  # by the clues beside the poster
    pairs: tuple[Pair, ...]
    sources: tuple[Comparison, ...]  # the model's first, then baselines
    human_fluency: float | None  # of the pairs' own texts

    def markdown(self) -> str:
        """Every figure as Markdown tables."""
        lines = [
            f"`{Path(self.checkpoint).name}` on {len(self.pairs)} pairs of the {self.split} split; "
            f"{self.settings.num_beams} beams, {self.settings.max_length} tokens, "
            f"no repeated {self.settings.no_repeat_ngram_size}-gram, "
            f"guidance {self.settings.guidance:g}.",
            "",
            "| loss, nats a token | right poster | another title's | none | picture gain |",
            "|---|---|---|---|---|",
            *(
                f"| {name} | {losses.right:.3f} | {losses.shuffled:.3f} | {losses.without:.3f} "
                f"| {losses.picture_gain:.4f} |"
                for name, losses in self.losses.items()
            ),
            "",
            "| plots from | titles | cosine | margin | R@10 | fluency | broken or doubled "
            "| copied | harmful | unique | whole | commonest opening: four words | two "
            "| commonest four words |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for source in self.sources:
            found, wording = source.similarity, source.wording
            fluency = "–" if source.fluency is None else f"{source.fluency:.2f}"
            commonest = " | ".join(
                f"{share:.1%} “{phrase}”"
                for phrase, share in (wording.four_words, wording.two_words, wording.phrase)
            )
            lines.append(
                f"| {source.name} | {len(found.cosine)} | {found.cosine.mean():.3f} "
                f"| {_mean(found.margin)} | {_recall(found.hits, found.pool)} | {fluency} "
                f"| {wording.slips:.1%} | {wording.copied:.1%} | {wording.harmful:.1%} "
                f"| {wording.unique:.1%} | {wording.whole:.1%} | {commonest} |"
            )
        if any(source.similarity.pool < POOL_SIZE for source in self.sources):
            lines += [
                "",
                f"There are fewer than {POOL_SIZE} titles: R@{RECALL_AT} is of those there are, of "
                f"which chance finds more, and nothing of {RECALL_AT} or fewer.",
            ]
        if self.human_fluency is not None:
            lines += ["", f"Fluency of the true plots of all titles: {self.human_fluency:.2f}."]
        first = self.sources[0]
        lines += [
            "",
            f"| {first.name} | titles | cosine | margin | R@10 |",
            "|---|---|---|---|---|",
        ]
        for name, chosen in self._groups():
            found, rows = first.similarity, torch.tensor(chosen)
            lines.append(
                f"| {name} | {len(chosen)} | {found.cosine[rows].mean():.3f} "
                f"| {_mean(found.margin[rows])} | {_recall(found.hits[rows], found.pool)} |"
            )
        return "\n".join(lines) + "\n"

    def save(self, folder: Path, *, shown: int) -> None:
        """Write `plots.csv`, a sheet of the first `shown` posters and, last, `evaluation.md`."""
        folder.mkdir(parents=True, exist_ok=True)
        own = [source for source in self.sources if source.name in self.losses]
        with (folder / "plots.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "title", "language", *(source.name for source in own), "true"])
            for i, pair in enumerate(self.pairs):
                plots = [source.plots[i] for source in own]
                writer.writerow([pair.id, pair.title, pair.language, *plots, pair.text])
        entries = [
            Entry(
                pair.picture.read(),
                f"{pair.title or pair.id} ({pair.language or '?'})",
                (*((source.name, source.plots[i]) for source in own), ("true", pair.text)),
            )
            for i, pair in enumerate(self.pairs[:shown])
        ]
        if entries:
            contact_sheet(entries).save(folder / "contact-sheet.png")
        with whole_file(folder / "evaluation.md") as part:
            part.write_text(self.markdown(), encoding="utf-8")

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
    embed: Embedder,
    *,
    settings: GenerationSettings,
    cache: Path,
    judge: Judge | None = None,
    title_reader: TitleReader | None = None,
    corpus: Sequence[str] = (),
    max_pairs: int | None = None,
) -> Evaluation:
    """Measure a model on a split, or on `max_pairs` random pairs of it, beside baselines.

    A model that takes titles is measured with the right title, without, with another's, and with
    the right title and another's poster. The baselines copy training plots
    (`copier.copied_plots`, which keeps what it computes in `cache`). `judge` tells how fluent plots
    are; with a `title_reader` a model that takes titles also gets those that are printed on its
    posters. `corpus` are the texts that the model learnt from besides the dataset's training plots;
    words that are in none of them count as broken.
    """
    pairs = dataset.split(split)
    if max_pairs is not None and max_pairs < len(pairs):
        pairs = random.Random(0).sample(pairs, max_pairs)
    p2p = Poster2Plot(replace(checkpoint, model=deepcopy(checkpoint.model)))
    settings = p2p.resolve(settings)
    images, titles = [pair.picture.read() for pair in pairs], [pair.title for pair in pairs]
    untitled = [""] * len(pairs)
    conditions = {"poster": (images, untitled), "another's poster": (_others(images), untitled)}
    encoder_states = encode_all(checkpoint, images)
    losses = {"poster": measure_losses(checkpoint, _texts(pairs), encoder_states, untitled)}
    if p2p.takes_titles:
        conditions = {
            "poster and title": (images, titles),
            "poster": (images, untitled),
            "poster and another's title": (images, _others(titles)),
            "title and another's poster": (_others(images), titles),
        }
        if title_reader is not None:
            read = [found.title if found else "" for found in map(title_reader.read, images)]
            conditions["poster and title read"] = (images, read)
        losses = {
            "poster and title": measure_losses(checkpoint, _texts(pairs), encoder_states, titles),
            **losses,
        }
    sources = {
        name: _write(p2p, shown, named, settings, name)
        for name, (shown, named) in conditions.items()
    }
    train = dataset.split("train")
    copied = copied_plots(checkpoint, train, pairs, embed, cache)
    sources |= {f"copier, by {clues}": plots for clues, plots in copied.items()}
    chance = random.Random(0)
    sources["random training plot"] = [chance.choice(train).text for _ in pairs]

    texts = {*_texts(train), *corpus}
    known = vocabulary(texts)
    # Targets may be the opening sentences alone, for which the others are cut off.
    taught = texts.union(*map(openings, texts))
    references = [
        embed(list(dict.fromkeys([pair.text, *dataset.references.get(pair.id, ())])))
        for pair in pairs
    ]

    told = {name: named for name, (_, named) in conditions.items()}

    def compare(name: str, plots: Sequence[str], own: Sequence[Tensor]) -> Comparison:
        return Comparison(
            name,
            tuple(plots),
            similarity(embed(plots), own),
            Wording.of(plots, taught, known, told.get(name, ())),
            None if judge is None else judge(plots),
        )

    compared = [compare(name, plots, references) for name, plots in sources.items()]
    described = [i for i, _ in enumerate(pairs) if len(references[i]) > 1]
    if len(described) > 1:
        plots = [pairs[i].text for i in described]
        compared.append(compare("another human", plots, [references[i][1:] for i in described]))
    return Evaluation(
        checkpoint.name,
        split,
        settings,
        losses,
        tuple(pairs),
        tuple(compared),
        None if judge is None else judge(_texts(pairs)),
    )


def _mean(figures: Tensor) -> str:
    """A dash where there is none, as there is no margin without another title."""
    return "–" if figures.isnan().any() else f"{figures.mean():.3f}"


def _recall(hits: Tensor, pool: int) -> str:
    """Recall among so many titles; a dash where it would be 1 whatever the plots."""
    if pool <= RECALL_AT:
        return "–"
    return _mean(hits) if pool == POOL_SIZE else f"{_mean(hits)} of {pool}"


def _texts(pairs: Sequence[Pair]) -> list[str]:
    return [pair.text for pair in pairs]


def _others(own: Sequence[T]) -> list[T]:
    """Each gets its neighbour's."""
    return [*own[-1:], *own[:-1]]


def _write(
    p2p: Poster2Plot,
    images: Sequence[Image.Image],
    titles: Sequence[str],
    settings: GenerationSettings,
    name: str,
) -> list[str]:
    plots: list[str] = []
    for start in range(0, len(images), 64):
        end = start + 64
        found = p2p.generate(images[start:end], settings, titles[start:end])
        plots += [best.text for best, *_ in found]
        print(f"{len(plots)} of {len(images)} plots from {name}", flush=True)
    return plots
