"""What a browser gets before the page has run: its head, pictures, and compressed scripts."""

import gzip
import html
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from streamlit.file_util import get_static_dir

from poster2plot.page.first_load import FirstLoad, address_of_example
from poster2plot.page.inputs import EXAMPLES
from support.browser import PATIENCE, example

MOST_BYTES = 1_500_000  # of a first load, as they come over the network


def client(root_path: str = "") -> TestClient:
    return TestClient(
        FirstLoad(PlainTextResponse("passed on"), root_path), "https://posters.example"
    )


def tags(text: str) -> dict[str, str]:
    """The named tags of a head."""
    return dict(re.findall(r'<meta (?:name|property)="([\w:-]+)" content="([^"]*)"', text))


def test_the_page_has_its_own_head():
    response = client().get("/")
    assert response.headers["content-type"].startswith("text/html")
    assert "<title>Poster2Plot</title>" in response.text
    assert "Streamlit</title>" not in response.text
    found = tags(response.text)
    assert found["og:title"] == found["twitter:title"] == "Poster2Plot"
    assert found["og:url"] == "https://posters.example/"
    assert found["og:image"] == found["twitter:image"]
    assert found["description"]
    assert found["twitter:card"] == "summary_large_image"
    assert '<div id="root">' in response.text
    assert "index." in response.text  # Streamlit's script


def test_examples_are_there_in_small():
    for path in EXAMPLES.values():
        answer = client("/posters").get(f"/posters/{address_of_example(path)}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert "max-age=86400" in answer.headers["cache-control"]
        assert max(Image.open(io.BytesIO(answer.content)).size) == 240
    assert client().get("/pictures/small/nothing.jpg").text == "passed on"


def test_everything_that_the_head_names_is_there():
    head = client("/posters").get("/posters/").text
    named = [
        *re.findall(r'(?:href|src)="\./([^"]+)"', head),
        "pictures/icon-512.png",
        "favicon.ico",
    ]
    assert "manifest.webmanifest" in named
    for name in named:
        answer = client("/posters").get(f"/posters/{name}")
        ours = name.startswith(("pictures/", "static/js/", "static/css/", "manifest", "favicon"))
        assert (answer.text == "passed on") is not ours, name
        assert answer.status_code == 200, name
    for icon in client().get("/manifest.webmanifest").json()["icons"]:
        with Image.open(io.BytesIO(client().get(f"/{icon['src']}").content)) as picture:
            assert f"{picture.width}x{picture.height}" == icon["sizes"]
    preview = tags(head)["og:image"].removeprefix("https://posters.example")
    with Image.open(io.BytesIO(client("/posters").get(preview).content)) as picture:
        assert picture.size == (1200, 630)


@pytest.mark.parametrize("root_path", ["", "/posters"])
def test_a_link_to_an_example_previews_its_poster_and_leads_to_it(root_path: str):
    app, base = client(root_path), f"{root_path}/"
    query = "?example=undertow-bay&another=2"
    found = tags(app.get(f"{base}{query}").text)
    assert "Undertow Bay" in found["og:title"]
    assert app.get(found["og:image"]).headers["content-type"] == "image/jpeg"
    assert html.unescape(found["og:url"]) == f"https://posters.example{base}{query}"


def test_a_link_to_no_example_previews_the_page():
    assert tags(client().get('/?example="><script>').text)["og:title"] == "Poster2Plot"
    text = client().get('/?example=undertow-bay&"><script>alert(1)</script>').text
    assert "<script>alert" not in text


def test_a_hostile_host_is_not_repeated():
    text = client().get("/", headers={"Host": 'a"><script>alert(1)</script>'}).text
    assert "alert" not in text


def test_scripts_are_compressed_and_cached():
    name = re.search(r"static/js/index\.[\w-]+\.js", client().get("/").text)
    assert name
    with client().stream("GET", f"/{name[0]}") as response:
        data = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "gzip"
    assert "immutable" in response.headers["cache-control"]
    assert gzip.decompress(data) == Path(get_static_dir(), name[0]).read_bytes()
    plain = client().get(f"/{name[0]}", headers={"Accept-Encoding": "identity"})
    assert plain.text == "passed on"


def test_an_unchanged_page_is_not_sent_again():
    first = client().get("/")
    again = client().get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_outside_of_the_base_path_nothing_is_answered():
    assert client("/posters").get("/").text == "passed on"
    assert client("/posters").get("/postersabc/").text == "passed on"
    assert "<title>" in client("/posters").get("/posters/").text


@pytest.mark.parametrize("path", ["/static/js/../../secrets", "/pictures/../page.css", "/nothing"])
def test_nothing_else_is_answered(path: str):
    assert client().get(path).text == "passed on"


def test_a_visit_asks_no_other_host_and_begins_small(browser: Browser, address: str):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    sizes: list[int] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(address)
    example(page, "Undertow Bay").wait_for()
    page.wait_for_load_state("networkidle")
    assert sum(sizes) < MOST_BYTES
    example(page, "Undertow Bay").click()
    expect(page.get_by_text("Invented by")).to_be_visible()
    page.get_by_role("tab", name="About").click()
    expect(page.get_by_text("asks no other server")).to_be_visible()
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("button", name="Forget", exact=True)).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    page.close()
