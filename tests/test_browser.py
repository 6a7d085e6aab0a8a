"""The real page on the bundled model in a real browser."""

import base64
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect, sync_playwright
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests.conftest import draw_poster

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium")
PATIENCE = 120_000  # milliseconds, enough for loading the model on a busy machine


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page served on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    options = ["--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}"]
    server = subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    with requests.Session() as session:
        session.mount(
            "http://", HTTPAdapter(max_retries=Retry(60, backoff_factor=0.1, backoff_max=1))
        )
        session.get(f"{url}/_stcore/health", timeout=60).raise_for_status()
    yield url
    server.terminate()
    server.wait()


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    if CHROMIUM is None:
        if os.environ.get("POSTER2PLOT_REQUIRE_BROWSER"):
            pytest.fail("Chromium is missing; install Debian's package chromium")
        pytest.skip("Chromium is missing; install Debian's package chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        yield page
        browser.close()


def drop(page: Page, path: Path) -> None:
    """Drop a file on the page's uploader, as a mouse would."""
    transfer = page.evaluate_handle(
        """([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0))
            const transfer = new DataTransfer()
            transfer.items.add(new File([bytes], name, { type: "image/png" }))
            return transfer
        }""",
        [path.name, base64.b64encode(path.read_bytes()).decode()],
    )
    target = page.get_by_test_id("stFileUploaderDropzone")
    for event in ("dragenter", "dragover", "drop"):
        target.dispatch_event(event, {"dataTransfer": transfer})


def test_a_dropped_poster_gets_a_plot(page: Page, tmp_path: Path):
    poster = tmp_path / "harbour.png"
    draw_poster().save(poster)
    expect(page.get_by_role("heading", name="Poster2Plot")).to_be_visible(timeout=PATIENCE)
    drop(page, poster)
    expect(page.get_by_text("Invented by")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_alt_text("Poster: harbour.png")).to_be_visible()
    plot = page.get_by_role("heading", level=4).inner_text()
    assert len(plot.split()) >= 4
