"""The bias against phrases that a captioner overdoes."""

import hashlib
import json
import math
import random
from pathlib import Path

from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from poster2plot import Poster2Plot
from poster2plot.training.bundled.phrase_bias import (
    BEGIN,
    Bias,
    Shares,
    fit_bias,
    leads_to_numbers,
    number_tokens,
    overdone,
    phrase_shares,
    sequence_bias,
)
from support.toy_model import save_tiny_model
from support.training_data import write_csv
from tests.training.conftest import Command


def test_shares_count_each_phrase_of_a_plot_once():
    shares = phrase_shares([[1, 2, 1, 2], [1, 3]])
    assert shares[BEGIN, 1] == 1
    assert shares[1, 2] == shares[2, 1] == shares[1, 2, 1] == shares[BEGIN, 1, 2, 1] == 0.5
    assert (BEGIN,) not in shares
    assert (BEGIN, 1, 2, 1, 2) not in shares


def test_of_phrases_that_hold_each_other_one_is_overdone():
    own: Shares = {(5, 6): 0.30, (5, 6, 7): 0.29, (8, 9): 0.2, (4, 4): 0.1}
    human: Shares = {(8, 9): 0.15, (4, 4): 0.02}
    found = overdone(own, human)
    assert [*found] == [(5, 6), (4, 4)]  # not that of people
    assert found[4, 4] > 3


def test_a_bias_makes_phrases_as_common_as_in_peoples_plots():
    """A writer of one of four phrases, by logits, of which people know but one."""
    logits = {(1, 2): 3.0, (3, 4): 2.0, (5, 6): 1.0, (7, 8): 0.0}
    human = phrase_shares([phrase for phrase in logits for _ in range(25)])

    def write(bias: Bias) -> list[tuple[int, ...]]:
        weights = [math.exp(value + bias.get(phrase, 0.0)) for phrase, value in logits.items()]
        return random.Random(0).choices([*logits], weights, k=2000)

    assert overdone(phrase_shares(write({})), human)
    bias = fit_bias(write, human, 8)
    assert not overdone(phrase_shares(write(bias)), human)
    assert (7, 8) not in bias


def test_what_leads_to_numbers_is_as_rare_as_it_is_before_none():
    """Tokens: 1 in, 2 the, 3 year, 4 house, 9 a number, 0 an end."""
    plots = [[1, 2, 3, 9, 0]] * 39 + [[5, 2, 3, 0]] * 20 + [[1, 2, 4, 0]] * 90
    bias = leads_to_numbers(plots, {9})
    assert bias.keys() == {(2, 3), (1, 2, 3)}  # not "in the"
    assert math.isclose(bias[2, 3], math.log(21 / 60))
    assert math.isclose(bias[2, 3] + bias[1, 2, 3], math.log(1 / 40))
    written: list[Bias] = []

    def write(bias: Bias) -> list[list[int]]:
        written.append(dict(bias))
        return []

    assert fit_bias(write, {}, 1, bias) == bias == written[0]


def test_an_opening_is_behind_the_start_or_a_title():
    biased = sequence_bias({(BEGIN, 5, 6): -1.23456, (7, 8): -2.0}, [0, 1])
    assert biased == [([0, 5, 6], -1.235), ([1, 5, 6], -1.235), ([7, 8], -2.0)]


def test_numbers_are_tokens_with_a_digit_or_a_currency():
    tokens = ["</s>", "<2>", "a", "Ġ", "Ġ12", "0s", "th", "$", "Â£", "Ã³n", "Â²", "-"]
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, []))
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", additional_special_tokens=["<2>"]
    )
    assert [tokens[id] for id in number_tokens(fast, len(tokens))] == ["Ġ12", "0s", "$", "Â£"]


def test_the_command_leaves_a_captioner_with_a_bias(data: Path, training: Command, tmp_path: Path):
    captioner, out = tmp_path / "captioner", tmp_path / "biased"
    save_tiny_model(captioner, titles=True)
    digest = hashlib.sha256((captioner / "generation_config.json").read_bytes()).hexdigest()
    (captioner / "SHA256SUMS").write_text(f"{digest}  generation_config.json\n", "ascii")
    corpus = write_csv(tmp_path / "corpus.csv", [{"text": "Two bakers share one oven."}])
    done = training(
        "bias-phrases", "--captioner", captioner, "--data", data, "--corpus", corpus,
        "--posters", "3", "--rounds", "2", "--out", out,
    )  # fmt: skip
    assert "round 2: at most" in done.out
    config = json.loads((out / "generation_config.json").read_text(encoding="utf-8"))
    assert config.pop("sequence_bias")
    own = json.loads((captioner / "generation_config.json").read_text(encoding="utf-8"))
    biased = Poster2Plot.from_pretrained(out, "cpu")
    assert config.pop("suppress_tokens") == number_tokens(
        biased.tokenizer, biased.config.decoder.vocab_size
    )
    assert config == own
    assert biased.notice is None


def test_a_captioner_without_titles_gets_a_bias(
    data: Path, tiny_folder: Path, training: Command, tmp_path: Path
):
    corpus = write_csv(tmp_path / "corpus.csv", [{"text": "Two bakers share one oven."}])
    done = training(
        "bias-phrases", "--captioner", tiny_folder, "--data", data, "--corpus", corpus,
        "--posters", "1", "--rounds", "1", "--out", tmp_path / "biased",
    )  # fmt: skip
    assert done.status == 0, done.errors
    assert (tmp_path / "biased" / "generation_config.json").is_file()
