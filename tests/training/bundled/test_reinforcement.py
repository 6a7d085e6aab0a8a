"""Reinforcement learning on tiny parts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from poster2plot.training.bundled import reinforcement
from poster2plot.training.bundled.reinforcement import Reinforcement, Reinforcer
from poster2plot.training.bundled.rewards import RecentPhrases, Rewards
from poster2plot.training.bundled.sources import Sources
from poster2plot.training.compose import Captioner, compose
from poster2plot.training.dataset import Dataset
from poster2plot.training.encoder_states import save_encoder_states
from poster2plot.training.evaluation.retrieval import Embedder
from poster2plot.training.recipe import SMALL
from support.training_data import PLOTS, write_csv

HOW = Reinforcement(steps=24, posters=6, samples=6, learning_rate=0.02)


def short_is_good(
    plots: Sequence[str], titles: Sequence[str], wanted: torch.Tensor, recent: RecentPhrases
) -> Rewards:
    none = torch.zeros(len(plots))
    return Rewards(-torch.tensor([float(len(plot)) for plot in plots]), none, none, none)


@pytest.fixture(scope="module")
def sources(
    data: Path, embedder: Path, encoder: Path, decoder: Path, tmp_path_factory: Any
) -> Sources:
    folder = tmp_path_factory.mktemp("aligned")
    captioner, dataset = captioner_of(encoder, decoder), Dataset.read(data)

    def encode(pairs: Any) -> torch.Tensor:
        pictures = [pair.picture.read() for pair in pairs]
        pixels = captioner.image_processor(pictures, return_tensors="pt").pixel_values
        states: torch.Tensor = captioner.model.encoder(pixels).last_hidden_state
        return states

    save_encoder_states(folder / "states.npy", dataset.split("train"), encode)
    corpus = write_csv(folder / "corpus.csv", [{"text": text} for text in PLOTS])
    return Sources(dataset, corpus, folder, Embedder(embedder))


def captioner_of(encoder: Path, decoder: Path) -> Captioner:
    return compose(replace(SMALL, encoder=str(encoder), decoder=str(decoder)))


def reinforcer(
    encoder: Path, decoder: Path, sources: Sources, how: Reinforcement = HOW
) -> Reinforcer:
    return Reinforcer(captioner_of(encoder, decoder), sources, short_is_good, how)


def test_what_is_rewarded_becomes_likelier(
    encoder: Path, decoder: Path, sources: Sources, tmp_path: Path
):
    log = reinforcer(encoder, decoder, sources).run(tmp_path)
    assert len(log) == HOW.steps
    first, last = (sum(each["reward"] for each in part) / 4 for part in (log[:4], log[-4:]))
    assert last > first / 2  # both below zero
    assert log[0]["divergence"] == pytest.approx(0, abs=1e-6)
    assert log[-1]["divergence"] > 0.01
    before, after = captioner_of(encoder, decoder).model, Captioner.load(tmp_path).model
    changed = {
        name
        for name, weight in before.state_dict().items()
        if not torch.equal(weight, after.state_dict()[name])
    }
    assert changed
    assert not any(name.startswith("encoder.") for name in changed)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    encoder: Path,
    decoder: Path,
    sources: Sources,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(reinforcement, "SAVE_EVERY", 2)
    how = replace(HOW, steps=4, posters=3, samples=2)
    whole = reinforcer(encoder, decoder, sources, how).run(tmp_path / "whole")

    cut = reinforcer(encoder, decoder, sources, how)
    step = cut.step

    def interrupted(number: int) -> dict[str, float]:
        if number == 3:
            raise KeyboardInterrupt
        return step(number)

    monkeypatch.setattr(cut, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cut.run(tmp_path / "cut")
    assert reinforcer(encoder, decoder, sources, how).run(tmp_path / "cut") == whole
    first, second = (Captioner.load(tmp_path / run).model.decoder for run in ("whole", "cut"))
    for name, weight in first.state_dict().items():
        torch.testing.assert_close(weight, second.state_dict()[name], msg=name)


def test_two_plots_of_one_poster_are_a_step(encoder: Path, decoder: Path, sources: Sources):
    how = replace(HOW, posters=1, samples=2)
    assert reinforcer(encoder, decoder, sources, how).step(0)["words"]
