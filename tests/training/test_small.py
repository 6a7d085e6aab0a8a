"""The steps before the fine-tune of the bundled model, on tiny parts."""

import csv
import json
from pathlib import Path

import torch
from transformers import AutoTokenizer, GPT2LMHeadModel, ViTModel

from poster2plot.training.dataset import Dataset
from poster2plot.training.states import States
from tests.tiny import LAYERS, tiny_image_processor
from tests.training.conftest import PLOTS, Command, write_csv

EXTRA = "A nurse is told this: two bakers share one oven when a river floods the town."


def test_the_parts_learn_and_fit_together(
    data: Path, encoder: Path, decoder: Path, embedder: Path, training: Command, tmp_path: Path
):
    corpus = write_csv(tmp_path / "corpus.csv", [{"text": t} for t in (EXTRA, *PLOTS)])
    steps = [
        ("pretrain", "--decoder", decoder, "--corpus", corpus, "--data", data, "--steps", "30",
         "--out", tmp_path / "language-model"),
        ("align", "--encoder", encoder, "--data", data, "--embedder", embedder,
         "--out", tmp_path / "aligned", "--epochs", "2", "--frozen", "1", "--batch", "5"),
        ("match", "--corpus", corpus, "--data", data, "--embedder", embedder, "--least", "0.1",
         "--out", tmp_path / "matched.csv"),
        ("train", "--preset", "small", "--encoder", tmp_path / "aligned", "--batch", "5",
         "--decoder", tmp_path / "language-model", "--data", data, "--samples", "1",
         "--states", tmp_path / "aligned" / "states.npy", "--out", tmp_path / "captioner",
         "--matched", tmp_path / "matched.csv"),
    ]  # fmt: skip
    for step in steps:
        done = training(*step)
        assert done.returncode == 0, done.stderr

    log = json.loads(
        (tmp_path / "language-model" / "checkpoint-30" / "trainer_state.json").read_text()
    )
    assert log["global_step"] == 30
    assert GPT2LMHeadModel.from_pretrained(tmp_path / "language-model")
    assert AutoTokenizer.from_pretrained(tmp_path / "language-model")
    # The saved states are those of the encoder that was saved with them.
    aligned = ViTModel.from_pretrained(tmp_path / "aligned", add_pooling_layer=False).eval()
    pair = Dataset.read(data).split("train")[0]
    pixels = tiny_image_processor()([pair.picture.read()], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        [expected] = aligned(pixels).last_hidden_state
    states = States(tmp_path / "aligned" / "states.npy")
    torch.testing.assert_close(states[pair.id], expected, atol=5e-3, rtol=5e-3)
    before = ViTModel.from_pretrained(encoder, add_pooling_layer=False)
    old, new = before.state_dict(), aligned.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed
    assert all(name.startswith((f"layers.{LAYERS - 1}.", "layernorm.")) for name in changed)
    # The further plot joined a poster; those that are pairs already did not.
    with (tmp_path / "matched.csv").open(newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == [EXTRA]
