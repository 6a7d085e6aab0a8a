"""The card to share."""

import io

import pytest
from PIL import Image

from poster2plot.page.share_card import SIZE, share_card
from support.drawn_posters import draw_poster


@pytest.mark.parametrize("size", [(200, 300), (900, 100), (20, 900), (1, 1)])
@pytest.mark.parametrize("plot", ["A man.", "The house is old. " * 60, "x" * 500, ""])
def test_a_card_has_the_size_of_link_previews(size: tuple[int, int], plot: str):
    with Image.open(io.BytesIO(share_card(draw_poster(size=size), plot, "a model"))) as card:
        assert (card.format, card.size) == ("PNG", SIZE)


def test_poster_and_plot_are_on_the_card():
    def pixels(poster: str, plot: str) -> bytes:
        data = share_card(draw_poster(poster), plot, "a model")
        return Image.open(io.BytesIO(data)).tobytes()

    assert pixels("navy", "A man.") == pixels("navy", "A man.")
    assert len({pixels("navy", "A man."), pixels("red", "A man."), pixels("navy", "A dog.")}) == 3


def test_all_of_a_plot_stays_inside():
    """The margins keep the colour of the paper."""
    card = Image.open(io.BytesIO(share_card(draw_poster(), "Many words and more. " * 80, "m")))
    right = card.crop((SIZE[0] - 20, 20, SIZE[0], SIZE[1]))
    bottom = card.crop((0, SIZE[1] - 20, *SIZE))
    for margin in (right, bottom):
        assert len(margin.getcolors() or []) == 1
