"""Training on tiny parts: the whole road, a kill, two processes, other encoders."""

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    BeitConfig,
    BeitModel,
    BertConfig,
    BertLMHeadModel,
    ConvNextConfig,
    ConvNextModel,
    DeiTConfig,
    DeiTModel,
    Dinov2Config,
    Dinov2Model,
    GPT2LMHeadModel,
    PreTrainedModel,
    SwinConfig,
    SwinModel,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
)

from poster2plot import Poster2Plot
from poster2plot.checkpoints.loading import load_checkpoint
from poster2plot.training.batches import Captions, Collator, Example, target_ids
from poster2plot.training.compose import Captioner, compose
from poster2plot.training.dataset import Dataset, prepare
from poster2plot.training.evaluation.losses import encode_all, measure_losses
from poster2plot.training.recipe import ORIGINAL, Recipe
from poster2plot.training.target_texts import IGNORE_INDEX
from poster2plot.training.train import (
    CaptionTrainer,
    last_checkpoint,
    token_loss,
    training_arguments,
)
from support.drawn_posters import draw_poster
from support.toy_model import save_tiny_model, tiny_image_processor, tiny_tokenizer
from support.training_data import PLOTS, write_csv
from tests.training.conftest import Command

SMALL_BATCH = ("--batch", "4", "--learning-rate", "0.003", "--samples", "2")


def parts(encoder: Path, decoder: Path) -> tuple[str, ...]:
    return ("--encoder", str(encoder), "--decoder", str(decoder))


def losses(out: Path) -> list[float]:
    log = json.loads((out / "training.json").read_text())["log"]
    return [entry["eval_loss"] for entry in log if "eval_loss" in entry]


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_the_original_from_posters_to_a_model_with_a_card(
    source: Path, encoder: Path, decoder: Path, embedder: Path, training: Command, tmp_path: Path
):
    data, out, model = tmp_path / "data", tmp_path / "run", tmp_path / "poster2plot-tiny"
    steps = [
        ("dataset", source / "pairs.csv", source, "--out", data, "--valid", "0.2", "--test", "0.2",
         "--references", source / "references.csv"),
        ("train", "--preset", "original", "--data", data, "--out", out, *SMALL_BATCH,
         "--epochs", "6", *parts(encoder, decoder)),
        ("evaluate", "--checkpoint", out, "--data", data, "--out", tmp_path / "evaluation",
         "--embedder", embedder, "--contact-sheet", "4"),
        ("export", out, model, "--data", data, "--figures",
         tmp_path / "evaluation" / "evaluation.md"),
    ]  # fmt: skip
    for step in steps:
        done = training(*step)
        assert done.status == 0, done.errors

    # The decoder learnt, and the run shows how.
    found = losses(out)
    assert len(found) == 6
    assert min(found) < found[0] - 0.5
    assert picture_size(out / "loss.png")[0] > 500
    assert len(list(out.glob("samples-*.png"))) == 6
    # The figures are in the table, in the card, and the plots beside their posters.
    table = (tmp_path / "evaluation" / "evaluation.md").read_text()
    for row in ("picture gain", "| poster |", "copier, by both", "random training plot",
                "another human", "| movie |", "| tv |", "not English"):  # fmt: skip
        assert row in table
    card = (model / "README.md").read_text()
    assert table.strip() in card
    assert "| fr | " in card
    assert "$" not in card
    assert str(tmp_path) not in card
    assert picture_size(tmp_path / "evaluation" / "contact-sheet.png")[1] > 300
    # What comes out is what the app and the stock classes load.
    p2p = Poster2Plot.from_pretrained(model, "cpu")
    [[best]] = p2p.generate([draw_poster("navy")])
    assert best.text
    _, report = VisionEncoderDecoderModel.from_pretrained(model, output_loading_info=True)
    assert not report["missing_keys"]
    assert load_file(model / "model.safetensors")["decoder.transformer.wpe.weight"].dtype == (
        torch.float16
    )


def write_narrow_encoder(folder: Path) -> None:
    """A ViT of another width than the decoder, with its image processor."""
    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    tiny_image_processor(folder)


def test_a_captioner_is_trained_further_with_its_projection(decoder: Path, tmp_path: Path):
    write_narrow_encoder(tmp_path / "encoder")
    first = compose(Recipe(encoder=str(tmp_path / "encoder"), decoder=str(decoder)))
    with torch.no_grad():
        first.model.enc_to_dec_proj.weight.fill_(0.5)
    first.save(tmp_path / "captioner")
    further = compose(
        Recipe(encoder=str(tmp_path / "encoder"), decoder=str(tmp_path / "captioner"))
    )
    assert torch.equal(further.model.enc_to_dec_proj.weight, first.model.enc_to_dec_proj.weight)


def test_a_captioner_is_trained_further_on_other_posters(
    data: Path, decoder: Path, training: Command, tmp_path: Path
):
    write_narrow_encoder(tmp_path / "encoder")
    first = compose(Recipe(encoder=str(tmp_path / "encoder"), decoder=str(decoder), seed=7))
    replace(first, lexicon=frozenset({"a", "zeppelin"})).save(tmp_path / "captioner")
    done = training("train", "--preset", "small", "--captioner", tmp_path / "captioner",
                    "--data", data, "--out", tmp_path / "run", "--batch", "8", "--samples", "1",
                    "--max-target-length", "30", "--learning-rate", "1e-6", "--train-encoder",
                    "--cross-attention-rate", "1e-6", "--targets", "whole")  # fmt: skip
    assert done.status == 0, done.errors
    further = load_checkpoint(tmp_path / "run", device="cpu")
    before, after = first.model.state_dict(), further.model.state_dict()
    assert before.keys() == after.keys()
    assert "enc_to_dec_proj.weight" in after
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, atol=1e-4, rtol=0, msg=name)
    assert any(not torch.equal(after[name], weight) for name, weight in before.items())
    # It may write with the words of the new plots too.
    assert further.lexicon is not None
    assert further.lexicon > {"a", "zeppelin", "told", "keeper"}


@pytest.mark.parametrize(
    ("part", "model", "said"),
    [
        ("encoder", ConvNextModel(ConvNextConfig(hidden_sizes=[8] * 4, depths=[1] * 4)),
         "is of the kind 'convnext'"),
        ("encoder", ViTMAEModel(ViTMAEConfig(hidden_size=8, num_hidden_layers=1,
                                             num_attention_heads=2, intermediate_size=16,
                                             image_size=32, patch_size=8)),
         "leaves parts of a picture out at random"),
        ("decoder", BertLMHeadModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1,
                                               num_attention_heads=2, intermediate_size=16,
                                               is_decoder=True)),
         "choose a GPT-2 as decoder"),
    ],
)  # fmt: skip
def test_a_part_that_no_captioner_can_have_is_refused_before_training(
    part: str, model: PreTrainedModel, said: str, data: Path, encoder: Path, decoder: Path,
    training: Command, tmp_path: Path,
):  # fmt: skip
    model.save_pretrained(tmp_path / "part")
    tiny_image_processor(tmp_path / "part")
    done = training("train", "--data", data, "--out", tmp_path / "run",
                    *parts(encoder, decoder), f"--{part}", tmp_path / "part")  # fmt: skip
    assert done.status == 1
    [error] = [line for line in done.errors.splitlines() if line.startswith("error: ")]
    assert said in error
    assert len(error) < 400
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_in_half_precision_is_trained_in_full(tmp_path: Path):
    folder = save_tiny_model(tmp_path / "model")
    half = VisionEncoderDecoderModel.from_pretrained(folder, dtype=torch.float16)
    half.save_pretrained(folder)
    half.encoder.save_pretrained(tmp_path / "encoder")
    tiny_image_processor(tmp_path / "encoder")
    further = compose(Recipe(encoder=str(tmp_path / "encoder"), decoder=str(folder)))
    assert {weight.dtype for weight in further.model.parameters()} == {torch.float32}


def test_the_end_is_a_target_unless_the_letter_is_asked_for():
    tokenizer = tiny_tokenizer()
    end = tokenizer.eos_token_id
    kept = target_ids(tokenizer, [PLOTS[0]], ORIGINAL)[0]
    assert kept[-1] == end
    assert tokenizer.decode(kept[:-1]) == PLOTS[0]
    letter = Recipe(encoder="", decoder="", append_eos=False)
    assert end not in target_ids(tokenizer, [PLOTS[0]], letter)[0]
    # Too long a plot is cut, and its end is not taught.
    assert end not in target_ids(tokenizer, [PLOTS[0] * 9], ORIGINAL)[0]
    assert len(target_ids(tokenizer, [PLOTS[0] * 9], ORIGINAL)[0]) == 64
    batch = Collator(tokenizer, tiny_image_processor(), ORIGINAL)(
        [
            {"prompt": [end], "labels": ids, "pictured": True, "image": draw_poster()}
            for ids in (kept, kept[-3:])
        ]
    )
    assert batch["labels"].shape == batch["decoder_input_ids"].shape == (2, 64)
    assert (batch["labels"][1] == IGNORE_INDEX).sum() == 61
    assert batch["decoder_input_ids"][0, : len(kept) + 1].tolist() == [end, *kept]


def test_the_loss_is_the_stock_models(encoder: Path, decoder: Path):
    captioner = compose(Recipe(encoder=str(encoder), decoder=str(decoder)))
    model = captioner.model.eval()
    rows = [
        {
            "prompt": [captioner.tokenizer.eos_token_id],
            "labels": target_ids(captioner.tokenizer, [plot], ORIGINAL)[0],
            "pictured": True,
            "image": draw_poster(),
        }
        for plot in PLOTS[:3]
    ]
    batch = Collator(captioner.tokenizer, captioner.image_processor, ORIGINAL)(rows)
    with torch.inference_mode():
        output = model(
            pixel_values=batch["pixel_values"], decoder_input_ids=batch["decoder_input_ids"]
        )
        expected = model(pixel_values=batch["pixel_values"], labels=batch["labels"]).loss
        assert token_loss(output, batch["labels"]) == pytest.approx(float(expected), rel=1e-5)


def trainer(captioner: Captioner, recipe: Recipe, examples: list[Example], out: Path) -> Any:
    """What trains and validates on the examples."""
    captions = Captions(examples, captioner.tokenizer, recipe)
    args = training_arguments(recipe, out, evaluate_every=None)
    return CaptionTrainer(captioner, recipe, args, captions, captions)


@pytest.mark.parametrize("batch", [2, 3])
def test_each_token_weighs_the_same_in_the_validation_loss(
    batch: int, data: Path, encoder: Path, decoder: Path, tmp_path: Path
):
    recipe = Recipe(encoder=str(encoder), decoder=str(decoder), batch=batch)
    captioner = compose(recipe)
    [pair, *_] = Dataset.read(data).split("valid")
    # Of which the last is alone in its batch.
    texts = (*PLOTS[:batch], "Rain.")
    found = trainer(
        captioner, recipe, [Example(pair.id, text, pair.picture) for text in texts], tmp_path
    ).evaluate()
    pixels = captioner.image_processor([pair.picture.read()], return_tensors="pt").pixel_values
    nats, tokens = 0.0, 0
    for [ids] in (target_ids(captioner.tokenizer, [text], recipe) for text in texts):
        with torch.inference_mode():
            loss = captioner.model.eval()(pixel_values=pixels, labels=torch.tensor([ids])).loss
        nats, tokens = nats + float(loss) * len(ids), tokens + len(ids)
    assert found["eval_loss"] == pytest.approx(nats / tokens, rel=1e-5)


def test_a_rate_of_zero_leaves_the_cross_attention_as_it_is(
    data: Path, encoder: Path, decoder: Path, tmp_path: Path
):
    recipe = Recipe(encoder=str(encoder), decoder=str(decoder), cross_attention_rate=0.0)
    captioner = compose(recipe)
    optimizer = trainer(captioner, recipe, [], tmp_path).create_optimizer()
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in captioner.model.named_parameters():
        assert rates[id(parameter)] == (0 if "cross" in name else recipe.learning_rate)


NOISY = ("--word-dropout", "0.1", "--conditioning-dropout", "0.2", "--pad-to-longest",
         "--epochs", "6", "--evaluate-every", "5", "--scheduler", "cosine")  # fmt: skip


def test_a_killed_run_ends_like_an_uninterrupted_one(
    data: Path, encoder: Path, decoder: Path, training: Command, tmp_path: Path
):
    def arguments(out: Path) -> tuple[str | Path, ...]:
        train = ("train", "--data", data, "--out", out)
        return (*train, *parts(encoder, decoder), *SMALL_BATCH, *NOISY)

    whole = training(*arguments(tmp_path / "whole"))
    assert whole.status == 0, whole.errors
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "poster2plot.training", *map(str, arguments(killed))]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while last_checkpoint(killed) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert last_checkpoint(killed) is not None
    assert not (killed / "training.json").exists()
    # A kill may also strike while a checkpoint is written.
    (killed / "checkpoint-999").mkdir()
    (killed / "checkpoint-999" / "trainer_state.json").write_text("{")
    resumed = training(*arguments(killed))
    assert resumed.status == 0, resumed.errors
    expected = load_file(tmp_path / "whole" / "model.safetensors")
    found = load_file(killed / "model.safetensors")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_run_goes_on_with_what_it_was_begun_with_alone(
    data: Path, encoder: Path, decoder: Path, training: Command, tmp_path: Path
):
    out = tmp_path / "run"
    begun = ("train", "--data", data, "--out", out, *parts(encoder, decoder), *SMALL_BATCH,
             "--epochs", "1")  # fmt: skip
    assert training(*begun).status == 0
    weights, log = load_file(out / "model.safetensors"), (out / "training.json").read_text()

    other = shutil.copytree(data, tmp_path / "other")
    rows = (data / "pairs.csv").read_text().replace("is told this", "is told that")
    (other / "pairs.csv").write_text(rows)
    wide = GPT2LMHeadModel.from_pretrained(decoder).config
    wide.n_embd = 64
    GPT2LMHeadModel(wide).save_pretrained(tmp_path / "wide")
    tiny_tokenizer(tmp_path / "wide", titles=True)
    for changed, said in (
        (("--learning-rate", "0.03", "--seed", "7"),
         "learning rate 0.003 (now 0.03), seed 42 (now 7); "),
        (("--epochs", "2", "--batch", "8"), "epochs 1.0 (now 2.0), batch 4 (now 8); "),
        (("--no-train-encoder",), "train encoder True (now False); "),
        (("--decoder", tmp_path / "wide"), f"decoder {decoder.name} ("),
        (("--data", other), "training data "),
    ):  # fmt: skip
        done = training(*begun, *changed)
        assert done.status == 1
        [error] = [line for line in done.errors.splitlines() if line.startswith("error: ")]
        assert said in error
        assert error.endswith("or name another --out.")
        assert (out / "training.json").read_text() == log

    # The same again, and what no weight depends on.
    done = training(*begun, "--samples", "1", "--num-beams", "2")
    assert done.status == 0, done.errors
    found = load_file(out / "model.safetensors")
    assert all(torch.equal(weight, found[name]) for name, weight in weights.items())
    assert json.loads((out / "training.json").read_text())["recipe"]["num_beams"] == 2
    # One that was begun without a note of it goes on as before.
    (out / "begun.json").unlink()
    assert training(*begun, "--epochs", "2").status == 0
    assert len(losses(out)) == 2


def test_two_processes_learn_what_one_does(
    data: Path, encoder: Path, decoder: Path, training: Command, tmp_path: Path
):
    # As many pairs as make whole batches: processes fill up the last one with pairs of the first.
    whole = shutil.copytree(data, tmp_path / "data")
    head, *rows = (data / "pairs.csv").read_text().splitlines(keepends=True)
    train = [row for row in rows if ",train," in row]
    left_out = set(train[len(train) // 4 * 4 :])
    rows = [row for row in rows if row not in left_out]
    (whole / "pairs.csv").write_text("".join([head, *rows]))

    def arguments(out: Path) -> list[str]:
        command = ("train", "--data", whole, "--out", out, "--epochs", "2")
        return [str(a) for a in (*command, *parts(encoder, decoder), *SMALL_BATCH)]

    one = training(*arguments(tmp_path / "one"))
    assert one.status == 0, one.errors
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
              "-m", "poster2plot.training", *arguments(tmp_path / "two")]  # fmt: skip
    two = subprocess.run(
        launch,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert two.returncode == 0, two.stderr
    assert json.loads((tmp_path / "two" / "training.json").read_text())["processes"] == 2
    found, expected = (final_loss(tmp_path / name, data) for name in ("two", "one"))
    assert found == pytest.approx(expected, abs=1e-4)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)


def final_loss(folder: Path, data: Path) -> float:
    """Loss of a trained model on the validation pairs."""
    checkpoint = load_checkpoint(folder, device="cpu")
    pairs = Dataset.read(data).split("valid")
    texts, images = [pair.text for pair in pairs], [pair.picture.read() for pair in pairs]
    states = encode_all(checkpoint, images)
    return measure_losses(checkpoint, texts, states, [""] * len(pairs)).right


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
ENCODERS = {
    "deit": DeiTModel(DeiTConfig(**SIZES, image_size=32, patch_size=8, intermediate_size=64)),
    "beit": BeitModel(BeitConfig(**SIZES, image_size=32, patch_size=8, intermediate_size=64)),
    "dinov2": Dinov2Model(Dinov2Config(**SIZES, image_size=32, patch_size=8)),
    "swin": SwinModel(
        SwinConfig(
            embed_dim=24,
            depths=[1, 1],
            num_heads=[2, 2],
            image_size=32,
            patch_size=4,
            window_size=4,
        )
    ),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_other_encoders_learn_too(
    name: str, data: Path, decoder: Path, training: Command, tmp_path: Path
):
    model: PreTrainedModel = ENCODERS[name]
    model.save_pretrained(tmp_path / name)
    tiny_image_processor(tmp_path / name)
    done = training("train", "--data", data, "--out", tmp_path / "run", "--epochs", "1",
                    *SMALL_BATCH, *parts(tmp_path / name, decoder))  # fmt: skip
    assert done.status == 0, done.errors
    assert len(losses(tmp_path / "run")) == 1
    [[best]] = Poster2Plot.from_pretrained(tmp_path / "run", "cpu").generate([draw_poster()])
    assert best.token_ids


def test_wrong_settings_are_said(data: Path, training: Command, tmp_path: Path):
    done = training("train", "--data", tmp_path, "--out", tmp_path / "run")
    assert done.status == 1
    assert "no prepared dataset" in done.errors
    done = training("train", "--data", data, "--out", tmp_path / "run", "--batch", "0")
    assert done.status == 1
    assert done.errors == "error: batch must be above 0.\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("epochs", math.inf),
        ("weight_decay", math.nan),
        ("weight_decay", -1.0),
        ("cross_attention_rate", -1.0),
        ("warmup_steps", -1),
        ("guidance", math.nan),
        ("guidance", -2.0),
        ("length_penalty", math.nan),
        ("no_repeat_ngram_size", -1),
        ("seed", -1),
    ],
)
def test_a_recipe_has_values_that_can_be(name: str, value: float):
    with pytest.raises(ValueError, match=f"{name} must"):
        replace(ORIGINAL, **{name: value})  # type: ignore[arg-type]


def test_what_cannot_be_learnt_is_said_before_it_begins(
    source: Path, data: Path, encoder: Path, decoder: Path, training: Command, tmp_path: Path
):
    prepare(source / "pairs.csv", source, tmp_path / "no-valid", shares=(0, 0))
    prepare(source / "pairs.csv", source, tmp_path / "no-train", shares=(1, 0))
    with (source / "pairs.csv").open(newline="") as file:
        rows = [row | {"text": f"Łódź: {row['text']}"} for row in csv.DictReader(file)]
    prepare(write_csv(tmp_path / "polish.csv", rows), source, tmp_path / "polish")
    np.save(tmp_path / "states.npy", np.zeros((1, 2, 4), np.float16))
    (tmp_path / "states.ids").write_text("another")
    np.save(tmp_path / "half.npy", np.zeros((0, 2, 4), np.float16))
    (tmp_path / "half.ids").write_text("another")
    labels = write_csv(tmp_path / "labels.csv", [{"id": "another", "text": PLOTS[0]}])
    for dataset, options, why in (
        ("no-valid", (), "has no valid pairs"),
        ("no-train", (), "has no train pairs"),
        ("polish", ("--targets", "premise"), "--targets whole takes them"),
        (data, ("--max-target-length", "9999"), "lower --max-target-length"),
        (data, ("--only-pseudo-labels",), "give --pseudo-labels"),
        (data, ("--pseudo-labels", labels), "'another', which is no training poster"),
        (data, ("--encoder-states", tmp_path / "states.npy"), "no encoder states of the poster"),
        (data, ("--encoder-states", tmp_path / "half.npy"), "no whole encoder states"),
    ):
        done = training("train", "--data", tmp_path / dataset, "--out", tmp_path / "run",
                        *parts(encoder, decoder), *options)  # fmt: skip
        assert done.status == 1
        assert why in done.errors.splitlines()[-1]
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_table_of_ids_and_texts_is_learnt_and_no_sample_need_be_drawn(
    data: Path, encoder: Path, decoder: Path, training: Command, tmp_path: Path
):
    rows = [{"id": pair.id, "text": pair.text} for pair in Dataset.read(data).split("train")[:4]]
    labels = write_csv(tmp_path / "labels.csv", rows)
    done = training("train", "--data", data, "--out", tmp_path / "run", *parts(encoder, decoder),
                    *SMALL_BATCH, "--epochs", "1", "--samples", "0",
                    "--only-pseudo-labels", "--pseudo-labels", labels)  # fmt: skip
    assert done.status == 0, done.errors
    assert len(losses(tmp_path / "run")) == 1
    assert not list((tmp_path / "run").glob("samples-*"))
