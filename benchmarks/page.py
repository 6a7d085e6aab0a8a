"""How long a visitor waits: `python -m benchmarks.page`, with the page running.

Each visit opens the page in a new browser context and does what visitors do; a second one has the
network and the processor of a slow phone. Needs requirements-dev.txt and a Chromium on the path.
"""

import argparse
import re
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from playwright.sync_api import Browser, Locator, sync_playwright

from poster2plot.bundled_files import EXAMPLE_POSTERS
from support.browser import PATIENCE, drop, example, launch, slow_down

POSTERS = sorted(EXAMPLE_POSTERS.glob("*.jpg"))
KILOBYTES = "first visit, kB over the network"


def main() -> None:
    """Print a table of medians over the visits; the first one warms up and does not count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://localhost:8501")
    parser.add_argument("--visits", type=int, default=5)
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = launch(playwright)
        columns = []
        for slow in (False, True):
            posters = POSTERS[: options.visits + 1]
            _, *visits = [visit(browser, options.address, each, slow=slow) for each in posters]
            columns.append({what: statistics.median(v[what] for v in visits) for what in visits[0]})
        browser.close()
    print("| seconds until | this machine | a slow phone |\n|---|---|---|")
    for what, value in columns[0].items():
        digits = 0 if what == KILOBYTES else 2
        print(f"| {what} | {value:.{digits}f} | {columns[1][what]:.{digits}f} |")


def visit(browser: Browser, address: str, poster: Path, *, slow: bool) -> dict[str, float]:
    """What a visitor of a new page waits for, in seconds by its name."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    if slow:
        slow_down(page)
    network, sizes = context.new_cdp_session(page), [0.0]
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    seconds = {}

    def appears(end: Locator, started: float) -> float:
        # `Locator.wait_for` looks at longer and longer intervals, up to half a second.
        while not end.is_visible():
            page.wait_for_timeout(10)
            if time.perf_counter() - started > PATIENCE / 1000:
                raise TimeoutError(f"{end} did not appear.")
        return time.perf_counter() - started

    def wait(what: str, act: Callable[[], object], end: Locator) -> None:
        started = time.perf_counter()
        act()
        seconds[what] = appears(end, started)

    examples = example(page, "Undertow Bay")
    wait("the first visit can begin", lambda: page.goto(address), examples)
    page.wait_for_load_state("networkidle")
    kilobytes = sum(sizes) / 1000
    wait("another visit can begin", page.reload, examples)
    words = page.locator(".growing, .plot").filter(has_text=re.compile(r"\w \w")).first
    started = time.perf_counter()
    wait(
        "a dropped poster's first words",
        lambda: drop(page, poster.name, poster.read_bytes()),
        words,
    )
    seconds["its whole plot"] = appears(page.locator(".plot").first, started)
    tap = partial(page.locator(".word").first.dispatch_event, "click")
    wait("the heat map of a word", tap, page.locator(".looking"))
    another = page.get_by_role("button", name="Write another")
    wait("another plot of it", another.click, page.get_by_text("2 of 2"))
    wait(
        "the first plot again",
        page.get_by_role("button", name="Earlier").click,
        page.get_by_text("1 of 2"),
    )
    column = page.locator('[class*="st-key-contrast-"] .stColumn:last-child')
    beside = column.locator(".stMarkdown p").first  # above what it was written from
    without = page.get_by_role("radio", name="Without the poster")
    wait("the plot without the poster beside it", without.click, beside)
    wait("an example's plot", examples.click, page.get_by_text("Invented by").nth(1))
    context.close()
    return {**seconds, KILOBYTES: kilobytes}


if __name__ == "__main__":
    main()
