"""How long a visitor waits: `python -m benchmarks.page`, with the page running.

Each run opens the page anew in a browser, drops a poster, and notes when the first words and when
the finished plot can be seen. Needs requirements-dev.txt and a Chromium on the path.
"""

import argparse
import re
import statistics
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from poster2plot.bundled_files import EXAMPLE_POSTERS
from support.browser import PATIENCE, drop, example, launch

POSTERS = sorted(EXAMPLE_POSTERS.glob("*.jpg"))


def main() -> None:
    """Print the medians over the example posters but the first, which warms up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://localhost:8501")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = launch(playwright)
        _, *waits = [wait(browser, options.address, poster) for poster in POSTERS]
        browser.close()
    for what, seconds in zip(("first words", "full plot"), zip(*waits, strict=True), strict=True):
        print(
            f"{what}: {statistics.median(seconds):.2f} s after the drop "
            f"({min(seconds):.2f} to {max(seconds):.2f}, {len(seconds)} posters)"
        )


def wait(browser: Browser, address: str, poster: Path) -> tuple[float, float]:
    """Seconds from the drop to the first two words and to the full plot, on a new page."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    example(page, "Undertow Bay").wait_for()
    started = time.perf_counter()
    drop(page, poster.name, poster.read_bytes())
    words = page.locator(".growing, .plot").filter(has_text=re.compile(r"\w \w"))
    words.first.wait_for()
    first = time.perf_counter()
    page.locator(".plot").first.wait_for()
    full = time.perf_counter()
    page.close()
    return first - started, full - started


if __name__ == "__main__":
    main()
