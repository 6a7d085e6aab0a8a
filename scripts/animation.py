"""Make the README's animation: `python -m scripts.animation`, with the page running.

Needs requirements-dev.txt and a Chromium on the path.
"""

import argparse
import io
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from support.browser import AT_REST, PATIENCE, example, launch

OUT = Path(__file__).parent.parent / "assets" / "animation.webp"
SIZE = (720, 540)
_STILL = 1500  # milliseconds that a reader has for what does not move
_WORD = 450  # milliseconds a word


class Film:
    """Pictures of a page, each for as long as it took, or longer."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._frames: list[Image.Image] = []
        self._durations: list[int] = []  # milliseconds

    def take(self, at_least: int = 0) -> None:
        """Photograph the page; a picture like the last one prolongs that."""
        started = time.perf_counter()
        with Image.open(io.BytesIO(self._page.screenshot())) as picture:
            frame = picture.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
        lasted = max(at_least, round(1000 * (time.perf_counter() - started)))
        if self._frames and frame.tobytes() == self._frames[-1].tobytes():
            self._durations[-1] += lasted
            return
        self._frames.append(frame)
        self._durations.append(lasted)

    def save(self, path: Path) -> None:
        """As an animated WebP that plays for ever."""
        first, *others = self._frames
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=self._durations,
            loop=0,
            quality=60,
            method=6,
        )


def main() -> None:
    """Try an example, watch its plot grow, and go from word to word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://localhost:8501")
    parser.add_argument("--example", default="A Quiet Alibi")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1080, "height": 810})
        page.set_default_timeout(PATIENCE)
        page.goto(options.address)
        chosen = example(page, options.example)
        chosen.hover()
        film = Film(page)
        film.take(_STILL)
        chosen.click()
        done = page.get_by_text("Invented by")
        while not done.is_visible():
            film.take()
        # It comes into view.
        page.locator(AT_REST).wait_for()
        for _ in range(8):
            film.take()
        film.take(_STILL)
        for word in page.locator(".word").all():
            word.hover()
            film.take(_WORD)
        page.mouse.move(0, 0)
        film.take(_STILL)
        browser.close()
    film.save(OUT)


if __name__ == "__main__":
    main()
