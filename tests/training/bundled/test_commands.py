"""The steps before the fine-tune of the bundled model, on tiny parts."""

import re
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
import torch
from transformers import (
    AutoTokenizer,
    GPT2LMHeadModel,
    TrainingArguments,
    VisionEncoderDecoderModel,
    ViTModel,
    default_data_collator,
)

from poster2plot.training.bundled import reinforcement
from poster2plot.training.bundled.distillation import nearest_others
from poster2plot.training.bundled.pretrain import Blocks, BlockTrainer
from poster2plot.training.bundled.rewards import is_plain
from poster2plot.training.bundled.self_training import Written, best_plots, preferences
from poster2plot.training.bundled.teacher import request, some
from poster2plot.training.bundled.text_matching import (
    has_stock_opening,
    match,
    misread,
    names,
    names_somebody_first,
    plain_words,
    rare_words,
    read_pseudo_labels,
    thin_openings,
)
from poster2plot.training.dataset import Dataset, prepare
from poster2plot.training.encoder_states import EncoderStates
from poster2plot.training.target_texts import Plot, lessons, packed_blocks, title_words
from poster2plot.training.train import mean_loss
from support.toy_model import LAYERS, tiny_image_processor
from support.training_data import PLOTS, write_csv
from tests.training.conftest import Command

SMALL = ("--preset", "small", "--max-target-length", "30")
EXTRA = "A nurse is told this: two bakers share one oven when a river floods the town."


def test_the_parts_learn_and_fit_together(
    data: Path,
    encoder: Path,
    decoder: Path,
    embedder: Path,
    teacher: Path,
    training: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(reinforcement, "SAVE_EVERY", 1)
    texts = (EXTRA, "The story of a town and the two bakers who share its oven.", *PLOTS)
    corpus = write_csv(tmp_path / "corpus.csv", [{"text": text} for text in texts])
    steps = [
        ("pretrain", "--decoder", decoder, "--corpus", corpus, "--data", data, "--epochs", "3",
         "--out", tmp_path / "language-model"),
        ("align", "--encoder", encoder, "--data", data, "--embedder", embedder,
         "--out", tmp_path / "aligned", "--epochs", "2", "--frozen", "1", "--batch", "5"),
        ("match-texts", "--corpus", corpus, "--data", data, "--embedder", embedder,
         "--aligned", tmp_path / "aligned", "--out", tmp_path / "matched.csv"),
        ("distill", "--corpus", corpus, "--data", data, "--embedder", embedder,
         "--aligned", tmp_path / "aligned", "--teacher", teacher, "--posters", "3",
         "--samples", "2", "--batch", "2", "--out", tmp_path / "distilled"),
        ("train", *SMALL, "--encoder", tmp_path / "aligned", "--batch", "5",
         "--decoder", tmp_path / "language-model", "--data", data, "--samples", "1",
         "--encoder-states", tmp_path / "aligned" / "states.npy", "--out", tmp_path / "captioner",
         "--pseudo-labels", tmp_path / "matched.csv", tmp_path / "distilled" / "plots.csv"),
        ("self-train", "--captioner", tmp_path / "captioner", "--corpus", corpus, "--data", data,
         "--aligned", tmp_path / "aligned", "--embedder", embedder, "--posters", "3",
         "--judge", decoder, "--out", tmp_path / "self-trained.csv"),
        ("self-train", "--captioner", tmp_path / "captioner", "--corpus", corpus, "--data", data,
         "--aligned", tmp_path / "aligned", "--embedder", embedder, "--posters", "2",
         "--guidance", "2", "--out", tmp_path / "guided.csv"),
        ("train", *SMALL, "--encoder", tmp_path / "aligned", "--batch", "3",
         "--decoder", tmp_path / "captioner", "--data", data, "--samples", "1",
         "--encoder-states", tmp_path / "aligned" / "states.npy",
         "--out", tmp_path / "self-trained", "--only-pseudo-labels", "--epochs", "2",
         "--pseudo-labels", tmp_path / "matched.csv", tmp_path / "self-trained.csv"),
        ("encoder-states", "--captioner", tmp_path / "captioner", "--data", data,
         "--out", tmp_path / "states"),
        ("reinforce", "--captioner", tmp_path / "captioner", "--corpus", corpus, "--data", data,
         "--aligned", tmp_path / "states", "--embedder", embedder, "--judge", teacher,
         "--steps", "3", "--posters", "3", "--samples", "2", "--out", tmp_path / "reinforced"),
        ("average", tmp_path / "captioner", tmp_path / "self-trained", "--out", tmp_path / "mean"),
    ]  # fmt: skip
    for step in steps:
        done = training(*step)
        assert done.status == 0, done.errors
        if step[0] == "encoder-states":
            (tmp_path / "captioner" / "lexicon.txt").write_text("a\nnurse\n")

    # None goes on with other settings.
    others = {
        "pretrain": ("--epochs", "1", "epochs 3 (now 1)"),
        "align": ("--batch", "4", "batch 5 (now 4)"),
        "distill": ("--batch", "3", "batch 2 (now 3)"),
        "reinforce": ("--seed", "5", "seed 0 (now 5)"),
    }
    for step in steps:
        if step[0] in others:
            option, value, said = others[str(step[0])]
            done = training(*step, option, value)
            assert done.status == 1
            assert f"was begun with {said}" in done.errors

    assert GPT2LMHeadModel.from_pretrained(tmp_path / "language-model")
    assert AutoTokenizer.from_pretrained(tmp_path / "language-model")
    # The saved states are those of the encoder that was saved with them.
    aligned = ViTModel.from_pretrained(tmp_path / "aligned", add_pooling_layer=False).eval()
    pair = Dataset.read(data).split("train")[0]
    pixels = tiny_image_processor()([pair.picture.read()], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        [expected] = aligned(pixels).last_hidden_state
    encoder_states = EncoderStates(tmp_path / "aligned" / "states.npy")
    torch.testing.assert_close(encoder_states[pair.id], expected, atol=5e-3, rtol=5e-3)
    again = EncoderStates(tmp_path / "states" / "states.npy")
    torch.testing.assert_close(again[pair.id], encoder_states[pair.id], atol=5e-3, rtol=5e-3)
    before = ViTModel.from_pretrained(encoder, add_pooling_layer=False)
    old, new = before.state_dict(), aligned.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed
    assert all(name.startswith((f"layers.{LAYERS - 1}.", "layernorm.")) for name in changed)
    # Every good text that tells of no held-out title joined a training poster, once.
    dataset = Dataset.read(data)
    examples = read_pseudo_labels(tmp_path / "matched.csv", dataset)
    own = {pair.text: pair.title for pair in dataset.split("train")}
    assert {example.text for example in examples} <= {EXTRA, *own}
    told = {example.title.casefold() for example in examples}
    assert told <= {"", *(title.casefold() for title in own.values())}
    matched = [example.text for example in examples]
    assert len(set(matched)) == len(matched)
    for example in examples:
        title = own.get(example.text, "")
        assert example.title in ("", title, title.upper())
    assert {example.id for example in examples} <= {pair.id for pair in dataset.split("train")}
    assert any(not example.title for example in examples)
    # The last stage went on from the captioner.
    first = VisionEncoderDecoderModel.from_pretrained(tmp_path / "captioner")
    last = VisionEncoderDecoderModel.from_pretrained(tmp_path / "self-trained")
    change = last.decoder.lm_head.weight - first.decoder.lm_head.weight
    assert 0 < change.abs().max() < 0.05
    mean = VisionEncoderDecoderModel.from_pretrained(tmp_path / "mean").decoder.lm_head.weight
    torch.testing.assert_close(mean, first.decoder.lm_head.weight + change / 2)
    assert (tmp_path / "mean" / "training.json").is_file()
    # A captioner that learnt from rewards has its words still.
    assert (tmp_path / "reinforced" / "lexicon.txt").read_text() == "a\nnurse\n"


def test_each_target_weighs_the_same_in_a_language_models_held_out_loss(
    decoder: Path, tmp_path: Path
):
    model = GPT2LMHeadModel.from_pretrained(decoder)
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    plots = [Plot("", PLOTS[0]), Plot("", PLOTS[1]), Plot("", "Rain.")]
    [*taught] = lessons(tokenizer, plots, max_length=64, seed=0)
    # Blocks of one plot each, so that the last batch has few targets.
    blocks = Blocks(*(packed_blocks([each], block_size=64, padding=0) for each in taught))
    trainer = BlockTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(tmp_path), use_cpu=True, per_device_eval_batch_size=2, report_to="none"
        ),
        data_collator=default_data_collator,
        eval_dataset=blocks,
        compute_metrics=mean_loss,
    )
    nats, targets = 0.0, 0
    for prompt, target in taught:
        ids = torch.tensor([[*prompt, *target]])
        with torch.inference_mode():
            nats += float(model.eval()(ids, labels=ids).loss) * len(target)
        targets += len(target)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(nats / targets, rel=1e-5)


def test_texts_join_the_posters_that_look_like_them():
    """Of two nearest posters both are drawn; a poster that is near to everything gets no more."""
    directions = torch.eye(4)
    posters = torch.cat([directions, directions + 0.1, directions.mean(0, keepdim=True)])
    posters = torch.nn.functional.normalize(posters, dim=-1)
    texts = directions.repeat(50, 1)
    chosen = match(texts, posters, nearest=2, seed=0)
    assert {(i % 4, row) for i, row in enumerate(chosen)} == {
        (i, row) for i in range(4) for row in (i, i + 4)
    }
    assert match(texts, posters, nearest=2, seed=0) == chosen
    assert match(texts, posters, nearest=2, seed=1) != chosen


def test_names_and_rare_words_are_told_from_plain_ones():
    plain = plain_words(["A nurse meets a thief in town."] * 3)
    assert names("A nurse meets Zorro in town. Zorro's thief and I!") == {"zorro"}
    assert names("In town a thief. A nurse, Anna’s friend.") == {"anna"}
    assert rare_words("A nurse meets a glorp. In town I thief.", plain) == {"glorp"}
    assert title_words("The Mask of Zorro") >= {"zorro"}


def test_a_name_may_not_begin_a_sentence():
    plain = {"a", "the", "when"}
    assert names_somebody_first(Plot("", "Zorro meets a thief."), plain)
    assert names_somebody_first(Plot("", "A thief meets Zorro. “Zorro’s” town is theirs."), plain)
    assert not names_somebody_first(Plot("The Mask of Zorro", "Zorro meets a thief."), plain)
    assert not names_somebody_first(Plot("", "When a thief meets Zorro: the end. I saw it."), plain)


def test_no_opening_is_in_too_many_texts():
    plots = [Plot("", f"A man {i}.") for i in range(6)] + [
        Plot("", f"Two men {i}.") for i in "1234"
    ]
    assert thin_openings(plots, 0.4) == [*plots[:4], *plots[6:]]


def test_the_best_plots_mean_what_they_should_and_not_what_suits_all():
    targets = torch.eye(3)[:2]
    written = [
        Written(row, text, True)
        for row, text in [(0, "right"), (0, "wrong"), (0, "all"), (1, "poor"), (1, "worst")]
    ]
    plots = torch.tensor(
        [[1.0, 0, 0], [0.0, 1, 0], [0.71, 0.71, 0], [0.0, 0.2, 0.98], [0.0, 0.1, 0.99]]
    )
    assert preferences(written, plots, targets) == [(0, "right", "wrong"), (1, "poor", "worst")]
    assert preferences([], torch.zeros(0, 3), targets) == []


def test_a_plot_that_is_not_plain_is_never_best_and_loses_to_one_that_is_little_worse():
    targets = torch.eye(3)[:1]
    written = [Written(0, "names", False), Written(0, "good", True), Written(0, "worse", True)]
    plots = torch.tensor([[1.0, 0, 0], [0.9, 0.44, 0], [0.85, 0.53, 0]])
    assert preferences(written, plots, targets) == [(0, "good", "names")]
    assert preferences(written[:1], plots[:1], targets) == []
    assert preferences(written[1:2], plots[1:2], targets) == []


def test_fluency_is_weighed_against_nearness_for_the_best_and_for_the_worst():
    targets = torch.eye(3)[:1]
    nats = {"nearest": 5.0, "near": 4.0, "nearer": 4.5, "farther": 9.0, "far": 3.0}
    written = [Written(0, text, True) for text in nats]
    plots = torch.tensor(
        [[1.0, 0, 0], [0.95, 0.31, 0], [0.96, 0.28, 0], [0.3, 0.95, 0], [0.0, 1, 0]]
    )

    def judge(texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([nats[text] for text in texts])

    assert preferences(written, plots, targets) == [(0, "nearest", "far")]
    judged = preferences(written, plots, targets, judge, fluency=0.12)
    assert judged == [(0, "near", "farther")]
    best = best_plots(written, plots, targets, judge, fluency=0.12, best=2)
    assert [plot.text for plot in best] == ["near", "nearer"]


def test_of_plots_that_are_not_plain_none_is_best():
    def judge(texts: Sequence[str]) -> torch.Tensor:
        return torch.zeros(len(texts))

    targets, plots = torch.eye(3)[:1], torch.eye(3)[:2]
    written = [Written(0, "names", False), Written(0, "plain", True)]
    assert best_plots(written, plots, targets, judge, fluency=1, best=2) == written[1:]
    assert best_plots(written[:1], plots[:1], targets, judge, fluency=1, best=2) == []


def test_a_teacher_is_told_of_other_plots_than_the_one_it_is_to_write():
    texts = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [0.9, 0.1], [0, 1]]), dim=-1)
    assert nearest_others(texts[:2], texts, [0, -1]).tolist() == [[1, 2, 0], [1, 0, 2]]
    assert request("Heat", ["A cop.", "A thief."]) == (
        "Title: Heat\nAlike: A cop.\nAlike: A thief.\nPlot:"
    )
    assert request("", []) == "Plot:"
    assert len(set(some(["a", "b", "c"], Random(0)))) == 2
    assert some([], Random(0)) == []


def test_a_title_is_told_as_a_reader_of_posters_may_have_it():
    chance = Random(0)
    told = {misread("The Mask of Zorro", chance) for _ in range(500)}
    assert {"The Mask of Zorro", "THE MASK OF ZORRO", "The Mask of", "THE OF ZORRO"} <= told
    assert {misread("Heat", chance) for _ in range(500)} == {"Heat", "HEAT"}
    assert misread("", chance) == ""


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("A nurse must find the town before the river does so again.", True),
        ("A nurse must find the town before the river does so again", False),
        ("a nurse must find the town before the river does so again.", False),
        ("A nurse must find Zorblax before the river does so again.", False),
        ("A nurse must find a town before the town does so again.", True),
        ("A nurse must find a stranger before the stranger does so.", False),
        ("A nurse must must find the town before the river does.", False),
        ("A nurse must find a town, must find the river.", False),
        ("A nurse must find the town.", False),
        ("The story of a nurse who must find the town before the river.", False),
        ("A nurse must find the town ☃ before the river does so again.", False),
    ],
)
def test_plain_plots_are_short_and_of_known_words(text: str, plain: bool):
    words = "a nurse must find the town before river stranger does so again story of who"
    known = set(re.findall("[a-z]+", words))
    assert is_plain(text, known) == plain


def test_plain_words_are_those_of_several_texts_in_small_letters():
    texts = ["A river and Rome.", "The river of Rome.", "A river, a well-known one.", "Rome. Rome."]
    assert plain_words(texts) == {"river"}


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


def test_the_encoder_is_aligned_on_fewer_pairs_than_a_batch(
    data: Path, encoder: Path, embedder: Path, training: Command, tmp_path: Path
):
    command = ("align", "--encoder", encoder, "--data", data, "--embedder", embedder,
               "--out", tmp_path / "aligned", "--epochs", "1")  # fmt: skip
    assert f"has {LAYERS} layers; lower --frozen, which is 8" in training(*command).errors
    done = training(*command, "--frozen", "1")
    assert done.status == 0, done.errors


def test_a_step_that_finds_nothing_is_an_error(
    source: Path, data: Path, tiny_folder: Path, training: Command, tmp_path: Path
):
    corpus = write_csv(tmp_path / "corpus.csv", [{"text": "Too short."}])
    prepare(source / "pairs.csv", source, tmp_path / "no-valid", shares=(0, 0))
    prepare(source / "pairs.csv", source, tmp_path / "no-train", shares=(1, 0))
    out = ("--out", tmp_path / "out")
    align = ("align", "--encoder", tiny_folder, "--embedder", tiny_folder, *out)
    for command, why in (
        ((*align, "--data", tmp_path / "no-valid"), "has no valid pairs"),
        ((*align, "--data", tmp_path / "no-train"), "has no train pairs"),
        (("lexicon", "--corpus", corpus, "--data", tmp_path / "no-train", *out), "has a premise"),
        (("bias-phrases", "--captioner", tiny_folder, "--corpus", corpus, "--data", data,
          "--out", tiny_folder), "name another folder as --out"),
    ):  # fmt: skip
        done = training(*command)
        assert done.status == 1
        assert why in done.errors.splitlines()[-1]
