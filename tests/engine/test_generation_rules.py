"""A checkpoint's generation config: what is followed gives the tokens of stock generate."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.generation.logits_process import SequenceBiasLogitsProcessor

from poster2plot import GenerationSettings
from poster2plot.engine.engine import Decoding, Engine
from support.toy_model import VOCABULARY, tiny_model

END = VOCABULARY - 1
SETTINGS = {
    "beams": GenerationSettings(num_beams=4, num_candidates=2, max_length=20, guidance=1),
    "greedy": GenerationSettings(num_beams=1, max_length=20, guidance=1),
    "sampled": GenerationSettings(
        sample=True, num_candidates=2, max_length=20, guidance=1, temperature=1.3, seed=5
    ),
}
PROMPTS = ([END], [END, 7, 8])
# The tokens that this model likes, so that it makes a difference.
LIKED = [*range(0, 200, 2)]
FOLLOWED: dict[str, dict[str, Any]] = {
    "several ends": {"eos_token_id": [END, *range(40, 60)]},
    "an end beyond the vocabulary": {"eos_token_id": [END, VOCABULARY + 7]},
    "another start": {"decoder_start_token_id": 5},
    "a forced first token": {"forced_bos_token_id": 17},
    "a forced last token": {"forced_eos_token_id": 18},
    "suppressed tokens": {"suppress_tokens": LIKED},
    "first tokens suppressed": {"begin_suppress_tokens": LIKED},
    "second tokens suppressed": {"begin_suppress_tokens": LIKED, "forced_bos_token_id": 17},
    "bad words": {"bad_words_ids": [[each] for each in LIKED[:50]] + [[17, 3], [5, 6, 7]]},
    "suppressed tokens beyond the vocabulary": {"suppress_tokens": [*LIKED, -1, VOCABULARY + 7]},
    "a bias": {"sequence_bias": [[[17], 3.0], [[17, 18], 9.0]]},
    "a bias behind a prompt": {"sequence_bias": [[[END, 7, 8, 30], 9.0], [[8, 30, 31], 9.0]]},
    "a penalty for repetition": {"repetition_penalty": 1.7},
    "a reward for repetition": {"repetition_penalty": 0.6},
    "a minimum length": {"min_length": 12, "eos_token_id": [END, *range(40, 80)]},
    "new tokens at least": {"min_new_tokens": 9, "eos_token_id": [END, *range(40, 80)]},
    "new tokens at most": {"max_new_tokens": 7},
    "new tokens at most, the last forced": {"max_new_tokens": 7, "forced_eos_token_id": 18},
    "an end that grows likelier": {"exponential_decay_length_penalty": [3, 1.6]},
    "invalid values removed": {"remove_invalid_values": True, "suppress_tokens": LIKED},
    "scores made probabilities": {"renormalize_logits": True, "suppress_tokens": LIKED},
    "all at once": {
        "eos_token_id": [END, 40],
        "sequence_bias": [[[17], 3.0], [[7, 8, 30], 9.0], [[8], 2.0]],
        "repetition_penalty": 1.2,
        "bad_words_ids": [[3], [4, 5]],
        "min_length": 6,
        "max_new_tokens": 14,
        "suppress_tokens": [8, 9],
        "begin_suppress_tokens": [17],
    },
}
WARPED: dict[str, dict[str, Any]] = {
    "top k": {"top_k": 3},
    "top h": {"top_h": 0.4},
    "min p": {"min_p": 0.2},
    "typical p": {"typical_p": 0.4},
    "epsilon cutoff": {"epsilon_cutoff": 0.05},
    "eta cutoff": {"eta_cutoff": 0.1},
    "all of them": {"top_k": 20, "min_p": 0.02, "typical_p": 0.9, "epsilon_cutoff": 0.01},
}


def pictures() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def stock(
    model: Any, picture: torch.Tensor, settings: GenerationSettings, prompt: list[int]
) -> list[tuple[int, ...]]:
    """What `generate` writes, told by keywords what the settings say, and all else by its config.

    The rows are cut at the first end token.
    """
    how: dict[str, Any] = {"do_sample": settings.sample, "num_beams": settings.num_beams}
    if settings.sample:
        how |= {"num_beams": 1, "temperature": settings.temperature, "top_p": settings.top_p}
        if model.generation_config.top_k is None:
            how["top_k"] = 0  # else 50, which is none of the settings
    else:
        how |= {"length_penalty": settings.length_penalty, "early_stopping": False}
    if model.generation_config.max_new_tokens is None:
        how["max_length"] = settings.max_length
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(settings.seed)
        rows = model.generate(
            pixel_values=picture[None],
            decoder_input_ids=torch.tensor([prompt]),
            no_repeat_ngram_size=settings.no_repeat_ngram_size,
            num_return_sequences=settings.num_candidates,
            **how,
        ).tolist()
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    found = []
    for row in rows:
        ids = row[len(prompt) :]
        last = next((i for i, token in enumerate(ids) if token in ends), len(ids))
        found.append(tuple(ids[: last + 1]))
    return found


def configured(keys: dict[str, Any]) -> Any:
    model = tiny_model()
    for key, value in keys.items():
        setattr(model.generation_config, key, value)
    return model


def assert_parity(keys: dict[str, Any], settings: GenerationSettings) -> None:
    model, pixels = configured(keys), pictures()
    start = model.generation_config.decoder_start_token_id
    prompts = [[start, *prompt[1:]] for prompt in PROMPTS]
    expected = [
        stock(model, picture, settings, prompt)
        for picture, prompt in zip(pixels, prompts, strict=True)
    ]
    engine = Engine(model, "fp32")
    assert engine.rules.ignored == []
    # Both posters together, with prompts of several lengths.
    plots = engine.decode(engine.encode(pixels), settings, prompts)
    # Candidates come by score, which samples do not from `generate`.
    ours = [sorted(plot.token_ids for plot in each) for each in plots]
    assert ours == [sorted(each) for each in expected]


@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("case", FOLLOWED)
def test_what_is_followed_gives_the_tokens_of_stock_generate(case: str, how: str):
    assert_parity(FOLLOWED[case], SETTINGS[how])


@pytest.mark.parametrize("case", WARPED)
def test_what_is_followed_when_sampling(case: str):
    assert_parity(WARPED[case], SETTINGS["sampled"])


@pytest.mark.parametrize("case", ["suppressed tokens", "several ends", "a penalty for repetition"])
def test_each_key_makes_a_difference(case: str):
    plots = []
    for keys in ({}, FOLLOWED[case]):
        engine = Engine(configured(keys), "fp32")
        plots.append(engine.decode(engine.encode(pictures()), SETTINGS["beams"]))
    assert plots[0] != plots[1]


@pytest.mark.parametrize("count", [1, 3])
def test_a_bias_is_looked_up_once_a_step_for_all_posters(
    count: int, monkeypatch: pytest.MonkeyPatch
):
    engine = Engine(configured(FOLLOWED["a bias"]), "fp32")
    rows, plain = [], SequenceBiasLogitsProcessor.__call__

    def counting(self: Any, input_ids: Tensor, scores: Tensor) -> Tensor:
        rows.append(len(scores))
        biased: Tensor = plain(self, input_ids, scores)
        return biased

    monkeypatch.setattr(SequenceBiasLogitsProcessor, "__call__", counting)
    decoding = Decoding(engine)
    settings = replace(SETTINGS["greedy"], min_length=SETTINGS["greedy"].max_length)
    decoding.join(engine.encode(pictures()[:1].expand(count, -1, -1, -1)), settings)
    steps = 0
    while decoding.running:
        decoding.step()
        steps += 1
    assert rows == [count] * steps


def test_settings_come_before_the_config_and_its_lengths_bound_them():
    keys = {"num_beams": 9, "max_length": 4, "length_penalty": -3.0, "do_sample": True}
    engines = [Engine(configured(each), "fp32") for each in (keys, {})]
    ours, plain = (
        engine.decode(engine.encode(pictures()), SETTINGS["beams"]) for engine in engines
    )
    assert ours == plain
    assert engines[0].rules.ignored == []
    assert engines[0].rules.overruled == {
        "num_beams": (9, 4),
        "max_length": (4, 64),
        "length_penalty": (-3.0, 2.0),
        "sample": (True, False),
    }
    engine = Engine(configured({"max_new_tokens": 100}), "fp32")
    [[plot], _] = engine.decode(engine.encode(pictures()), SETTINGS["greedy"])
    assert len(plot.token_ids) < SETTINGS["greedy"].max_length


def test_what_is_not_followed_is_named():
    keys = {
        "num_beam_groups": 2,
        "diversity_penalty": 0.5,
        "penalty_alpha": 0.6,
        "guidance_scale": 1.5,
        "stop_strings": ["."],
        "max_time": 3.0,
        "of_another_library": 1,
    }
    neutral = {"encoder_repetition_penalty": 1.0, "force_words_ids": None, "use_cache": True}
    assert Engine(configured(keys | neutral)).rules.ignored == sorted(keys)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({}, []),
        ({"num_beams": 4, "max_length": 64, "do_sample": False, "early_stopping": False}, []),
        ({"num_return_sequences": 3, "num_beams": 1}, ["num_beams", "num_candidates"]),
        ({"no_repeat_ngram_size": 0, "early_stopping": True},
         ["early_stopping", "no_repeat_ngram_size"]),
        ({"temperature": 0.3, "top_p": 0.5}, []),  # without effect on a search
        ({"temperature": 0.3, "top_p": 0.9, "do_sample": True}, ["sample", "temperature"]),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_settings_decide_otherwise_is_named(keys: dict[str, Any], named: list[str]):
    assert sorted(Engine(configured(keys)).rules.overruled) == named


@pytest.mark.parametrize(
    "keys",
    [
        {"decoder_start_token_id": None},
        {"decoder_start_token_id": [5, 6]},
        {"decoder_start_token_id": VOCABULARY},
        {"forced_bos_token_id": VOCABULARY},
        {"forced_eos_token_id": -1},
        {"repetition_penalty": -1.0},
        {"repetition_penalty": "much"},
        {"bad_words_ids": [[VOCABULARY]]},
        {"bad_words_ids": 5},
        {"suppress_tokens": "all"},
        {"exponential_decay_length_penalty": 3},
        {"min_length": -5},
        {"max_new_tokens": 0},
        {"max_new_tokens": "many"},
        {"top_k": -1},
        {"min_p": 7.0},
    ],
    ids=str,
)
def test_what_generate_could_not_follow_is_refused(keys: dict[str, Any]):
    with pytest.raises(ValueError, match=r"\S") as caught:
        Engine(configured(keys))
    assert "\n" not in str(caught.value)


def test_without_an_end_token_a_plot_has_its_full_length():
    for settings in SETTINGS.values():
        engine = Engine(configured({"eos_token_id": None}), "fp32")
        [plots, _] = engine.decode(engine.encode(pictures()), settings)
        assert {len(plot.token_ids) for plot in plots} == {settings.max_length - 1}


def test_the_default_config_has_no_rules():
    engine = Engine(deepcopy(tiny_model()), "fp32")
    assert isinstance(engine.rules.config, GenerationConfig)
    assert not engine.rules.processors(1, 64, torch.device("cpu"))
