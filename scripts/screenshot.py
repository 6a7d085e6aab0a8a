"""Take the README's screenshot: `python scripts/screenshot.py`, with the page running.

Needs requirements-dev.txt and a Chromium on the path.
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).parent.parent / "assets" / "screenshot.png"


def main() -> None:
    """Try an example and photograph its plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://localhost:8501")
    parser.add_argument("--example", default="The House On Harrow Hill")
    options = parser.parse_args()
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 960})
        page.goto(options.address)
        column = page.locator(f".st-key-{'example ' + options.example}".replace(" ", "-"))
        column.get_by_role("button").click(timeout=120_000)
        page.get_by_text("Invented by").wait_for(timeout=120_000)
        page.mouse.move(0, 0)
        page.get_by_role("tooltip").wait_for(state="hidden")
        page.get_by_alt_text(f"Poster: {options.example}", exact=True).wait_for()
        page.screenshot(path=OUT)
        browser.close()


if __name__ == "__main__":
    main()
