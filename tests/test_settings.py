import math
from typing import Any

import numpy as np
import pytest

from poster2plot import GenerationSettings, SettingsError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_beams", 1),
        ("num_beams", 16),
        ("max_length", 8),
        ("max_length", 512),
        ("guidance", 1),
        ("guidance", None),
        ("length_penalty", -5),
        ("no_repeat_ngram_size", 0),
        ("temperature", 0.05),
        ("top_p", 1),
        ("seed", 2**32 - 1),
    ],
)
def test_the_ends_of_a_range_belong_to_it(name: str, value: Any):
    assert getattr(GenerationSettings(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_beams", 0),
        ("num_beams", 17),
        ("max_length", 7),
        ("guidance", 0.5),
        ("guidance", math.nan),
        ("length_penalty", math.inf),
        ("no_repeat_ngram_size", -1),
        ("temperature", 0.0),
        ("top_p", 1.01),
        ("seed", -1),
        ("num_beams", 2.5),
        ("num_candidates", 1.5),
        ("seed", 1.5),
        ("no_repeat_ngram_size", 1.5),
        ("temperature", "hot"),
        ("max_length", None),
        ("sample", "false"),
        ("sample", 1),
        ("sample", None),
        ("use_title", "no"),
        ("use_title", np.array([True, False])),
        ("early_stopping", 1),
        ("early_stopping", "Never"),
        ("early_stopping", "true"),
        ("early_stopping", None),
    ],
)
def test_a_value_that_cannot_be_is_named(name: str, value: Any):
    with pytest.raises(SettingsError, match=name.replace("_", " ")):
        GenerationSettings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 2),
        ("temperature", np.float32(0.5)),
        ("seed", np.int64(3)),
        ("num_beams", 2.0),
    ],
)
def test_numbers_become_those_of_python(name: str, value: Any):
    taken = getattr(GenerationSettings(**{name: value}), name)
    assert taken == value
    assert type(taken) is type(getattr(GenerationSettings(), name))


@pytest.mark.parametrize("name", ["early_stopping", "sample", "use_title"])
@pytest.mark.parametrize("value", [np.True_, np.False_])
def test_booleans_become_those_of_python(name: str, value: Any):
    assert getattr(GenerationSettings(**{name: value}), name) is bool(value)


def test_beam_search_has_no_more_candidates_than_beams():
    with pytest.raises(SettingsError, match="more beams"):
        GenerationSettings(num_beams=2, num_candidates=3)
    assert GenerationSettings(num_beams=2, num_candidates=3, sample=True).num_candidates == 3
