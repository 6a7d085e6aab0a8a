"""What plots are worth: each part of the reward tells the plots that it is about."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from poster2plot.training.bundled.rewards import (
    PlotReward,
    RecentPhrases,
    Rewards,
    is_story,
    without_title_names,
)

FAR = "A nurse leaves the quiet town to find a sister whom everybody else has long forgotten."
NEAR = "A thief returns to an old harbour where one last ship waits for somebody brave enough."
WORDS = {word.strip(".").lower() for plot in (FAR, NEAR) for word in plot.split()}


def embed(texts: Sequence[str]) -> Tensor:
    """Plots of thieves are to the right of those of others, and all are up."""
    return torch.tensor([[0.6 if "thief" in text else -0.6, 0.8] for text in texts])


def rewarded(
    *plots: str, title: str = "", nats: float = 3.0, texts: tuple[str, ...] = ()
) -> Rewards:
    reward = PlotReward(
        embed,
        torch.tensor([0, 0.8]),
        lambda plots: torch.full((len(plots),), nats),
        WORDS,
        {*texts},
    )
    wanted = torch.tensor([[1.0, 0]]).expand(len(plots), -1)
    return reward([*plots], [title] * len(plots), wanted, RecentPhrases())


def test_a_plot_is_worth_what_it_means_beyond_what_all_plots_do():
    rewards = rewarded(NEAR, FAR)
    torch.testing.assert_close(rewards.meaning, torch.tensor([0.6, -0.6]))
    torch.testing.assert_close(rewards.total(), rewards.meaning)


def test_fluency_counts_up_to_where_texts_become_stock():
    assert rewarded(NEAR, nats=1.0).fluency == rewarded(NEAR, nats=3.4).fluency == 0
    assert rewarded(NEAR, nats=5.4).fluency < rewarded(NEAR, nats=4.4).fluency < 0


@pytest.mark.parametrize(
    "worse",
    [
        FAR.replace("nurse", "glorp"),
        FAR.replace("the quiet town", "Zorblax"),
        FAR.removesuffix("."),
        FAR.replace("quiet", "quiet quiet"),
        "A nurse leaves the quiet town to find a sister.",
        "",
    ],
)
def test_a_plot_that_is_not_plain_or_too_short_is_worth_less(worse: str):
    plain, other = rewarded(FAR, worse).plainness
    assert other < plain == 0


def test_a_training_text_word_for_word_is_worth_less():
    assert rewarded(FAR, texts=(FAR,)).plainness < 0


def test_a_name_is_worth_less_though_it_is_the_titles():
    named = FAR.replace("the quiet town", "Zorblax")
    allowed, refused = rewarded(named, title="Zorblax"), rewarded(named)
    assert refused.plainness < allowed.plainness < rewarded(FAR).plainness


def test_the_title_means_nothing_but_as_a_word_of_the_sentence():
    named = NEAR.replace("A thief", "Thief")
    assert rewarded(NEAR, title="Thief").meaning > 0 > rewarded(named, title="Thief").meaning
    plain = {"thief", "thieves", "two", "a"}
    plot, title = "Thieves, a thief’s harbours!", "The Harbour Thief"
    assert without_title_names(plot, title, plain | {"thief’s"}) == "Thieves, a thief’s"
    assert without_title_names("The Thief’s a thief", title, plain) == "The a thief"
    assert without_title_names("Nurse Nurses", "Nurse", plain) == "."
    assert without_title_names(NEAR, "", plain) == NEAR


@pytest.mark.parametrize(
    ("title", "loses"),
    [("The Nurse", True), ("A Nurse Leaves Again", True), ("Nurse Jane", False), ("", False)],
)
def test_a_plot_that_begins_with_its_title_is_worth_less(title: str, loses: bool):
    assert (rewarded(FAR, title=title).plainness < 0) == loses


def test_phrases_and_openings_that_many_posters_get_are_worth_less():
    recent = RecentPhrases(batches=2)
    assert recent.excess([FAR]) == 0
    recent.add([FAR] * 8 + [NEAR] * 8)
    [half] = recent.excess([FAR])
    recent.add([FAR] * 16)
    [most] = recent.excess([FAR])
    torch.testing.assert_close(most - half, torch.tensor(1.5).log2())
    assert recent.excess(["Nothing of what was written is in here."]) == 0
    opening = "A nurse with a plan of her own stays."
    assert 0 < recent.excess([opening]) < most  # openings may be commoner
    for _ in range(2):
        recent.add([NEAR] * 16)
    assert recent.excess([FAR]) == 0  # forgotten


@pytest.mark.parametrize(
    ("plot", "title", "is_one"),
    [
        (FAR, "", True),
        (FAR, "The Quiet Town", True),
        ("In this game show, two cooks must find out which of their guests is the host.", "", True),
        ("A nurse leaves the quiet town to find a sister.", "", False),  # ten words
        (FAR, "Nurse", False),
        ("The nurse " + FAR[len("A nurse ") :], "A Nurse", False),
        (FAR.replace("the quiet town", "the quiet Zorblax"), "Zorblax", False),
        ("In 1977, " + FAR, "", False),
        ("The Castle is a drama about two nurses who leave the quiet town to find a sister.", "",
         False),
        ("Carrott is a nurse who leaves the quiet town to find a sister long forgotten.", "",
         False),
        ("Two nurses are the last ones who leave the quiet town to find a sister.", "", False),
        (FAR.replace("A nurse", "A old nurse"), "", False),
        (FAR.replace("A nurse", "An nurse"), "", False),
    ],
)  # fmt: skip
def test_a_story_says_what_happens_and_not_what_its_title_is(plot: str, title: str, is_one: bool):
    assert is_story(plot, title) == is_one
