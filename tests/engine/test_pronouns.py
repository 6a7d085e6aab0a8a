"""Tests of the agreement of pronouns."""

import pytest

from poster2plot.engine.pronouns import HE, SHE, disagreeing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("a detective hunts", set()),
        ("a girl finds", HE),
        ("a detective finds a map in her", HE),
        ("a cowboy finds", SHE),
        ("a cowboy meets a nun", set()),
        ("a nun hunts the men who killed", HE),
        ("two boys find", SHE),
        ("two boys and two girls find", HE | SHE),
    ],
)
def test_who_is_named_tells_which_pronouns_may_follow(text: str, expected: set[str]):
    assert disagreeing(text.split()) == expected
