import pytest

from poster2plot.postprocessing import tidy


@pytest.mark.parametrize(
    ("text", "finished", "expected"),
    [
        ("A cop  returns.\nHe is late. ", True, "A cop returns. He is late."),
        ("A cop who", True, "A cop who"),
        ("A cop returns. He is", False, "A cop returns."),
        ('She says "no." Then', False, 'She says "no."'),
        ("Version 2.5 of him", False, "Version 2.5 of him"),
        ("A heist fails. The brothers call Mr. White for", False, "A heist fails."),
        ("In the U.S. a soldier returns to find", False, "In the U.S. a soldier returns to find"),
        ("Agent J. Smith returns. He", False, "Agent J. Smith returns."),
        ("Mr.", False, "Mr."),
        ("A yes vs. a no. They", False, "A yes vs. a no."),
        ("He yahoos! and yahoos. “Then", False, "He yahoos! and yahoos."),
        ("A cop returns.. and and and", False, "A cop returns."),
        ("Wait... what?", True, "Wait... what?"),
        ("..", False, ".."),
        ("", False, ""),
    ],
)
def test_tidy(text: str, finished: bool, expected: str):
    assert tidy(text, finished=finished) == expected
