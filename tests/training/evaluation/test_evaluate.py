import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from poster2plot import GenerationSettings
from poster2plot.checkpoints.loading import load_checkpoint
from poster2plot.errors import InputError
from poster2plot.title_reading.reader import TitleReader
from poster2plot.training.dataset import Dataset, Picture, prepare
from poster2plot.training.evaluation import evaluate as evaluation
from poster2plot.training.evaluation import retrieval
from poster2plot.training.evaluation.copier import _pooled_states
from poster2plot.training.evaluation.evaluate import Comparison, Evaluation, evaluate
from poster2plot.training.evaluation.fluency import LanguageModelJudge
from poster2plot.training.evaluation.losses import Losses
from poster2plot.training.evaluation.retrieval import Embedder, similarity
from poster2plot.training.evaluation.wording import Wording, vocabulary
from poster2plot.training.plot_embeddings import cached_embeddings
from poster2plot.training.target_texts import premise
from support.toy_model import save_tiny_model
from support.training_data import PLOTS
from tests.training.conftest import Command


def test_wording():
    plots = ["A man in a hat walks.", "A man in a hat runs runs.", "Dogs bark", "Dogs bark"]
    texts = {"A man in a hat walks.", "Dogs run. A man runs."}
    assert Wording.of(plots, texts, vocabulary(texts)) == Wording(
        unique=0.75,
        whole=0.5,
        broken=0.5,
        doubled=0.25,
        slips=0.75,
        copied=0.25,
        harmful=0.0,
        four_words=("A man in a", 0.5),
        two_words=("A man", 0.5),
        phrase=("a man in a", 0.5),
    )


def test_words_of_the_title_are_not_broken():
    plots = ["Zorro's back.", "Zorro back."]
    titles = ["The Mask of Zorro", "A back"]
    assert Wording.of(plots, set(), {"back"}, titles).broken == 0.5
    assert Wording.of(plots, set(), {"back"}).broken == 1


def test_picture_gain():
    assert Losses(right=4.0, shuffled=4.5, without=4.2).picture_gain == 0.5


def test_fluency_is_the_judges_own_loss(decoder: Path):
    """Nats a token over all texts, whatever is padded beside them."""
    judge = LanguageModelJudge(decoder)
    model = AutoModelForCausalLM.from_pretrained(decoder)
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    losses, tokens = [], []
    plots = PLOTS[:5] * 4  # more than a batch
    for plot in plots:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(plot)["input_ids"]]])
        losses.append(model(ids, labels=ids).loss.item())
        tokens.append(ids.shape[1] - 1)
    assert judge.nats_per_token(plots).tolist() == pytest.approx(losses, rel=1e-5)
    nats = sum(loss * count for loss, count in zip(losses, tokens, strict=True))
    assert judge(plots) == pytest.approx(nats / sum(tokens), rel=1e-5)
    assert judge.nats_per_token([""] * 20).tolist() == [0] * 20  # a whole batch and a part
    assert judge.nats_per_token(["", *plots[:1]]).tolist() == [0, pytest.approx(losses[0])]


def test_similarity_by_hand():
    x, y = torch.eye(2)
    plots = torch.stack([x, F.normalize(x + y, dim=0)])
    found = similarity(plots, [torch.stack([y, x]), y[None]])
    root = 0.5**0.5
    torch.testing.assert_close(found.cosine, torch.tensor([1.0, root]))
    # Each title's best reference counts: x itself for the first title, seen from the second too.
    torch.testing.assert_close(found.margin, torch.tensor([1.0, 0.0]))


def test_recall_of_plots_that_know_their_title_and_of_plots_that_do_not():
    generator = torch.Generator().manual_seed(0)
    titles = F.normalize(torch.randn(300, 64, generator=generator), dim=-1)
    strangers = F.normalize(torch.randn(300, 64, generator=generator), dim=-1)
    assert similarity(titles, list(titles[:, None])).hits.mean() == 1
    assert 0.05 < similarity(strangers, list(titles[:, None])).hits.mean() < 0.15


def test_embeddings_do_not_depend_on_the_texts_beside(
    embedder: Path, monkeypatch: pytest.MonkeyPatch
):
    embed = Embedder(embedder)
    monkeypatch.setitem(retrieval.BATCH, "cpu", 3)
    together = embed(PLOTS[:7])
    alone = torch.cat([embed([plot]) for plot in PLOTS[:7]])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(7))


def test_a_text_that_is_longer_than_the_judge_reads_is_cut(decoder: Path):
    plot, longer = " ".join(PLOTS), " ".join(PLOTS * 2)
    judge = LanguageModelJudge(decoder)
    assert judge([plot]) == judge([longer])


def test_what_is_kept_is_told_by_embedder_and_pictures(
    data: Path, embedder: Path, decoder: Path, tmp_path: Path
):
    other = shutil.copytree(embedder, tmp_path / "other") / "model.safetensors"
    save_file({name: weight.flip(0) for name, weight in load_file(other).items()}, other)
    cache, kept = tmp_path / "cache", []
    for folder in (embedder, other.parent, embedder):
        kept.append(cached_embeddings(cache, PLOTS[:2], Embedder(folder)))
    assert torch.equal(kept[0], kept[2])
    assert not torch.equal(kept[0], kept[1])

    checkpoint = load_checkpoint(save_tiny_model(tmp_path / "model"), device="cpu")
    pairs = Dataset.read(data).split("train")
    swapped = [replace(pairs[0], picture=pairs[1].picture), *pairs[1:]]
    first, second, again = (
        _pooled_states(checkpoint, some[:2], cache)[0] for some in (pairs, swapped, pairs)
    )
    assert torch.equal(first, again)
    assert torch.equal(second[0], second[1])
    assert not torch.equal(first, second)


def test_a_model_that_takes_titles_is_measured_under_each_condition(
    data: Path, embedder: Path, tmp_path: Path
):
    model = save_tiny_model(tmp_path / "model", titles=True, positions=128)
    found = evaluate(
        load_checkpoint(model, device="cpu"),
        Dataset.read(data),
        "train",
        Embedder(embedder),
        settings=GenerationSettings(max_length=16),
        cache=tmp_path,
        title_reader=TitleReader(),
        max_pairs=4,
    )
    table = found.markdown()
    names = ("poster and title", "poster", "poster and another's title")
    for name in (*names, "title and another's poster", "poster and title read"):
        assert f"| {name} |" in table
    assert "no repeated 2-gram" in table
    # Of four titles each is among the ten nearest.
    assert re.search(r"\| poster \| 4 \| \S+ \| \S+ \| – \|", table)
    assert "fewer than 100 titles" in table
    # The table tells that all is there.
    lost = replace(found.pairs[0], picture=Picture(str(tmp_path / "lost.jpg")))
    with pytest.raises(InputError):
        replace(found, pairs=(lost, *found.pairs[1:])).save(tmp_path, shown=4)
    assert not (tmp_path / "evaluation.md").exists()
    found.save(tmp_path, shown=4)
    assert (tmp_path / "evaluation.md").read_text(encoding="utf-8") == table
    found.save(tmp_path / "unseen", shown=0)
    assert (tmp_path / "unseen" / "plots.csv").is_file()
    assert not (tmp_path / "unseen" / "contact-sheet.png").exists()


def test_recall_says_of_how_many_titles_it_is(data: Path):
    pairs = tuple(Dataset.read(data).pairs)
    generator = torch.Generator().manual_seed(0)

    def table(count: int) -> str:
        plots = F.normalize(torch.randn(count, 8, generator=generator), dim=-1)
        texts = [PLOTS[i % len(PLOTS)] for i in range(count)]
        source = Comparison(
            "poster",
            tuple(texts),
            similarity(plots, list(plots[:, None])),
            Wording.of(texts, {""}, {""}),
            None,
        )
        losses = {"poster": Losses(4.0, 4.5, 4.2)}
        shown = (pairs * count)[:count]
        settings = GenerationSettings(guidance=1.0)
        return Evaluation("m", "test", settings, losses, shown, (source,), None).markdown()

    row = r"\| poster \| {} \| 1\.000 \| {} \| {} \| – \|"
    assert re.search(row.format(100, r"\d\.\d{3}", r"1\.000"), table(100))
    assert "fewer than 100" not in table(100)
    assert re.search(row.format(50, r"\d\.\d{3}", r"1\.000 of 50"), table(50))
    assert re.search(row.format(10, r"\d\.\d{3}", "–"), table(10))
    assert "nothing of 10 or fewer" in table(10)
    assert re.search(row.format(1, "–", "–"), table(1))
    assert "nan" not in table(1)


def test_what_was_taught_of_a_text_counts_as_copied(
    data: Path, embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    end = "A second sentence tells how it all ends, which nobody in the town would have guessed."
    further = [f"{end} {end}", "It ends… badly."]
    dataset = Dataset.read(data)
    pairs = [
        replace(pair, text=f"{pair.text} {further[i % 2]}") for i, pair in enumerate(dataset.pairs)
    ]
    train = [pair for pair in pairs if pair.split == "train"]
    written = [premise(pair.text) for pair in train[:3]] + ["A plot of its own."]
    monkeypatch.setattr(evaluation, "_write", lambda *_: written)
    found = evaluation.evaluate(
        load_checkpoint(save_tiny_model(tmp_path / "model"), device="cpu"),
        replace(dataset, pairs=tuple(pairs)),
        "train",
        Embedder(embedder),
        settings=GenerationSettings(),
        cache=tmp_path,
        max_pairs=4,
    )
    assert written[:2] != [pair.text for pair in train[:2]]
    assert found.sources[0].wording.copied == 0.75


def test_without_a_split_it_is_test_or_else_valid(
    source: Path,
    data: Path,
    embedder: Path,
    tiny_folder: Path,
    training: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def say_split(checkpoint: Any, dataset: Dataset, split: str, *_: Any, **__: Any) -> None:
        raise InputError(split)

    monkeypatch.setattr("poster2plot.training.evaluation.evaluate.evaluate", say_split)
    prepare(source / "pairs.csv", source, tmp_path / "untested", shares=(0.2, 0))
    for folder, said in ((data, "test"), (tmp_path / "untested", "valid")):
        done = training("evaluate", "--data", folder, "--embedder", embedder,
                        "--checkpoint", tiny_folder, "--out", tmp_path / "out")  # fmt: skip
        assert done.errors.endswith(f"error: {said}\n")
    done = training("evaluate", "--data", tmp_path / "untested", "--split", "test")
    assert done.status == 1
    assert "has no test pairs" in done.errors
