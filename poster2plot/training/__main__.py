"""Fine-tune a vision encoder and a language model into a captioner of posters.

  dataset    clean a source of posters and plots, split it by id
  train      fine-tune on it: --preset original, or --preset small
  evaluate   measure a checkpoint: does it look at the poster, does it fit?
  export     write the bundled format with a model card

The bundled model also takes convert, pretrain, align, match-texts and distill before `train`, then
self-train, average and lexicon, and may go on by reinforce; the reader of printed titles has
title-words, train-title-reader and evaluate-titles. docs/training.md shows their runs.
`COMMAND --help` explains each. For several GPUs
put `accelerate launch -m` in place of `python -m`.
"""

import argparse
import dataclasses
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

from poster2plot.errors import InputError, Poster2PlotError
from poster2plot.training.bundled.commands import add_commands
from poster2plot.training.failures import sentence
from poster2plot.training.numbers import whole
from poster2plot.training.recipe import PRESETS, Recipe
from poster2plot.training.title_commands import add_commands as add_title_commands


def _add_dataset(commands: typing.Any) -> None:
    command = commands.add_parser(
        "dataset",
        help="clean a source of posters and plots, split it by id",
        description="Clean posters and plots into a folder that the other commands read. The "
        "Kaggle layout ('IMDb movies.csv' and a tree of <id>.jpg) and any CSV with an id and a "
        "text column will do. The same source and seed give the same split.",
    )
    command.add_argument("table", type=Path, help="CSV with an id and a plot a row")
    command.add_argument("pictures", type=Path, help="folder or tar of <id>.jpg, at any depth")
    command.add_argument("--out", type=Path, required=True, help="folder to write")
    command.add_argument("--references", type=Path, help="CSV (id, text) of further plots")
    command.add_argument("--id-column", help="default: imdb_title_id, id or tconst")
    command.add_argument("--text-column", help="default: description, text, plot or overview")
    command.add_argument("--valid", type=float, default=0.1, help="share (default: %(default)s)")
    command.add_argument("--test", type=float, default=0.0, help="share (default: %(default)s)")
    command.add_argument("--seed", type=int, default=42, help="of the split (default: %(default)s)")
    command.set_defaults(run=_dataset)


def _dataset(options: argparse.Namespace) -> None:
    from poster2plot.training.dataset import prepare

    report = prepare(
        options.table,
        options.pictures,
        options.out,
        references=options.references,
        id_column=options.id_column,
        text_column=options.text_column,
        shares=(options.valid, options.test),
        seed=options.seed,
    )
    print(report)


def _add_train(commands: typing.Any) -> None:
    command = commands.add_parser(
        "train",
        help="fine-tune on a dataset: --preset original, or --preset small",
        description="Fine-tune a recipe. Started again after a kill it goes on from its last "
        "checkpoint. The original, on a GPU with 8 GB: train --preset original --data DATA "
        "--out runs/original",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("--preset", choices=PRESETS, default="original", help="the recipe")
    command.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    command.add_argument("--out", type=Path, required=True, help="folder of checkpoints and model")
    command.add_argument(
        "--captioner",
        help="checkpoint to train further: both parts, in place of --encoder and --decoder",
    )
    command.add_argument(
        "--to-the-letter",
        action="store_true",
        help="like the original, never teach the end token; such a model cannot stop",
    )
    command.add_argument(
        "--encoder-states", type=Path, nargs="*", help="encoder states that `align` saved"
    )
    command.add_argument(
        "--pseudo-labels",
        type=Path,
        nargs="*",
        default=[],
        help="CSV of `match-texts`, `distill` or `self-train`, or one of id and text",
    )
    command.add_argument(
        "--only-pseudo-labels", action="store_true", help="no pairs of the dataset"
    )
    command.add_argument("--evaluate-every", type=whole(1), help="steps; default: once an epoch")
    command.add_argument(
        "--samples", type=whole(0), default=6, help="posters in each samples-*.png"
    )
    recipe = command.add_argument_group("to change the recipe", "defaults are the preset's")
    types = typing.get_type_hints(Recipe)
    for field in dataclasses.fields(Recipe):
        if field.name == "append_eos":
            continue
        flag, kind = "--" + field.name.replace("_", "-"), types[field.name]
        if kind is bool:
            recipe.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS
            )
        elif typing.get_origin(kind) is typing.Literal:
            recipe.add_argument(flag, choices=typing.get_args(kind), default=argparse.SUPPRESS)
        else:
            parse = next(k for k in (typing.get_args(kind) or (kind,)) if k is not type(None))
            recipe.add_argument(
                flag, type=parse, metavar=parse.__name__.upper(), default=argparse.SUPPRESS
            )
    command.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from poster2plot.training.batches import Captions, check_positions, to_examples
    from poster2plot.training.bundled.known_words import known_words
    from poster2plot.training.bundled.preference import Preferences, PreferenceTrainer
    from poster2plot.training.bundled.text_matching import read_pseudo_labels
    from poster2plot.training.callbacks import LossCurve, SamplePlots
    from poster2plot.training.compose import compose
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.encoder_states import EncoderStates
    from poster2plot.training.train import CaptionTrainer, train_captioner

    names = {field.name for field in dataclasses.fields(Recipe)}
    changes = {name: value for name, value in vars(options).items() if name in names}
    if options.captioner:
        changes = {"encoder": options.captioner, "decoder": options.captioner} | changes
    if options.to_the_letter:
        changes["append_eos"] = False
    recipe = dataclasses.replace(PRESETS[options.preset], **changes)
    dataset = Dataset.read(options.data)
    captioner = compose(recipe)
    encoder_states = EncoderStates(*options.encoder_states) if options.encoder_states else None
    train = [] if options.only_pseudo_labels else to_examples(dataset.needed("train"), recipe)
    for path in options.pseudo_labels:
        train += read_pseudo_labels(path, dataset)
    if not train:
        raise InputError("There is nothing to learn from; give --pseudo-labels with texts.")
    if captioner.lexicon is not None:  # which lacks words that it is about to learn
        words = captioner.lexicon.union(known_words([example.text for example in train]))
        captioner = dataclasses.replace(captioner, lexicon=words)
    valid = to_examples(dataset.needed("valid"), recipe)
    if encoder_states:
        encoder_states.check(example.id for example in [*train, *valid])
    options.out.mkdir(parents=True, exist_ok=True)
    preferences = bool(train) and all(example.worse for example in train)
    kind = Preferences if preferences else Captions
    taught = kind(train, captioner.tokenizer, recipe, encoder_states)
    held_out = Captions(valid, captioner.tokenizer, recipe, encoder_states)
    positions = captioner.model.decoder.config.max_position_embeddings
    check_positions([*taught.lengths, *held_out.lengths], recipe, positions)
    sampled = dataset.split("valid")[: options.samples]
    train_captioner(
        captioner,
        recipe,
        taught,
        held_out,
        options.out,
        evaluate_every=options.evaluate_every,
        callbacks=[
            LossCurve(options.out),
            *([SamplePlots(options.out, captioner, sampled)] if sampled else []),
        ],
        trainer_class=PreferenceTrainer if preferences else CaptionTrainer,
    )


def _add_evaluate(commands: typing.Any) -> None:
    command = commands.add_parser(
        "evaluate",
        help="measure a checkpoint: does it look at the poster, does it fit?",
        description="Loss, picture gain, similarity to references, retrieval, fluency and wording, "
        "with and without titles, beside baselines and by kind and language. Prints Markdown "
        "tables and writes them to evaluation.md, with plots.csv and contact-sheet.png.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("--checkpoint", help="folder or Hub name; without it the bundled model")
    command.add_argument("--data", type=Path, required=True, help="what `dataset` wrote")
    command.add_argument("--out", type=Path, default=Path("runs/evaluation"), help="folder")
    command.add_argument(
        "--split",
        choices=("train", "valid", "test"),
        help="without it test or, where the dataset has no test pairs, valid",
    )
    command.add_argument("--max-pairs", type=whole(1), help="pairs to draw; without it all")
    command.add_argument(
        "--embedder",
        default="sentence-transformers/all-MiniLM-L6-v2",
        help="sentence embedding model",
    )
    command.add_argument(
        "--judge", help="language model that tells how fluent plots are: name, folder or GGUF file"
    )
    command.add_argument(
        "--read-titles", action="store_true", help="write from the titles printed on posters too"
    )
    command.add_argument("--corpus", type=Path, help="CSV of further texts the model learnt from")
    command.add_argument("--guidance", type=float, help="without it the model's own")
    command.add_argument(
        "--contact-sheet", type=whole(0), default=30, help="posters on the contact sheet"
    )
    command.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from poster2plot.checkpoints.loading import load_checkpoint
    from poster2plot.settings import GenerationSettings
    from poster2plot.title_reading.reader import TitleReader
    from poster2plot.training.dataset import Dataset
    from poster2plot.training.evaluation.evaluate import evaluate
    from poster2plot.training.evaluation.fluency import LanguageModelJudge
    from poster2plot.training.evaluation.retrieval import Embedder
    from poster2plot.training.target_texts import read_corpus

    dataset, settings = Dataset.read(options.data), GenerationSettings(guidance=options.guidance)
    split = options.split or ("test" if dataset.split("test") else "valid")
    for name in ("train", split):  # the baselines copy training plots
        dataset.needed(name)
    checkpoint = load_checkpoint(options.checkpoint)
    checkpoint_device = str(checkpoint.device)
    found = evaluate(
        checkpoint,
        dataset,
        split,
        Embedder(options.embedder, device=checkpoint_device),
        settings=settings,
        cache=options.out,
        judge=LanguageModelJudge(options.judge, checkpoint_device) if options.judge else None,
        title_reader=TitleReader() if options.read_titles else None,
        corpus=[plot.text for plot in read_corpus(options.corpus)] if options.corpus else (),
        max_pairs=options.max_pairs,
    )
    found.save(options.out, shown=options.contact_sheet)
    print(found.markdown())


def _add_export(commands: typing.Any) -> None:
    command = commands.add_parser(
        "export",
        help="write the bundled format with a model card",
        description="Write a trained model as fp16 safetensors that the stock classes load, with "
        "a model card of its data, recipe, figures and limits.",
    )
    command.add_argument("trained", type=Path, help="folder that `train` wrote")
    command.add_argument("out", type=Path, help="folder to write; its name is the model's")
    command.add_argument("--data", type=Path, required=True, help="the dataset it learnt from")
    command.add_argument("--figures", type=Path, help="evaluation.md that `evaluate` wrote")
    command.add_argument("--notes", type=Path, help="further Markdown for the card")
    command.add_argument("--licence", default="other", help="the Hub's name for it")
    command.add_argument("--push-to-hub", metavar="OWNER/NAME", help="upload it as well")
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from poster2plot.training.export import export, push

    export(
        options.trained,
        options.out,
        data=options.data,
        figures=options.figures,
        notes=options.notes,
        licence=options.licence,
    )
    if options.push_to_hub:
        print(push(options.out, options.push_to_hub))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m poster2plot.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    adders = (_add_dataset, add_commands, _add_train, _add_evaluate, _add_export)
    for add in (*adders, add_title_commands):
        add(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except Poster2PlotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; start it again, and it goes on where it can.", file=sys.stderr)
        return 130
    except Exception as error:
        if (what := sentence(error, getattr(options, "out", None))) is None:
            raise
        print(f"error: {what}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
