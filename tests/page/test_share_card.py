"""The card to share."""

import io
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, features

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


@pytest.fixture
def fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with all that fontconfig finds on the machine: nothing yet."""
    folder = tmp_path / "fonts"
    folder.mkdir()
    folders = f"<dir>{folder}</dir><cachedir>{tmp_path / 'cache'}</cachedir>"
    config = tmp_path / "fonts.conf"
    config.write_text(f"<fontconfig>{folders}</fontconfig>", encoding="utf-8")
    monkeypatch.setenv("FONTCONFIG_FILE", str(config))
    return folder


@pytest.fixture
def dejavu(fonts: Path) -> None:
    """One font, with Hebrew and Arabic letters."""
    matplotlib = find_spec("matplotlib")
    if shutil.which("fc-match") is None or matplotlib is None or matplotlib.origin is None:
        pytest.skip("fc-match or matplotlib, which has a font, is missing")
    if not features.check("fribidi"):
        pytest.skip("FriBiDi is missing")
    font = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    shutil.copy(font, fonts)


def ink_of_title(title: str) -> tuple[int, int]:
    """Where the first line of a title begins and ends, in px from the left of its column."""
    found = card("A man.", title, used=False)
    line = found.crop((457, 56, SIZE[0], 96))
    paper = Image.new("RGB", line.size, found.getpixel((SIZE[0] - 1, SIZE[1] - 1)))
    box = ImageChops.difference(line, paper).getbbox()
    assert box
    return box[0], box[2]


def is_left_out(title: str) -> bool:
    return card("A man.", title, used=False).tobytes() == card("A man.").tobytes()


@pytest.mark.usefixtures("fonts")
@pytest.mark.parametrize("title", ["千と千尋", "ואלס עם באשיר", "باب الحديد"])
def test_a_title_that_no_font_can_write_is_left_out(title: str):
    assert is_left_out(title)


@pytest.mark.usefixtures("dejavu")
def test_a_title_is_written_with_a_font_of_the_machine():
    assert not is_left_out("ואלס עם באשיר")
    assert not is_left_out("Ωδή, ода, باب 8½")
    assert is_left_out("千と千尋")


@pytest.mark.usefixtures("dejavu")
@pytest.mark.parametrize("title", ["ואלס", "باب", "(2008) ואלס", "باب Bab"])
def test_a_title_from_right_to_left_begins_on_the_right(title: str):
    column = SIZE[0] - 457 - 56
    left, right = ink_of_title(title)
    assert left > column / 2
    assert column - 5 < right <= column
    assert ink_of_title("The Sea")[0] < 5


@pytest.mark.usefixtures("dejavu")
def test_letters_that_join_are_joined():
    left, right = ink_of_title("ببب")
    apart = ink_of_title("ب\u200cب\u200cب")
    assert right - left < (apart[1] - apart[0]) * 0.8


@pytest.mark.usefixtures("dejavu")
def test_what_would_come_out_backwards_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(features, "check", lambda name: name != "fribidi")
    assert is_left_out("ואלס עם באשיר")
    assert is_left_out("باب الحديد")


@pytest.mark.parametrize("title", ["", "The sea and the sky " * 10, "W" * 200])
def test_all_of_a_plot_stays_inside(title: str):
    """The margins keep the colour of the paper."""
    found = card("Many words and more. " * 80, title)
    right = found.crop((SIZE[0] - 20, 20, SIZE[0], SIZE[1]))
    bottom = found.crop((0, SIZE[1] - 20, *SIZE))
    for margin in (right, bottom):
        assert len(margin.getcolors() or []) == 1
