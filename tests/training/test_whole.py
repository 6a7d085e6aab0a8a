"""Results are there as a whole or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from poster2plot.training.bundled.text_matching import PseudoLabel, write_pseudo_labels
from poster2plot.training.dataset import Dataset
from poster2plot.training.encoder_states import save_encoder_states
from poster2plot.training.whole import whole_file, whole_folder

FULL = OSError("No space left on device")


def fail_after_writing(*paths: Path) -> None:
    for path in paths:
        path.write_text("half")
    raise FULL


def test_a_file_takes_its_place_when_it_is_complete(tmp_path: Path):
    path = tmp_path / "words.txt"
    with pytest.raises(OSError, match="No space"), whole_file(path) as part:
        fail_after_writing(part)
    assert not [*tmp_path.iterdir()]
    with whole_file(path) as part:
        part.write_text("whole")
    with pytest.raises(OSError, match="No space"), whole_file(path) as part:
        fail_after_writing(part)
    assert path.read_text() == "whole"
    assert [*tmp_path.iterdir()] == [path]


def test_a_checkpoint_takes_its_place_when_all_of_it_is_complete(tmp_path: Path):
    (tmp_path / "begun.json").write_text("{}")
    with pytest.raises(OSError, match="No space"), whole_folder(tmp_path) as part:
        fail_after_writing(part / "config.json", part / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["begun.json"]
    for names in (["model.safetensors"], ["model-00001-of-00002.safetensors"]):
        with whole_folder(tmp_path) as part:
            for name in ("config.json", *names):
                (part / name).write_text("whole")
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"begun.json", "config.json", *names}


def test_pseudo_labels_are_there_as_a_whole_or_not_at_all(tmp_path: Path):
    def cut_off() -> Iterator[PseudoLabel]:
        yield PseudoLabel("tt1", True, "", "A plot.")
        raise FULL

    with pytest.raises(OSError, match="No space"):
        write_pseudo_labels(tmp_path / "labels.csv", cut_off())
    assert not [*tmp_path.iterdir()]


def test_encoder_states_that_are_being_written_anew_are_none(data: Path, tmp_path: Path):
    pairs = Dataset.read(data).split("train")
    save_encoder_states(tmp_path / "states.npy", pairs, lambda some: torch.ones(len(some), 2, 2))
    assert (tmp_path / "states.ids").is_file()

    def full(_: object) -> torch.Tensor:
        raise FULL

    with pytest.raises(OSError, match="No space"):
        save_encoder_states(tmp_path / "states.npy", pairs, full)
    assert not (tmp_path / "states.ids").exists()
