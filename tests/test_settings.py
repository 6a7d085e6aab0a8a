import math

import pytest

from poster2plot import GenerationSettings, SettingsError


def test_the_defaults_are_valid():
    assert GenerationSettings() == GenerationSettings(num_beams=4, max_length=64)


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
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: float):
    with pytest.raises(SettingsError, match=name.replace("_", " ")):
        GenerationSettings(**{name: value})


def test_beam_search_has_no_more_candidates_than_beams():
    with pytest.raises(SettingsError, match="more beams"):
        GenerationSettings(num_beams=2, num_candidates=3)
    assert GenerationSettings(num_beams=2, num_candidates=3, sample=True).num_candidates == 3
