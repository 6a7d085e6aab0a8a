"""The card to share."""

import io
from typing import Any

import pytest
from PIL import Image

from poster2plot import Candidate, GenerationSettings
from poster2plot.inputs import Title
from poster2plot.page.share_card import SIZE, share_card
from poster2plot.records import plot_record
from support.drawn_posters import draw_poster


def record(plot: str, title: str = "", *, used: bool = True) -> dict[str, Any]:
    return plot_record(
        "a file",
        [Candidate(plot, 0, (1,), (0, 2) if title and used else (0,))],
        model="a model",
        device="cpu",
        settings=GenerationSettings(),
        seconds=1,
        title=Title(title, "given") if title else None,
    )


def card(plot: str, title: str = "", *, poster: str = "navy", used: bool = True) -> Image.Image:
    return Image.open(io.BytesIO(share_card(draw_poster(poster), record(plot, title, used=used))))


@pytest.mark.parametrize("size", [(200, 300), (900, 100), (20, 900), (1, 1)])
@pytest.mark.parametrize("plot", ["A man.", "The house is old. " * 60, "x" * 500, ""])
@pytest.mark.parametrize("title", ["", "The Sea", "W" * 200])
def test_a_card_has_the_size_of_link_previews(size: tuple[int, int], plot: str, title: str):
    data = share_card(draw_poster(size=size), record(plot, title))
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("PNG", SIZE)


def test_poster_plot_and_title_are_on_the_card():
    cards = [
        card("A man."),
        card("A man.", poster="red"),
        card("A dog."),
        card("A man.", "The Sea"),
        card("A man.", "The Sea", used=False),
        card("A man.", "Amélie – Ж"),
        card("A man.", "Amelie – Ж"),
    ]
    assert card("A man.").tobytes() == cards[0].tobytes()
    assert len({each.tobytes() for each in cards}) == len(cards)


@pytest.mark.parametrize("title", ["千と千尋", "ואלס עם באשיר", "باب الحديد"])
def test_a_title_that_the_font_cannot_write_is_left_out(title: str):
    assert card("A man.", title, used=False).tobytes() == card("A man.").tobytes()


@pytest.mark.parametrize("title", ["", "The sea and the sky " * 10, "W" * 200])
def test_all_of_a_plot_stays_inside(title: str):
    """The margins keep the colour of the paper."""
    found = card("Many words and more. " * 80, title)
    right = found.crop((SIZE[0] - 20, 20, SIZE[0], SIZE[1]))
    bottom = found.crop((0, SIZE[1] - 20, *SIZE))
    for margin in (right, bottom):
        assert len(margin.getcolors() or []) == 1
