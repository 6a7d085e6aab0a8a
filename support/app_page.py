"""The page's script without a browser, and what a visitor does with it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from poster2plot.page import cached_resources
from support.drawn_posters import draw_poster, encode
from support.poster_server import MOVIE, PICTURE, Answer, cinemeta, serve_posters

PICTURED = encode(draw_poster(), "JPEG")
SCRIPT = Path(__file__).parents[1] / "poster2plot" / "page" / "main.py"


def upload(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    values = [(name, data, "image/png") for name, data in files]
    return page.file_uploader[0].set_value(values).run()


def open_tab(page: AppTest, name: str) -> AppTest:
    page.session_state["tab"] = name
    return page.run()


def plots(page: AppTest) -> list[str]:
    return [each.record["plot"] for each in page.session_state.written_plots.values()]


def invented(page: AppTest) -> list[str]:
    """Of each card, from what its plot was written."""
    found = [re.search(r"(from the poster.*) on CPU", each.value) for each in page.caption]
    return [each[1] for each in found if each]


@contextmanager
def titles(monkeypatch: pytest.MonkeyPatch, **said: str) -> Iterator[None]:
    """A service that knows one title."""
    with serve_posters() as server:
        server.answers = {MOVIE: cinemeta(server, **said), PICTURE: Answer(PICTURED)}
        monkeypatch.setattr(cached_resources, "finder", server.finder)
        yield
