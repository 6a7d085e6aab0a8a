"""Does the model look at the poster, and does it say something different to each?"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from poster2plot.pipeline import Poster2Plot
from poster2plot.training.data import Pair, pair_batches
from poster2plot.training.phases import caption_loss


@dataclass(frozen=True)
class Losses:
    """Mean loss on true plots, in nats a token, by what the model is shown."""

    right: float
    shuffled: float
    nothing: float

    @property
    def picture_gain(self) -> float:
        """What the right poster is worth against another title's; 0 means blind."""
        return self.shuffled - self.right


@torch.inference_mode()
def losses(
    p2p: Poster2Plot, pairs: Sequence[Pair], posters: Mapping[str, Image.Image], *, batch: int = 16
) -> Losses:
    """Losses with each pair's own poster, with another one's, and with none."""
    shuffled = [pair.id for pair in pairs]
    random.Random(0).shuffle(shuffled)
    stranger = dict(zip((pair.id for pair in pairs), shuffled, strict=True))

    def states(ids: Sequence[str]) -> Tensor:
        images = [posters[id] for id in ids]
        pixels = p2p.image_processor(images, return_tensors="pt")["pixel_values"]
        hidden: Tensor = p2p.model.encoder(pixels.to(p2p.device)).last_hidden_state
        return hidden

    means: list[list[float]] = []
    for ids, labels in pair_batches(p2p.tokenizer, pairs, batch=batch, longest=64, seed=0):
        labels = labels.to(p2p.device)
        right = states(ids)
        shown = (right, states([stranger[id] for id in ids]), torch.zeros_like(right[:, :1]))
        means.append([float(caption_loss(p2p.model.decoder, s, labels)) for s in shown])
    return Losses(*(sum(column) / len(column) for column in zip(*means, strict=True)))


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
