"""Direct preference optimization on tiny parts."""

from pathlib import Path

import torch

from poster2plot.training.batches import Captions, Example
from poster2plot.training.bundled.preference import Preferences, PreferenceTrainer
from poster2plot.training.compose import Captioner, compose
from poster2plot.training.dataset import Dataset
from poster2plot.training.recipe import Recipe
from poster2plot.training.train import train_captioner


def likelihood(captioner: Captioner, example: Example, text: str) -> float:
    """Of a text after an example's poster, as a log."""
    pixels = captioner.image_processor([example.picture.read()], return_tensors="pt")
    end = captioner.tokenizer.eos_token_id
    ids = torch.tensor([[end, *captioner.tokenizer(text)["input_ids"], end]])
    captioner.model.eval()
    with torch.inference_mode():
        logits = captioner.model(**pixels, decoder_input_ids=ids[:, :-1]).logits
    return float(logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).sum())


def test_the_better_plot_becomes_likelier_and_the_worse_one_less_so(
    data: Path, encoder: Path, decoder: Path, tmp_path: Path
):
    recipe = Recipe(
        encoder=str(encoder),
        decoder=str(decoder),
        pad_to_longest=True,
        train_encoder=False,
        keep_best=False,
        epochs=20,
        batch=4,
        learning_rate=3e-3,
        precision="fp32",
        conditioning_dropout=0.2,
        word_dropout=0.05,
        patch_dropout=0.2,
    )
    captioner = compose(recipe)
    pairs = Dataset.read(data).split("train")[:4]
    better, worse = "two bakers share one oven.", "A river floods the town."
    examples = [Example(pair.id, better, pair.picture, worse=worse) for pair in pairs]
    before = [likelihood(captioner, examples[0], text) for text in (better, worse)]
    train_captioner(
        captioner,
        recipe,
        Preferences(examples, captioner.tokenizer, recipe),
        Captions(examples, captioner.tokenizer, recipe),
        tmp_path,
        trainer_class=PreferenceTrainer,
    )
    after = [likelihood(captioner, examples[0], text) for text in (better, worse)]
    assert after[0] > before[0] + 1
    assert after[1] < before[1] - 1
