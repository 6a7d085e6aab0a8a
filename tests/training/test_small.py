"""The steps before the fine-tune of the bundled model, on tiny parts."""

import csv
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel, ViTModel

from poster2plot.training.dataset import Dataset
from poster2plot.training.match import has_stock_opening, match_texts
from poster2plot.training.states import States
from tests.tiny import LAYERS, tiny_image_processor
from tests.training.conftest import PLOTS, Command, write_csv

EXTRA = "A nurse is told this: two bakers share one oven when a river floods the town."


def test_the_parts_learn_and_fit_together(
    data: Path, encoder: Path, decoder: Path, embedder: Path, training: Command, tmp_path: Path
):
    texts = (EXTRA, "The story of a town and the two bakers who share its oven.", *PLOTS)
    corpus = write_csv(tmp_path / "corpus.csv", [{"text": text} for text in texts])
    steps = [
        ("pretrain", "--decoder", decoder, "--corpus", corpus, "--data", data, "--steps", "30",
         "--out", tmp_path / "language-model"),
        ("align", "--encoder", encoder, "--data", data, "--embedder", embedder,
         "--out", tmp_path / "aligned", "--epochs", "2", "--frozen", "1", "--batch", "5"),
        ("match", "--corpus", corpus, "--data", data, "--embedder", embedder, "--nearest", "2",
         "--aligned", tmp_path / "aligned", "--out", tmp_path / "matched.csv"),
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
    # Every good text that tells of no held-out title joined a training poster.
    dataset = Dataset.read(data)
    with (tmp_path / "matched.csv").open(newline="") as file:
        matches = {row["text"]: row["id"] for row in csv.DictReader(file)}
    assert matches.keys() == {EXTRA, *(pair.text for pair in dataset.split("train"))}
    assert set(matches.values()) <= {pair.id for pair in dataset.split("train")}


def test_texts_join_the_posters_that_look_like_them():
    """Of two nearest posters both are drawn; a poster that is near to everything gets no more."""
    directions = torch.eye(4)
    posters = torch.cat([directions, directions + 0.1, directions.mean(0, keepdim=True)])
    posters = torch.nn.functional.normalize(posters, dim=-1)
    texts = directions.repeat(50, 1)
    chosen = match_texts(texts, posters, nearest=2, seed=0)
    assert {(i % 4, row) for i, row in enumerate(chosen)} == {
        (i, row) for i in range(4) for row in (i, i + 4)
    }
    assert match_texts(texts, posters, nearest=2, seed=0) == chosen
    assert match_texts(texts, posters, nearest=2, seed=1) != chosen


@pytest.mark.parametrize(
    ("text", "stock"),
    [
        ("The story of a man.", True),
        ("A true story of two sisters.", True),
        ("This is a tale of love.", True),
        ("Based on the novel.", True),
        ("A storyteller loses her voice.", False),
        ("The moviegoer wakes.", False),
    ],
)
def test_stock_openings_speak_of_the_plot_itself(text: str, stock: bool):
    assert has_stock_opening(text) == stock
