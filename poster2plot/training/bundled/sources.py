"""What several steps draw on: training pairs, further plots without posters, and embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from poster2plot.errors import InputError
from poster2plot.training.dataset import Dataset, Pair
from poster2plot.training.encoder_states import EncoderStates
from poster2plot.training.evaluation.retrieval import Embedder
from poster2plot.training.plot_embeddings import (
    Clues,
    cached_embeddings,
    cross_predicted,
    pooled_states,
)
from poster2plot.training.target_texts import Plot, premise, read_corpus


def training_plots(dataset: Dataset, corpus: Path) -> list[Plot]:
    """Premises of training pairs and corpus with their titles, less those of held-out titles.

    Raises `InputError` where there are none.
    """
    held_out = [pair.text for pair in dataset.pairs if pair.split != "train"]
    held_out += [text for texts in dataset.references.values() for text in texts]
    left_out = {premise(text) for text in held_out}
    own = [
        Plot(pair.title, text) for pair in dataset.split("train") if (text := premise(pair.text))
    ]
    plots = {plot.text: plot for plot in reversed([*own, *read_corpus(corpus)])}
    kept = [plot for text, plot in plots.items() if text not in left_out]
    if not kept:
        raise InputError(f"Neither {str(corpus)!r} nor a training pair has a premise to learn.")
    return kept


@dataclass(frozen=True)
class Sources:
    """`aligned` is what `align` wrote, and keeps the embeddings that `embedder` makes."""

    dataset: Dataset
    corpus: Path
    aligned: Path
    embedder: Embedder

    @cached_property
    def pairs(self) -> list[Pair]:
        """The training pairs."""
        return self.dataset.needed("train")

    @cached_property
    def plots(self) -> list[Plot]:
        """As `training_plots`."""
        return training_plots(self.dataset, self.corpus)

    @cached_property
    def encoder_states(self) -> EncoderStates:
        """Those of the pairs' posters."""
        return EncoderStates(self.aligned / "states.npy")

    def embeddings(self, texts: Sequence[str]) -> Tensor:
        """Sentence embeddings (N, E), kept for the next time."""
        return cached_embeddings(self.aligned, texts, self.embedder)

    @cached_property
    def title_embeddings(self) -> Tensor:
        """Those of the pairs' titles."""
        return self.embeddings([pair.title for pair in self.pairs])

    @cached_property
    def plot_embeddings(self) -> Tensor:
        """Those of the pairs' plots."""
        return self.embeddings([pair.text for pair in self.pairs])

    @cached_property
    def _pooled_states(self) -> tuple[Tensor, Tensor]:
        return pooled_states(self.encoder_states, self.pairs)

    def predicted(self, clues: Clues) -> Tensor:
        """What the pairs' plots are about by clues, as `plot_embeddings.cross_predicted`."""
        return cross_predicted(
            clues, self._pooled_states, self.title_embeddings, self.plot_embeddings
        )
