"""Names from outside in the page's own sentences."""

import pytest

from poster2plot.page.escaping import escape_markdown, file_stem


@pytest.mark.parametrize("name", ["שלום 2010", "قصة 1"])
def test_letters_from_right_to_left_leave_what_stands_around_them_alone(name: str):
    assert escape_markdown(name) == f"\u2068{name}\u2069"
    assert escape_markdown(f"\u202e{name}\u2069") == f"\u2068{name}\u2069"


def test_other_names_stay_as_they_are():
    assert escape_markdown("Amélie – Ж 千") == "Amélie – Ж 千"
    assert escape_markdown("*a*\u202e") == r"\*a\*"


@pytest.mark.parametrize(
    ("label", "stem"),
    [
        ("poster.final.JPEG", "poster-final"),
        ("Dr. Strangelove (1964)", "Dr-Strangelove-1964"),
        ("Mr. Nobody", "Mr-Nobody"),
        ("…", "plot"),
    ],
)
def test_a_file_is_called_as_the_title_or_the_picture(label: str, stem: str):
    assert file_stem(label) == stem
