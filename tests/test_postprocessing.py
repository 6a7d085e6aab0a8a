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
        ("A cop returns.. and and and", False, "A cop returns."),
        ("Wait... what?", True, "Wait... what?"),
        ("..", False, ".."),
        ("", False, ""),
    ],
)
def test_tidy(text: str, finished: bool, expected: str):
    assert tidy(text, finished=finished) == expected
