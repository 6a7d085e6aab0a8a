"""Pseudo-labels that a larger language model writes for the training posters.

Sequence-level knowledge distillation (Kim and Rush 2016, arXiv:1606.07947): what a teacher writes
is plainer than what people do, and easier to learn. This one cannot see; it is told the title, and
plots of others that are near to what poster and title predict (retrieval-augmented generation,
Lewis et al. 2020, arXiv:2005.11401). It learns from true plots how far those are to be trusted.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

from poster2plot.training.bundled.rewards import is_plain
from poster2plot.training.bundled.self_training import Written, best_plots
from poster2plot.training.bundled.sources import Sources
from poster2plot.training.bundled.teacher import Teacher, request, some
from poster2plot.training.bundled.text_matching import (
    CHUNK,
    COMMONEST_OPENING,
    COMMONEST_PHRASE,
    PseudoLabel,
    match,
    plain_words,
    pseudo_label,
    target_plots,
    thin_openings,
    thin_phrases,
)
from poster2plot.training.plot_embeddings import centred, predicted_by_title
from poster2plot.training.target_texts import Plot, premise

NEAREST = 8  # plots of others among which the teacher is told some
BEST = 3  # plots of a poster, at most
POSTERS = 10  # among which one is drawn that looks like a plot
LEARNING_RATE = 4e-4


def distilled_plots(
    sources: Sources,
    teacher: str | Path,
    nats: Callable[[Sequence[str]], Tensor],
    out: Path,
    *,
    epochs: int,
    batch: int,
    bf16: bool,
    posters: int | None,
    samples: int,
    fluency: float,
    seed: int,
) -> list[PseudoLabel]:
    """The best of `samples` plots for each of so many posters, or for all.

    The `teacher`, a name, path or GGUF file, is fine-tuned first, in `out`. `nats` and
    `fluency` are as in `self_training.preferences`.
    """
    chance, device = Random(seed), sources.embedder.device
    known = {plot.text for plot in sources.plots}
    plain = plain_words([*known])
    plots = [plot for plot in target_plots(sources.plots) if is_plain(plot.text, plain, plot.title)]
    wanted = sources.predicted("both")
    near_plots, near_pairs = _others_alike(sources, plots, wanted)
    writer = Teacher(teacher, device)
    writer.learn(
        plots,
        near_plots,
        out,
        epochs=epochs,
        batch=batch,
        learning_rate=LEARNING_RATE,
        bf16=bf16,
        seed=seed,
    )

    pairs = sources.pairs
    chosen = chance.sample(range(len(pairs)), min(posters or len(pairs), len(pairs)))
    rows = [row for row in chosen for _ in range(samples)]
    requests = [request(pairs[row].title, some(near_pairs[row], chance)) for row in rows]
    written: dict[tuple[int, str], Written] = {}
    for index, text in writer.write(requests, seed=seed):
        row = rows[index]
        if text not in known:
            written[row, text] = Written(row, text, is_plain(text, plain, pairs[row].title))
    embeddings = sources.embedder([plot.text for plot in written.values()])
    mean = sources.plot_embeddings.mean(0)
    with torch.autocast(device, torch.bfloat16, enabled=bf16):
        best = best_plots(
            [*written.values()],
            F.normalize(embeddings - mean, dim=-1),
            wanted,
            nats,
            fluency=fluency,
            best=BEST,
        )
    chance.shuffle(best)
    best = thin_phrases(thin_openings(best, COMMONEST_OPENING), COMMONEST_PHRASE)
    texts = centred(sources.embedder([plot.text for plot in best]))
    alike = match(texts, sources.predicted("picture"), nearest=POSTERS, seed=seed)
    return [
        pseudo_label(
            plot.text, pairs[plot.row].title, chance, own=pairs[plot.row].id, alike=pairs[other].id
        )
        for plot, other in zip(best, alike, strict=True)
    ]


def _others_alike(
    sources: Sources, plots: Sequence[Plot], wanted: Tensor
) -> tuple[list[list[str]], list[list[str]]]:
    """For each of the plots, and for each of the training pairs, plots of others that are near.

    Near is to what is predicted, by the title, and for pairs by the poster, too: `wanted` (N, E).
    """
    texts = centred(sources.embeddings([plot.text for plot in plots]))
    rows = {plot.text: row for row, plot in enumerate(plots)}
    own = [rows.get(premise(pair.text) or "", -1) for pair in sources.pairs]
    titles = sources.embeddings([plot.title for plot in plots])
    by_title = predicted_by_title(sources.title_embeddings, sources.plot_embeddings, titles)
    near_plots = nearest_others(by_title, texts, range(len(plots)))
    near_pairs = nearest_others(wanted, texts, own)
    for row, near in zip(own, near_pairs, strict=True):
        if row >= 0:
            near_plots[row] = near
    by_plot, by_pair = (
        [[plots[other].text for other in near] for near in found.tolist()]
        for found in (near_plots, near_pairs)
    )
    return by_plot, by_pair


def nearest_others(wanted: Tensor, texts: Tensor, own: Sequence[int]) -> Tensor:
    """For each of M unit embeddings (M, E) the `NEAREST` rows of `texts` (N, E), (M, NEAREST).

    `own` are the rows that are theirs and do not count, -1 where there is none.
    """
    found = []
    for start in range(0, len(wanted), CHUNK):
        cosine = wanted[start : start + CHUNK] @ texts.T
        for row, column in enumerate(own[start : start + CHUNK]):
            if column >= 0:
                cosine[row, column] = -1
        found.append(cosine.topk(min(NEAREST, len(texts))).indices)
    return torch.cat(found)
