"""Beam search by itself, on scores made up for the occasion."""

import math
from typing import Any

import pytest
import torch

from poster2plot import GenerationSettings
from poster2plot.engine.beam_search import BeamSearch
from poster2plot.engine.generation_rules import GenerationRules
from poster2plot.engine.search import NextTokens, Prompts

END = 2


@pytest.mark.parametrize(
    ("early_stopping", "running", "is_finished"),
    [
        ("never", -3.4, False),  # as long as may be, of 7 tokens, its mean would be above -0.5
        ("never", -3.6, True),
        (False, -1.01, True),  # as long as it is, 2 tokens
        (False, -0.99, False),
        (True, -0.99, True),  # as many plots as beams have ended
    ],
)
def test_a_search_is_finished_when_no_beam_can_beat_what_ended(
    early_stopping: Any, running: float, is_finished: bool
):
    settings = GenerationSettings(
        num_beams=2, max_length=8, length_penalty=1.0, early_stopping=early_stopping
    )
    search = BeamSearch(Prompts.of([[END]], torch.device("cpu")), settings, GenerationRules((END,)))
    ids = torch.arange(3).expand(1, 2, 3)
    far = [-90.0, -90.0, -90.0]
    tokens = NextTokens(torch.tensor([[[-0.5, -90.0, -0.1], far]]), ids)
    search.advance(tokens)  # a plot of -0.1
    assert search.finished() == [False]
    tokens = NextTokens(torch.tensor([[[running + 0.5, -90.0, -0.5], far]]), ids)
    search.advance(tokens)  # and one of -1 / 2
    assert search.finished() == [is_finished]
    assert search._finished_scores.tolist() == [pytest.approx([-0.1, -0.5])]


def test_a_long_text_outlives_a_penalty_that_makes_it_worse_than_none():
    settings = GenerationSettings(num_beams=2, num_candidates=2, max_length=64, length_penalty=-5)
    search = BeamSearch(Prompts.of([[END]], torch.device("cpu")), settings, GenerationRules((END,)))
    ids = torch.arange(3).expand(1, 2, 3)
    for _ in range(63):
        assert search.finished() == [False]
        search.advance(NextTokens(torch.tensor([[[-1.0, -2.0, -90.0]] * 2]), ids))
    assert search.finished() == [True]
    best, second = search.hypotheses(0)
    assert best.token_ids == (0,) * 63
    assert min(best.gain, second.gain) > -math.inf
