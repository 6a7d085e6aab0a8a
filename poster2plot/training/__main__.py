"""The steps from public packages to a bundled model; run them in the order of `--help`."""

import argparse
from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    VisionEncoderDecoderModel,
    ViTImageProcessorPil,
    ViTModel,
)

from poster2plot.pipeline import Poster2Plot
from poster2plot.settings import GenerationSettings
from poster2plot.training.convert import decoder_from_ctranslate2, encoder_from_onnx
from poster2plot.training.data import (
    Features,
    compute_features,
    read_corpus,
    read_pairs,
    read_posters,
)
from poster2plot.training.evaluate import Diversity, losses
from poster2plot.training.loop import Schedule
from poster2plot.training.phases import pretrain_decoder, train_captioner

IMAGE_SIZE = (210, 140)  # (height, width): the shape of a poster in patches of 14 pixels, 15 × 10
LONGEST = 230  # characters of a target plot
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def convert(options: argparse.Namespace) -> None:
    """Turn the public weights into an encoder and a decoder of the stock classes."""
    encoder = encoder_from_onnx(options.onnx, layers=8, image_size=IMAGE_SIZE)
    encoder.save_pretrained(options.run / "encoder")
    processor = ViTImageProcessorPil(
        size={"height": IMAGE_SIZE[0], "width": IMAGE_SIZE[1]},
        resample=3,  # bicubic, as in DINOv2's training
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
    )
    processor.save_pretrained(options.run / "encoder")
    texts = read_corpus(options.data, longest=LONGEST)
    decoder, tokenizer = decoder_from_ctranslate2(
        options.whisper / "model.bin",
        options.whisper / "tokenizer.json",
        texts,
        vocabulary=options.vocabulary,
        positions=128,
    )
    decoder.save_pretrained(options.run / "decoder")
    tokenizer.save_pretrained(options.run / "decoder")
    for name, part in (("encoder", encoder), ("decoder", decoder)):
        print(f"{name}: {sum(p.numel() for p in part.parameters()) / 1e6:.1f} M parameters")


def features(options: argparse.Namespace) -> None:
    """Compute the frozen encoder's states of every usable poster, once."""
    encoder = ViTModel.from_pretrained(options.run / "encoder", add_pooling_layer=False).eval()
    processor = ViTImageProcessorPil.from_pretrained(options.run / "encoder")
    splits = (read_pairs(options.data, s, longest=LONGEST) for s in ("train", "valid", "test"))
    ids = {pair.id for split in splits for pair in split}
    posters = read_posters(options.data, ids)
    compute_features(encoder, processor, posters, options.run / "features.npy", count=len(ids))


def pretrain(options: argparse.Namespace) -> None:
    """Continue the decoder as a language model on plot texts."""
    decoder, tokenizer = _decoder(options.run / "decoder")
    pretrain_decoder(
        decoder,
        tokenizer,
        [
            *read_corpus(options.data, longest=LONGEST),
            *(pair.text for pair in read_pairs(options.data, "train", longest=LONGEST)),
        ],
        [pair.text for pair in read_pairs(options.data, "valid", longest=LONGEST)],
        schedule=Schedule(steps=options.steps),
        state=options.run / "pretrain.pt",
    )
    decoder.save_pretrained(options.run / "language-model")
    tokenizer.save_pretrained(options.run / "language-model")


def train(options: argparse.Namespace) -> None:
    """Teach the decoder to write from the frozen encoder's states."""
    decoder, tokenizer = _decoder(options.run / "language-model")
    encoder = ViTModel.from_pretrained(options.run / "encoder", add_pooling_layer=False)
    model = VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
    train_captioner(
        model,
        tokenizer,
        Features(options.run / "features.npy"),
        read_pairs(options.data, "train", longest=LONGEST),
        read_pairs(options.data, "valid", longest=LONGEST),
        schedule=Schedule(steps=options.steps),
        state=options.run / "train.pt",
    )
    model.save_pretrained(options.run / "captioner")
    tokenizer.save_pretrained(options.run / "captioner")


def export(options: argparse.Namespace) -> None:
    """Write the trained captioner as a checkpoint that the stock classes load: fp16 safetensors."""
    model = VisionEncoderDecoderModel.from_pretrained(options.run / "captioner").half()
    tokenizer = AutoTokenizer.from_pretrained(options.run / "captioner")
    end = tokenizer.eos_token_id
    model.config.decoder_start_token_id = model.config.pad_token_id = end
    # The stock class has a pooler that nothing reads, and warns if a checkpoint lacks its weights.
    for parameter in model.encoder.pooler.parameters():
        torch.nn.init.zeros_(parameter)
    for config in (model.config, model.config.encoder, model.config.decoder):
        config._name_or_path = ""  # else the paths of the parts on this machine
    # Not a key of GenerationConfig: the stock guidance needs a negative prompt.
    model.config.recommended_guidance = options.guidance
    model.generation_config = GenerationConfig(
        decoder_start_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        max_length=64,
        num_beams=4,
        no_repeat_ngram_size=3,
    )
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    ViTImageProcessorPil.from_pretrained(options.run / "encoder").save_pretrained(options.out)


def evaluate(options: argparse.Namespace) -> None:
    """Print a checkpoint's losses on a split, and how different its plots are."""
    p2p = Poster2Plot.from_pretrained(options.checkpoint)
    pairs = read_pairs(options.data, options.split, longest=LONGEST)
    posters = dict(read_posters(options.data, {pair.id for pair in pairs}))
    print(f"{len(pairs)} pairs of the split {options.split!r}")
    loss = losses(p2p, pairs, posters)
    print(f"loss with the right posters {loss.right:.3f} nats a token")
    print(f"loss with shuffled posters  {loss.shuffled:.3f}")
    print(f"loss without a poster       {loss.nothing:.3f}")
    print(f"picture gain                {loss.picture_gain:.4f}")
    chosen = [posters[pair.id] for pair in pairs[: options.plots]]
    for guidance in options.guidance:
        settings = p2p.resolve(GenerationSettings(guidance=guidance))
        plots = [best.text for best, *_ in p2p.generate(chosen, settings)]
        diversity = Diversity.of(plots)
        print(
            f"guidance {settings.guidance}: of {len(plots)} plots {diversity.unique:.1%} unique, "
            f"{diversity.whole:.1%} end in a full sentence, "
            f"{diversity.commonest_opening:.1%} begin with {diversity.opening!r}"
        )


def _decoder(folder: Path) -> tuple[GPT2LMHeadModel, GPT2Tokenizer]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return GPT2LMHeadModel.from_pretrained(folder), tokenizer


def main() -> None:
    """Parse the command line and run one step."""
    parser = argparse.ArgumentParser(prog="python -m poster2plot.training", description=__doc__)
    steps = parser.add_subparsers(required=True, metavar="STEP")
    for step in (convert, features, pretrain, train, export, evaluate):
        command = steps.add_parser(step.__name__, help=step.__doc__, description=step.__doc__)
        command.set_defaults(step=step)
        command.add_argument("--run", type=Path, default=Path("runs/small"), help="working folder")
        if step is not export:
            command.add_argument("--data", type=Path, required=True, help="pairs, corpus, posters")
        if step is convert:
            command.add_argument("--onnx", type=Path, required=True, help="vit_s_focus.onnx")
            command.add_argument("--whisper", type=Path, required=True, help="CTranslate2 folder")
            command.add_argument("--vocabulary", type=int, default=10_000, help="tokens to keep")
        elif step in (pretrain, train):
            command.add_argument("--steps", type=int, required=True, help="optimiser steps")
        elif step is export:
            command.add_argument("--out", type=Path, default=Path("models/poster2plot-small"))
            command.add_argument("--guidance", type=float, default=1.0, help="to recommend")
        elif step is evaluate:
            command.add_argument("--checkpoint", help="default: the bundled model")
            command.add_argument("--split", choices=("train", "valid", "test"), default="valid")
            command.add_argument("--plots", type=int, default=100, help="how many to write")
            command.add_argument("--guidance", type=float, nargs="*", default=[None])
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    options.step(options)


if __name__ == "__main__":
    main()
