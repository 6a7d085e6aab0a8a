"""What a user can cause is one sentence, whichever library says it; other errors are tracebacks."""

import argparse
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

from poster2plot.training.__main__ import main
from poster2plot.training.numbers import finite, positive, whole
from tests.training.conftest import Command


def stopped(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def wrong(*_: object, **__: object) -> None:
    raise KeyError("a fault of this program")


def too_large(*_: object, **__: object) -> None:
    torch.empty(2**50)


def on_a_full_disk(*_: object, **__: object) -> None:
    torch.save({"weight": torch.zeros(100_000)}, "/dev/full")


def damaged(*_: object, **__: object) -> None:
    load_file(__file__)


PREPARE = "poster2plot.training.dataset.prepare"


def test_an_interrupted_command_is_no_traceback(training: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PREPARE, stopped)
    done = training("dataset", "table.csv", "pictures", "--out", "out")
    assert done.status == 130
    assert done.errors.startswith("Stopped")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (too_large, "too little memory"),
        (on_a_full_disk, "in 'out'"),
        (damaged, "Weights cannot be read"),
    ],
)
def test_what_libraries_say_is_a_sentence(
    fault: Callable[..., None], said: str, training: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(PREPARE, fault)
    done = training("dataset", "table.csv", "pictures", "--out", "out")
    assert done.status == 1
    assert said in done.errors
    assert done.errors.count("\n") == 1


def test_a_fault_of_the_program_is_a_traceback(training: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PREPARE, wrong)
    with pytest.raises(KeyError):
        training("dataset", "table.csv", "pictures", "--out", "out")


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (whole(1), ("0", "-1", "1.5", "nan", "x")),
        (positive, ("0", "-1", "nan", "inf", "x")),
        (finite, ("nan", "-inf", "x")),
    ],
)
def test_numbers_that_cannot_be(parse: Callable[[str], float], texts: tuple[str, ...]):
    assert parse("2") == 2
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError, match=text):
            parse(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("pretrain", "--epochs", "0"),
        ("pretrain", "--learning-rate", "nan"),
        ("align", "--batch", "1"),
        ("align", "--frozen", "-1"),
        ("match-texts", "--nearest", "0"),
        ("distill", "--samples", "0"),
        ("self-train", "--fluency", "nan"),
        ("reinforce", "--samples", "1"),
        ("reinforce", "--posters", "0"),
        ("bias-phrases", "--rounds", "-1"),
        ("train", "--evaluate-every", "0"),
        ("train", "--samples", "-1"),
        ("evaluate", "--max-pairs", "0"),
        ("evaluate", "--contact-sheet", "-1"),
    ],
    ids=" ".join,
)
def test_a_command_refuses_them_before_it_runs(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        main(arguments)
    assert f"argument {arguments[1]}: '{arguments[2]}' is no" in capsys.readouterr().err
