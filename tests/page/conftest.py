"""The real page on the bundled model, and a real browser; its pictures stay in test-artifacts/."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from streamlit.testing.v1 import AppTest

from support.app_page import SCRIPT
from support.app_server import serve_app, when_it_answers
from support.browser import PATIENCE, example, launch, need_chromium
from support.drawn_posters import draw_poster, encode
from support.poster_server import (
    ID,
    MOVIE,
    PICTURE,
    Answer,
    catalogue,
    cinemeta,
    metas,
    serve_posters,
)

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
SLOW_ID = "tt0000099"  # whose services take so long that nobody waits for them


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A real browser on a busy machine has a second try, which the summary tells."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    """Where the page is, with services that know one title."""
    with serve_posters() as services:
        services.answers = {
            MOVIE: cinemeta(services, description="A thief enters dreams."),
            MOVIE.replace(ID, SLOW_ID): Answer(stall=True),
            catalogue("movie", "inception"): metas(
                {
                    "id": ID,
                    "name": "Inception",
                    "releaseInfo": "2010",
                    "poster": services.url + PICTURE,
                },
                {"id": "tt7321322", "name": "Inception: The Cobol Job", "releaseInfo": "2010"},
            ),
            catalogue("movie", "it"): metas(
                {
                    "id": ID,
                    "name": "It",
                    "releaseInfo": "2017",
                    "poster": services.url + PICTURE,
                },
                {
                    "id": "tt0000017",
                    "name": "It Came by Night, or the Long Way from the Harbour to the Last House",
                    "releaseInfo": "1917",
                },
            ),
            PICTURE: Answer(encode(draw_poster("darkred"), "JPEG")),
        }
        with serve_app(services) as server:
            when_it_answers(f"{server.url}/api/ready")  # else the first test waits for the model
            yield server.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need_chromium()
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page just opened; `@pytest.mark.parametrize("page", …, indirect=True)` adds to its URL
    or sets the size of the window."""
    options = getattr(request, "param", {})
    context = browser.new_context(
        viewport=options.get("viewport", {"width": 1280, "height": 900}),
        color_scheme=options.get("color_scheme", "light"),
        permissions=["clipboard-read", "clipboard-write", "camera"],
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address + options.get("query", ""))
    example(page, "Undertow Bay").wait_for()
    yield page
    ARTIFACTS.mkdir(exist_ok=True)
    name = re.sub(r"[^\w-]+", "-", request.node.name)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
    context.close()


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest leaves the page there, and a process that a later test spawns would run it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def app(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("POSTER2PLOT_MODEL", str(tiny_folder))
    return AppTest.from_file(SCRIPT, default_timeout=60).run()


@pytest.fixture
def titled_app(titled_folder: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page of a model that takes titles."""
    monkeypatch.setenv("POSTER2PLOT_MODEL", str(titled_folder))
    return AppTest.from_file(SCRIPT, default_timeout=60).run()
