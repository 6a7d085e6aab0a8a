"""Take the README's screenshot: `python -m scripts.screenshot`, with the page running.

Needs requirements-dev.txt and a Chromium on the path.
"""

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

from support.browser import PATIENCE, example, launch

OUT = Path(__file__).parent.parent / "assets" / "screenshot.png"


def main() -> None:
    """Try an example and photograph its plot, with the heat map of one of its words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://localhost:8501")
    parser.add_argument("--example", default="A Quiet Alibi")
    parser.add_argument("--word", help="pick it, so that the heat map shows")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = launch(playwright)
        size = {"width": 1280, "height": 1000}
        page = browser.new_page(viewport=size, reduced_motion="reduce")
        page.set_default_timeout(PATIENCE)
        page.goto(options.address)
        example(page, options.example).click()
        page.get_by_text("Invented by").wait_for()
        if options.word:
            page.locator(".word", has_text=options.word).first.click()
        page.mouse.move(0, 0)
        page.get_by_role("tooltip").wait_for(state="hidden")
        page.screenshot(path=OUT, animations="disabled")
        browser.close()


if __name__ == "__main__":
    main()
