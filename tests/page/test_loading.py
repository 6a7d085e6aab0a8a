"""What a visitor can do while the model is being loaded: here, from a Hub that does not answer."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from support.app_server import serve_app
from support.browser import DROPZONE, PATIENCE, drop
from support.drawn_posters import draw_poster, encode
from support.hub_server import serve_hub
from support.poster_server import serve_posters
from support.toy_model import save_tiny_model


def test_a_poster_can_be_dropped_before_the_model_is_there(browser: Browser, tmp_path: Path):
    repositories = {"someone/new": save_tiny_model(tmp_path / "model")}
    with serve_hub(repositories) as hub, serve_posters() as services:
        hub.answering.clear()
        environment = {
            "POSTER2PLOT_MODEL": "someone/new",
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
        }
        with serve_app(services, environment) as server, browser.new_page() as page:
            page.set_default_timeout(PATIENCE)
            page.goto(server.url)
            page.locator(DROPZONE).wait_for()
            expect(page.get_by_text("Loading the model …")).to_be_visible()
            drop(page, "harbour.png", encode(draw_poster()))
            expect(page.get_by_text("Loading the model …")).to_be_visible()
            hub.answering.set()
            page.get_by_text("Invented by").wait_for()
            expect(page.get_by_text("Model: someone/new")).to_be_visible()
