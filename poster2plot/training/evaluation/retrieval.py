"""How near a plot comes to what people wrote: sentence embeddings, margin and retrieval."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

from poster2plot.training.beginnings import identity

POOL_SIZE = 100  # titles among which the true one is retrieved
BATCH = {"cpu": 64, "cuda": 1024}
RECALL_AT = 10  # k of recall at k


class Embedder:
    """Sentence embeddings by mean pooling (Reimers and Gurevych 2019, arXiv:1908.10084)."""

    def __init__(self, name_or_path: str | Path, device: str = "cpu") -> None:
        self.device, self._name = device, name_or_path
        self._tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        self._model = AutoModel.from_pretrained(name_or_path).eval().to(device)

    @cached_property
    def identity(self) -> str:
        """What tells it from others."""
        return identity(self._name, self._model)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], *, max_length: int = 128) -> Tensor:
        """Unit vectors (texts, width); `max_length` is in tokens."""
        batch = BATCH[self._model.device.type]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        embeddings: Tensor = torch.zeros(len(texts), self._model.config.hidden_size)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            inputs = self._tokenizer(
                [texts[i] for i in rows],
                padding=True,
                truncation=True,
                max_length=max_length,
                return_tensors="pt",
            ).to(self._model.device)
            hidden = self._model(**inputs).last_hidden_state  # (B, T, width)
            mask = inputs["attention_mask"][..., None]
            mean = (hidden * mask).sum(1) / mask.sum(1)
            embeddings[rows] = F.normalize(mean, dim=-1).cpu()
        return embeddings


@dataclass(frozen=True)
class Similarity:
    """How much nearer each title's plot is to its own references than to other titles'."""

    cosine: Tensor  # (N,) cosine to the title's best reference
    margin: Tensor  # (N,) `cosine` minus the mean cosine to other titles' best references
    hits: Tensor  # (N,) 1 where the title is among `RECALL_AT` best of the `pool`, else 0
    pool: int  # titles, `POOL_SIZE` where there are as many


def similarity(plots: Tensor, references: Sequence[Tensor]) -> Similarity:
    """Compare the plots (N, width) of N titles with each title's references (k, width).

    The pools are the same in every call. Fewer than `POOL_SIZE` titles form one pool. The margin of
    a single title is NaN.
    """
    best = torch.stack([(plots @ own.T).amax(-1) for own in references], dim=1)  # (plot, title)
    count = len(best)
    size = min(POOL_SIZE, count)
    cosine = best.diag()
    hits = torch.zeros(count)
    generator = random.Random(0)
    for i in range(count):
        others = [j for j in range(count) if j != i]
        pool = generator.sample(others, size - 1)
        hits[i] = (best[i, pool] > best[i, i]).sum() < RECALL_AT
    return Similarity(cosine, cosine - (best.sum(1) - cosine) / (count - 1), hits, size)
