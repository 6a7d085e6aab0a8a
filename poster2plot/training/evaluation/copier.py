"""Programs that write nothing: they copy the training plot nearest to what the clues predict."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from poster2plot.checkpoints.loading import Checkpoint
from poster2plot.training.beginnings import digest, identity
from poster2plot.training.dataset import Pair
from poster2plot.training.evaluation.losses import encode
from poster2plot.training.evaluation.retrieval import Embedder
from poster2plot.training.plot_embeddings import (
    CLUES,
    cached_embeddings,
    centred,
    clue_features,
    fit_ridge,
    with_title,
)
from poster2plot.training.whole import whole_file

BATCH = 32  # posters at once


def copied_plots(
    checkpoint: Checkpoint,
    train: Sequence[Pair],
    pairs: Sequence[Pair],
    embedder: Embedder,
    cache: Path,
) -> dict[str, list[str]]:
    """By clues, for each of `pairs` the text of a training pair.

    It is the one whose embedding is nearest to what a ridge regression, learnt on the training
    pairs, predicts from poster (by the checkpoint's encoder), title, or both. `cache` keeps states
    of posters and embeddings of texts.
    """
    both = [*train, *pairs]
    posters = _pooled_states(checkpoint, train, cache), _pooled_states(checkpoint, pairs, cache)
    cls, mean = (torch.cat(states) for states in zip(*posters, strict=True))
    titles = cached_embeddings(cache, [pair.title for pair in both], embedder)
    texts = centred(cached_embeddings(cache, [pair.text for pair in train], embedder))
    known = len(train)
    found: dict[str, list[str]] = {}
    for clues in CLUES:
        features = clue_features(clues, (cls, mean), titles)
        weights, bias = fit_ridge(features[:known], texts)
        predicted = centred(features[known:] @ weights + bias)
        predicted = with_title(clues, predicted, titles[known:])
        nearest = torch.cat([(rows @ texts.T).argmax(-1) for rows in predicted.split(256)])
        found[clues] = [train[i].text for i in nearest.tolist()]
    return found


@torch.inference_mode()
def _pooled_states(
    checkpoint: Checkpoint, pairs: Sequence[Pair], cache: Path
) -> tuple[Tensor, Tensor]:
    """CLS and mean states (N, width) of posters, kept in `cache` under a digest of all.

    That is of the pictures, the encoder, and how its image processor prepares them.
    """
    how = identity("", checkpoint.model.encoder), checkpoint.image_processor.to_dict()
    rows = chain(how, (pair.picture.bytes() for pair in pairs))
    path = cache / f"posters-{digest(rows)}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        parts = []
        for start in range(0, len(pairs), BATCH):
            images = [pair.picture.read() for pair in pairs[start : start + BATCH]]
            states = encode(checkpoint, images).cpu()
            parts.append(torch.stack([states[:, 0], states.mean(1)]).numpy())
            if start % (20 * BATCH) == 0:
                print(f"{start + len(images)} of {len(pairs)} posters", flush=True)
        with whole_file(path) as part:
            np.save(part, np.concatenate(parts, axis=1))
    cls, mean = torch.from_numpy(np.load(path))
    return cls, mean
