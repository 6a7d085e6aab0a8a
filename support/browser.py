"""A headless Chromium and what a visitor's hands do in it.

What takes a while is awaited with `wait_for`: each try of an `expect` that does not hold yet
describes the whole page for screen readers, a third of what the page itself takes.
"""

import base64
import os
import shutil

from playwright.sync_api import Browser, JSHandle, Locator, Page, Playwright

CHROMIUM = shutil.which("chromium")
DROPZONE = '[data-testid="stFileUploaderDropzone"]'
AT_REST = '[data-test-script-state="notRunning"]'  # no run of the page is left
PATIENCE = 120_000  # milliseconds, enough for loading the model on a busy machine


def need_chromium() -> None:
    """Skip a test where there is no Chromium, or fail it with POSTER2PLOT_REQUIRE_BROWSER."""
    import pytest

    if CHROMIUM is None:
        give_up = pytest.fail if os.environ.get("POSTER2PLOT_REQUIRE_BROWSER") else pytest.skip
        give_up("Chromium is missing; install Debian's package chromium")


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium, silent towards the network, with a made-up camera."""
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    return playwright.chromium.launch(executable_path=CHROMIUM, args=flags)


def slow_down(page: Page) -> None:
    """Let a page have the network and the processor of a slow phone (Lighthouse's "mobile")."""
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": 150,  # milliseconds
            "downloadThroughput": 1_600_000 / 8,  # bytes a second
            "uploadThroughput": 750_000 / 8,
        },
    )


def example(page: Page, name: str) -> Locator:
    """The button of an example poster."""
    return page.get_by_role("button", name=f"Example poster: {name}")


def picture(page: Page, name: str) -> Locator:
    """A poster among the results."""
    return page.get_by_role("img", name=f"Poster: {name}", exact=True)


def try_example(page: Page, name: str = "The House On Harrow Hill") -> str:
    """Click an example and wait for its plot."""
    example(page, name).click()
    page.get_by_text("Invented by").wait_for()
    return page.locator(".plot").first.inner_text()


def transfer_of(page: Page, name: str, data: bytes) -> JSHandle:
    """A file as the mouse or the clipboard carries it."""
    return page.evaluate_handle(
        """([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0))
            const transfer = new DataTransfer()
            transfer.items.add(new File([bytes], name, { type: "image/png" }))
            return transfer
        }""",
        [name, base64.b64encode(data).decode()],
    )


def drop(page: Page, name: str, data: bytes, on: str = DROPZONE) -> None:
    """Drop a file on the uploader, or on what else a selector finds."""
    transfer = transfer_of(page, name, data)
    target = page.locator(on).first
    for event in ("dragenter", "dragover", "drop"):
        target.dispatch_event(event, {"dataTransfer": transfer})
