"""Self-training: the captioner's own best plots for training posters become pseudo-labels.

Best is what means most nearly what people write for posters like this one, in plain and fluent
English without names, unknown words or repetitions, which no poster asks for. Rounds of sampling,
ranking by a reward and fine-tuning are reward-ranked fine-tuning (RAFT, Dong et al. 2023,
arXiv:2304.06767); here the reward comes from sentence embeddings and a language model.

Plots that are sampled with guidance are better than the captioner's own, so that a captioner that
learns the best of them has a better start for the next guidance: expert iteration (Anthony et al.
2017, arXiv:1705.08439).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from poster2plot.engine.decoder import Decoder
from poster2plot.engine.decoder_batch import DecoderBatch
from poster2plot.engine.search import Prompts
from poster2plot.pipeline import Poster2Plot
from poster2plot.settings import GenerationSettings
from poster2plot.training.bundled.rewards import is_plain, is_story
from poster2plot.training.bundled.sources import Sources
from poster2plot.training.bundled.text_matching import (
    COMMONEST_OPENING,
    PseudoLabel,
    plain_words,
    thin_openings,
    thin_phrases,
)
from poster2plot.training.dataset import Pair
from poster2plot.training.encoder_states import EncoderStates
from poster2plot.training.plot_embeddings import Clues
from poster2plot.training.target_texts import prompt_ids

POSTERS_AT_ONCE = {"cpu": 64, "cuda": 512}
TEMPERATURE = 0.8
LONGEST = 56  # tokens of a plot
GUIDED_SAMPLES, GUIDED_AT_ONCE = 6, 32  # plots of a poster, posters
GUIDED_TEMPERATURE, GUIDED_TOP_P = 0.7, 0.95
COMMONEST_GUIDED_PHRASE = 0.006  # share of the best that may have the same four words in a row

_NEAREST, _FARTHEST = 3, 2  # plots of a poster whose fluency is looked at
_NOT_PLAIN = 0.2  # of cosine, that a plot loses which is not plain


class Written(NamedTuple):
    """A plot that the captioner wrote for a poster."""

    row: int  # of the poster among those asked for
    text: str
    plain: bool  # else it must not be learnt


class Preference(NamedTuple):
    """Of a poster's plots the best and the worst."""

    row: int  # of the poster among those asked for
    best: str
    worst: str


def sample_plots(
    p2p: Poster2Plot,
    encoder_states: EncoderStates,
    pairs: Sequence[Pair],
    plain: set[str],
    texts: Collection[str],
    *,
    with_titles: bool,
    samples: int = 8,
    seed: int = 0,
) -> list[Written]:
    """`samples` plots for each poster, of which those that differ.

    Plain are those of `plain` words that are none of the training `texts`.
    """
    engine, tokenizer, at_once = p2p.engine, p2p.tokenizer, POSTERS_AT_ONCE[p2p.device.type]
    generator = torch.Generator(p2p.device).manual_seed(seed)
    written: list[Written] = []
    for start in range(0, len(pairs), at_once):
        some = pairs[start : start + at_once]
        titles = [pair.title if with_titles else "" for pair in some]
        prompts = Prompts.of(prompt_ids(tokenizer, titles), p2p.device)
        room = p2p.config.decoder.n_positions - prompts.tokens.shape[1]
        with engine.threads(exclusive=True):
            sampled = sample(
                engine.decoder,
                torch.stack([encoder_states[pair.id] for pair in some]),
                prompts,
                samples=samples,
                longest=min(LONGEST, room),
                end=tokenizer.eos_token_id,
                temperature=TEMPERATURE,
                generator=generator,
            )
        for row, (found, title) in enumerate(zip(sampled.tolist(), titles, strict=True), start):
            ended = [
                ids[: ids.index(end)] for ids in found if (end := tokenizer.eos_token_id) in ids
            ]
            written += [
                Written(row, text, is_plain(text, plain, title) and text not in texts)
                for text in dict.fromkeys(map(str.strip, tokenizer.batch_decode(ended)))
                if text
            ]
        share = sum(plot.plain for plot in written) / max(1, len(written))
        print(f"{start + len(some)} of {len(pairs)} posters, {share:.0%} plain", flush=True)
    return written


def guided_plots(
    p2p: Poster2Plot,
    pairs: Sequence[Pair],
    plain: set[str],
    texts: Collection[str],
    *,
    with_titles: bool,
    guidance: float,
    seed: int = 0,
) -> list[Written]:
    """As `sample_plots`, as the product samples: with guidance, lexicon and bias.

    Plain are stories alone.
    """
    written: list[Written] = []
    for start in range(0, len(pairs), GUIDED_AT_ONCE):
        some = pairs[start : start + GUIDED_AT_ONCE]
        titles = [pair.title if with_titles else "" for pair in some]
        settings = GenerationSettings(
            guidance=guidance,
            sample=True,
            temperature=GUIDED_TEMPERATURE,
            top_p=GUIDED_TOP_P,
            num_candidates=GUIDED_SAMPLES,
            seed=seed + start,
        )
        found = p2p.generate([pair.picture.read() for pair in some], settings, titles)
        for row, (candidates, title) in enumerate(zip(found, titles, strict=True), start):
            for text in filter(None, dict.fromkeys(each.text for each in candidates)):
                is_good = is_plain(text, plain, title) and is_story(text, title)
                written.append(Written(row, text, is_good and text not in texts))
        share = sum(plot.plain for plot in written) / max(1, len(written))
        print(f"{start + len(some)} of {len(pairs)} posters, {share:.0%} stories", flush=True)
    return written


@torch.inference_mode()
def sample(
    decoder: Decoder,
    encoder_states: Tensor,
    prompts: Prompts,
    *,
    samples: int,
    longest: int,
    end: int,
    temperature: float,
    generator: torch.Generator,
) -> Tensor:
    """At most `longest` token ids (B, samples, T) after each prompt, by states (B, S, width)."""
    encoder_states = encoder_states.to(decoder.device, decoder.dtype)
    batch = DecoderBatch(decoder)
    cross_attention = decoder.cross_attention_cache(encoder_states)
    batch.join(cross_attention, prompts.tokens[:, :-1], beams=samples, guided=False)
    last = prompts.tokens[:, -1:].expand(-1, samples)  # (B, samples)
    steps: list[Tensor] = []
    ended = torch.zeros_like(last, dtype=torch.bool)
    while len(steps) < longest and not ended.all():
        logits = batch.next_token_logits(last.flatten()).float().unflatten(0, last.shape)
        cumulative = (logits / temperature).softmax(-1).cumsum(-1)  # (B, samples, vocabulary)
        # Inverse transform sampling: `multinomial` draws a number for each token of the vocabulary.
        drawn = torch.rand(*last.shape, 1, device=cumulative.device, generator=generator)
        last = torch.searchsorted(cumulative, drawn * cumulative[..., -1:], right=True)[..., 0]
        last = last.clamp(max=logits.shape[-1] - 1)
        ended = ended | (last == end)
        steps.append(last)
    return torch.stack(steps, dim=-1)


def _rewards(written: Sequence[Written], embeddings: Tensor, targets: Tensor) -> Tensor:
    """How near the plots are to what is wanted of their posters, and how plain, (N,)."""
    # What is near to the targets of all posters earns half.
    wanted = targets - F.normalize(targets.mean(0), dim=-1) / 2
    rewards: Tensor = (embeddings * wanted[[plot.row for plot in written]]).sum(-1)
    return rewards - _NOT_PLAIN * torch.tensor([not plot.plain for plot in written])


def _by_poster(written: Sequence[Written], rewards: Tensor) -> dict[int, list[int]]:
    """The plots of each poster, by its row, those of most reward first."""
    found: dict[int, list[int]] = defaultdict(list)
    for index in rewards.argsort(descending=True).tolist():
        found[written[index].row].append(index)
    return found


def best_plots(
    written: Sequence[Written],
    embeddings: Tensor,
    targets: Tensor,
    nats: Callable[[Sequence[str]], Tensor],
    *,
    fluency: float,
    best: int,
) -> list[Written]:
    """The `best` plain plots of each poster, less the quarter of them that earns least.

    The arguments are as in `preferences`.
    """
    rewards = _rewards(written, embeddings, targets)
    plain = [index for index, plot in enumerate(written) if plot.plain]
    if plain:
        rewards[plain] -= fluency * nats([written[index].text for index in plain])
    ranked = [
        index
        for found in _by_poster(written, rewards).values()
        for index in [index for index in found if written[index].plain][:best]
    ]
    ranked.sort(key=rewards.__getitem__, reverse=True)
    return [written[index] for index in ranked[: -(-len(ranked) * 3 // 4)]]


def preferences(
    written: Sequence[Written],
    embeddings: Tensor,
    targets: Tensor,
    nats: Callable[[Sequence[str]], Tensor] | None = None,
    *,
    fluency: float = 0.0,
) -> list[Preference]:
    """The best and the worst plot of each poster, less the quarter whose best are worst.

    `embeddings` (N, E) are those of the plots, `targets` (M, E) those wanted of the posters, all
    of unit length and without their common mean. Good is what has a large cosine to its target, is
    plain, and is found fluent by `nats`: nats a token of texts, (N,), each of which weighs as much
    as `fluency` of cosine. Of each poster it judges those plain plots that are nearest, and those
    that are farthest or not plain.
    """
    rewards = _rewards(written, embeddings, targets)
    by_poster = _by_poster(written, rewards)
    if nats is not None and written:
        for row, found in by_poster.items():
            nearest = [index for index in found if written[index].plain][:_NEAREST]
            by_poster[row] = sorted({*nearest, *found[-_FARTHEST:]})
        judged = sorted(chain.from_iterable(by_poster.values()))
        rewards[judged] -= fluency * nats([written[index].text for index in judged])
    ranked: list[tuple[float, Preference]] = []
    for row, found in by_poster.items():
        plain = [index for index in found if written[index].plain]
        if plain:
            best, worst = max(plain, key=rewards.__getitem__), min(found, key=rewards.__getitem__)
            preference = Preference(row, written[best].text, written[worst].text)
            ranked.append((float(rewards[best]), preference))
    ranked.sort(reverse=True)
    kept = ranked[: -(-len(ranked) * 3 // 4)]
    return [each for _, each in kept if each.best != each.worst]


def preferred_plots(
    sources: Sources,
    captioner: Poster2Plot,
    nats: Callable[[Sequence[str]], Tensor] | None,
    *,
    posters: int,
    untitled: int,
    fluency: float,
    guidance: float | None = None,
    bf16: bool,
    seed: int,
) -> list[PseudoLabel]:
    """Of the captioner's plots for so many posters the best, each with a worse one.

    For `untitled` of them it also writes without the title. `nats` and `fluency` are as in
    `preferences`. With `guidance` the plots are those of `guided_plots`, and no four words in a row
    are in many of the best.
    """
    chance, pairs = Random(seed), sources.pairs
    texts = frozenset(plot.text for plot in sources.plots)
    plain, mean = plain_words([*texts]), sources.plot_embeddings.mean(0)
    chosen = chance.sample(range(len(pairs)), min(posters, len(pairs)))
    shares: dict[Clues, list[int]] = {"both": chosen, "picture": chosen[:untitled]}
    labels: list[PseudoLabel] = []
    for clues, rows in shares.items():
        shown, titled = [pairs[row] for row in rows], clues == "both"
        if guidance is None:
            states = sources.encoder_states
            written = sample_plots(
                captioner, states, shown, plain, texts, with_titles=titled, seed=seed
            )
        else:
            written = guided_plots(
                captioner, shown, plain, texts, with_titles=titled, guidance=guidance, seed=seed
            )
        targets = sources.predicted(clues)[rows]
        with torch.autocast(captioner.device.type, torch.bfloat16, enabled=bf16):
            embeddings = sources.embedder([plot.text for plot in written])
            embeddings = F.normalize(embeddings - mean, dim=-1)
            found = preferences(written, embeddings, targets, nats, fluency=fluency)
        for row, best, worst in found:
            pair = pairs[rows[row]]
            title = pair.title if clues == "both" else ""
            labels.append(PseudoLabel(pair.id, True, title, best, worst))
    Random(seed).shuffle(labels)
    if guidance is not None:
        labels = thin_phrases(labels, COMMONEST_GUIDED_PHRASE)
    return thin_openings(labels, COMMONEST_OPENING)
