"""Does the model look at the poster, and does it say something different to each?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from poster2plot.pipeline import Poster2Plot
from poster2plot.training.data import Pair
from poster2plot.training.losses import Losses, measure_losses


@torch.inference_mode()
def losses(
    p2p: Poster2Plot, pairs: Sequence[Pair], posters: Mapping[str, Image.Image], *, batch: int = 16
) -> Losses:
    """Losses with each pair's own poster, with another one's, and with none."""

    def states(ids: Sequence[str]) -> Tensor:
        images = [posters[id] for id in ids]
        pixels = p2p.image_processor(images, return_tensors="pt")["pixel_values"]
        hidden: Tensor = p2p.model.encoder(pixels.to(p2p.device)).last_hidden_state
        return hidden

    return measure_losses(p2p.model.decoder, p2p.tokenizer, states, pairs, batch=batch, longest=64)


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
