"""The real page on the bundled model in a real browser; pictures of it stay in test-artifacts/."""

import csv
import io
import json
import re
import zipfile
from typing import Literal

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Download, FilePayload, Page, expect

from poster2plot.page.share_card import SIZE
from support.browser import (
    AT_REST,
    DROPZONE,
    PATIENCE,
    drop,
    example,
    picture,
    transfer_of,
    try_example,
)
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID

LONG = "?beams=12&candidates=8&max_length=128"  # settings that take a while


def download(page: Page, name: str) -> Download:
    with page.expect_download() as info:
        page.get_by_role("button", name=name).first.click()
    return info.value


def test_an_example_gives_a_plot_with_one_click(page: Page):
    assert len(try_example(page).split()) >= 4
    expect(picture(page, "The House on Harrow Hill")).to_be_visible()
    expect(page.get_by_text("It is not the title’s real plot")).to_be_visible()


def test_an_example_can_be_chosen_with_the_keyboard(page: Page):
    example(page, "Two Umbrellas").focus()
    page.keyboard.press("Enter")
    picture(page, "Two Umbrellas").wait_for()


def test_dropped_posters_get_plots(page: Page):
    drop(page, "harbour.png", encode(draw_poster()))
    drop(page, "desert.png", encode(draw_poster("darkred")))
    expect(page.get_by_text("Invented by")).to_have_count(2, timeout=PATIENCE)
    expect(picture(page, "harbour.png")).to_be_visible()
    expect(picture(page, "desert.png")).to_be_visible()
    page.get_by_role("button", name="Clear all").click()
    expect(page.get_by_text("Invented by")).to_have_count(0)
    expect(page.get_by_test_id("stFileChip")).to_have_count(0)
    expect(page.locator(DROPZONE)).to_be_visible()  # the inputs, closed above a result, are open


def test_a_pasted_picture_gets_a_plot(page: Page):
    transfer = transfer_of(page, "pasted.png", encode(draw_poster("green")))
    page.evaluate(
        """(transfer) => document.dispatchEvent(
            new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }))""",
        transfer,
    )
    picture(page, "pasted.png").wait_for()
    page.get_by_text("Invented by").wait_for()


def test_a_photo_gets_a_plot(page: Page):
    page.get_by_test_id("stCheckbox").filter(has_text="Camera").locator("label").click()
    page.wait_for_function("document.querySelector('video')?.readyState >= 2")
    page.get_by_role("button", name="Take Photo").click()
    picture(page, "Photo").wait_for()
    page.get_by_text("Invented by").wait_for()


def test_titles_are_looked_up_and_live_in_the_url(page: Page, address: str):
    titles = page.get_by_role("textbox", name="or name films or series")
    expect(titles).to_have_css("unicode-bidi", "plaintext")  # as dir="auto"
    titles.fill(f"{ID}, nm0000138")
    titles.press("Control+Enter")
    synopsis = page.get_by_text("A thief enters dreams.")
    synopsis.wait_for()
    expect(synopsis).to_have_css("text-align", "start")  # of its own letters' side
    expect(page.get_by_text("What Cinemeta says it is about")).to_be_visible()
    expect(
        page.get_by_test_id("stAlertContentError").get_by_text("is a person on IMDb")
    ).to_be_visible()
    page.get_by_text("Invented by").wait_for()
    assert ID in page.url
    page.reload()
    page.get_by_text("A thief enters dreams.").wait_for()


@pytest.mark.parametrize("page", [{"query": LONG}], indirect=True)
def test_plots_grow_until_they_are_stopped(page: Page):
    """Eight posters, as a quick machine writes one for half a second."""
    data = [encode(draw_poster(f"#{i}03060")) for i in range(8)]
    files: list[FilePayload] = [
        {"name": f"{i}.png", "mimeType": "image/png", "buffer": each} for i, each in enumerate(data)
    ]
    page.locator(f"{DROPZONE} input").set_input_files(files)
    live = page.locator(".growing")
    page.wait_for_function(  # looked at in each frame
        r"""() => /\w+ \w+.* …$/.test(document.querySelector(".growing")?.textContent)
            && /Writing \d of 8/.test(document.body.innerText)"""
    )
    page.get_by_role("button", name="Stop").press("Enter")
    page.get_by_text("There is no plot").first.wait_for()
    expect(live).to_have_count(0)
    write = page.get_by_role("button", name="Write it").first
    expect(write).to_be_focused()
    page.locator("#spoken").get_by_text("Stopped.").wait_for(state="attached")
    card = write.element_handle().evaluate_handle("each => each.closest('[class*=st-key-card-]')")
    write.press("Enter")
    page.wait_for_function("(card) => document.activeElement === card", arg=card)


def test_a_link_repeats_the_settings(page: Page, browser: Browser):
    page.get_by_role("button", name="Varied").click()
    page.wait_for_url(re.compile("search=Sampling"))
    shared = browser.new_page()
    shared.goto(page.url)
    count = shared.get_by_role("slider", name="Plots for each poster")
    expect(count).to_have_value("4", timeout=PATIENCE)
    expect(shared.get_by_role("slider", name="Temperature")).to_be_visible()
    shared.close()
    page.get_by_role("button", name="Reset").click()
    page.wait_for_url(re.compile("^[^?]*[?]?$"))


@pytest.mark.parametrize("page", [{"query": "?candidates=3"}], indirect=True)
def test_candidates_stand_side_by_side_and_can_be_copied(page: Page):
    try_example(page)
    expect(page.locator(".plot")).to_have_count(3)
    expect(page.get_by_text(re.compile("Plot 2 of 3 · score"))).to_be_visible()
    first, second = (each.bounding_box() for each in page.locator(".plot").all()[:2])
    assert first
    assert second
    assert first["x"] != second["x"]
    page.get_by_role("button", name="Copy").nth(1).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator(".plot").nth(1).inner_text()


def test_a_plot_that_comes_to_lie_under_the_pointer_does_not_cover_its_poster(page: Page):
    try_example(page)
    page.locator(AT_REST).wait_for()
    page.mouse.move(600, 40)
    # Fixed, as the page may still be scrolling to the plot.
    page.locator(".word").first.evaluate(
        "(word) => Object.assign(word.style, { position: 'fixed', left: '598px', top: '38px' })"
    )
    expect(page.locator(".word:hover")).to_have_count(1)
    expect(page.locator(".view.looking")).to_have_count(0)
    page.mouse.move(602, 42)
    expect(page.locator(".view.looking")).to_have_count(1)


def test_words_show_where_the_model_looked(page: Page):
    try_example(page)
    heat = page.locator(".view canvas")
    expect(heat).to_have_css("opacity", "0")
    page.locator(".word").nth(3).hover()
    expect(heat).to_have_css("opacity", "1")
    first = heat.evaluate("(canvas) => canvas.toDataURL()")
    page.mouse.move(0, 0)
    expect(heat).to_have_css("opacity", "0")
    page.locator(".plot").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".shown")).to_have_text(page.locator(".word").first.inner_text())
    expect(heat).to_have_css("opacity", "1")
    assert heat.evaluate("(canvas) => canvas.toDataURL()") != first
    word = page.locator(".word").first.inner_text()
    expect(page.locator("#hint")).to_have_text(f"Where it looked for {word}: little  much")


def test_plots_can_be_taken_along(page: Page):
    plot = try_example(page)
    card = download(page, "Download card")
    assert card.suggested_filename == "The-House-on-Harrow-Hill.png"
    with Image.open(card.path()) as image:
        assert (image.format, image.size) == ("PNG", SIZE)
    [row] = csv.DictReader(io.StringIO(download(page, "CSV").path().read_text(encoding="utf-8")))
    assert row["plot"] == plot
    [record] = json.loads(download(page, "JSON").path().read_text(encoding="utf-8"))
    assert record["plot"] == plot
    assert record.pop("picture").startswith("data:image/jpeg;base64,")
    assert record["settings"]["num_beams"] == 4
    with zipfile.ZipFile(download(page, "ZIP").path()) as archive:
        assert json.loads(archive.read("plots.json")) == [record]


def test_the_history_keeps_and_forgets(page: Page):
    first = try_example(page)
    example(page, "Undertow Bay").click()
    picture(page, "Undertow Bay").wait_for()
    page.get_by_text("Invented by").wait_for()
    page.get_by_role("tab", name="History").click()
    history = page.get_by_role("tabpanel").filter(has_text="Forget all")
    expect(history.get_by_text(first)).to_be_visible()
    expect(history.get_by_role("button", name="Forget", exact=True)).to_have_count(2)
    history.get_by_role("button", name="Forget", exact=True).last.click()
    expect(history.get_by_text(first)).to_have_count(0)
    expect(history.get_by_role("button", name="Forget", exact=True)).to_have_count(1)


def test_the_page_says_what_it_is(page: Page):
    page.get_by_role("tab", name="About").click()
    expect(page.get_by_text("The text is invented.")).to_be_visible()
    expect(page.get_by_text("cross-attention")).to_be_visible()


def test_everything_has_a_name_for_screen_readers(page: Page):
    try_example(page)
    assert page.locator("img:not([alt])").count() == 0
    # All at once, since the page may still be taking some of them away.
    nameless = page.get_by_role("button").evaluate_all(
        """(buttons) => buttons
            .filter((each) => !(each.ariaLabel || each.title || each.innerText.trim()))
            .filter((each) => !each.querySelector("img[alt]"))
            .map((each) => each.outerHTML)"""
    )
    assert nameless == []


WINDOWS = {"desktop": (1280, 900), "zoomed to 200 %": (640, 450), "phone": (390, 844)}
WINDOWS |= {"narrow": (320, 568)}


def test_nothing_is_wider_than_the_window(page: Page):
    try_example(page)
    page.get_by_role("button", name="Write another").click()
    page.get_by_text("2 of 2").wait_for()
    page.get_by_role("radio", name="Without the poster").click()
    page.get_by_role("heading", name="Without the poster").wait_for()
    for name, (width, height) in WINDOWS.items():
        page.set_viewport_size({"width": width, "height": height})
        for tab in ("History", "Guess", "About", "Posters"):
            page.get_by_role("tab", name=tab).click()
            too_wide = page.evaluate(
                """(parts) => [...document.querySelectorAll(parts)]
                    .filter((each) => each.scrollWidth > Math.min(each.clientWidth, innerWidth))
                    .map((each) => [each.outerHTML.slice(0, 100), each.scrollWidth])""",
                "html, .stMain, .stSidebar[aria-expanded='true'] > div",
            )
            assert too_wide == [], (name, tab)


@pytest.mark.parametrize("page", [{"color_scheme": "dark"}], indirect=True)
def test_on_paper_are_posters_titles_and_plots_alone(page: Page):
    try_example(page)
    page.locator(AT_REST).wait_for()
    page.locator(".word").first.click()
    expect(page.locator(".view.looking")).to_have_count(1)
    page.emulate_media(media="print")
    expect(picture(page, "The House on Harrow Hill")).to_be_visible()
    expect(page.locator(".plot")).to_have_css("color", "rgb(0, 0, 0)")
    expect(page.get_by_role("textbox")).to_have_count(1)
    expect(page.get_by_role("textbox", name="Title")).to_have_css("color", "rgb(0, 0, 0)")
    expect(page.get_by_text("Where it looked for")).to_be_visible()
    for part in ("body", ".stApp"):
        expect(page.locator(part)).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    for hidden in ("button", "tab", "slider"):
        expect(page.get_by_role(hidden)).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_high_contrast_shows_what_is_chosen(page: Page, scheme: Literal["light", "dark"]):
    page.emulate_media(forced_colors="active", color_scheme=scheme)
    try_example(page)
    page.locator(AT_REST).wait_for()
    page.locator(".word").nth(1).click()
    page.locator(".view.looking").wait_for()
    thumb = page.get_by_role("slider", name="Follow the poster").locator("xpath=../..")
    shown = {
        "tab": page.locator(".react-aria-SelectionIndicator"),
        "switch": page.get_by_role("switch").locator("xpath=../following-sibling::div[1]"),
        "track": thumb.locator("xpath=../div[1]"),
        "thumb": thumb,
        "search": page.get_by_role("radio", name="Beam search"),
        "word": page.locator(".shown"),
        "legend": page.locator(".bar"),
    }
    canvas = (255, 255, 255) if scheme == "light" else (0, 0, 0)
    for name, part in shown.items():
        with Image.open(io.BytesIO(part.screenshot())) as image:
            seen = image.convert("RGB").getpixel((8, image.height // 2))  # beside any text
        assert seen != canvas, name
    page.get_by_role("button", name="Write another").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Write another")).to_have_css("outline-style", "solid")


def test_a_strip_of_a_picture_fills_no_screens(page: Page):
    drop(page, "strip.png", encode(Image.new("RGB", (100, 1500), "navy")))
    page.get_by_text("Invented by").wait_for()
    sizes = page.locator(".view :is(img, canvas)").evaluate_all(
        """(parts) => parts.map((each) => each.getBoundingClientRect())
            .map(({ width, height }) => [width, height])"""
    )
    assert sizes == [[36, 540]] * 2
    page.get_by_role("tab", name="History").click()
    tile = page.locator(".stImage img").last
    tile.wait_for()
    assert tile.evaluate("(each) => each.offsetHeight") == 540


def test_who_wants_no_motion_sees_none(page: Page):
    page.emulate_media(reduced_motion="reduce")
    try_example(page)
    moving = page.evaluate(
        """() => {
            const inside = (root) => [...root.querySelectorAll("*")].flatMap(
                (each) => each.shadowRoot ? [each, ...inside(each.shadowRoot)] : [each])
            return inside(document.querySelector(".stApp")).filter((each) => {
                const { transitionDuration, animationDuration } = getComputedStyle(each)
                return /[1-9]/.test(transitionDuration + animationDuration)
            }).map((each) => each.outerHTML.slice(0, 200))
        }"""
    )
    assert moving == []


def test_a_card_is_copied_or_shared_as_a_picture(page: Page):
    # Chromium on Linux has no share sheet.
    page.evaluate(
        """() => {
            navigator.canShare = ({ files }) => files[0].type === "image/png"
            navigator.share = async (what) => (window.shared = what)
        }"""
    )
    try_example(page)
    page.get_by_role("radio", name="Without the poster").click()
    page.get_by_role("heading", name="Without the poster").wait_for()
    page.route("**/cards/*.png", lambda route: route.abort())
    page.get_by_role("button", name="Copy as picture").click()
    expect(page.get_by_role("button", name="Not there, try again")).to_be_visible()
    page.unroute("**/cards/*.png")
    page.get_by_role("button", name="Copy as picture").click()
    page.get_by_role("button", name="Copied").wait_for()
    size_of = "createImageBitmap(picture).then(({ width, height }) => [width, height])"
    copied = page.evaluate(
        f"""async () => {{
            const [item] = await navigator.clipboard.read()
            const picture = await item.getType("image/png")
            return {size_of}
        }}"""
    )
    page.get_by_role("button", name="Share card").click()
    page.wait_for_function("window.shared")
    shared = page.evaluate(f"(({{ files: [picture] }}) => {size_of})(window.shared)")
    assert copied == shared == [*SIZE]
    assert page.evaluate("window.shared.files[0].name") == "The-House-on-Harrow-Hill.png"


def test_the_api_answers_beside_the_page(address: str):
    files = {"image": ("poster.png", encode(draw_poster()))}
    record = requests.post(f"{address}/api/plot", files=files, timeout=60).json()
    assert record["model"] == "poster2plot-title"
    assert len(record["plot"].split()) >= 4


def violations(page: Page) -> list[str]:
    page.locator(AT_REST).wait_for()
    # Streamlit's uploader has a role and a name that contradict each other.
    rules = {"presentation-role-conflict": {"enabled": False}}
    options = {"resultTypes": ["violations"], "rules": rules}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(
    "page",
    [{}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}],
    ids=["light", "dark", "phone"],
    indirect=True,
)
def test_axe_finds_nothing_in_any_state(page: Page):
    assert violations(page) == []
    try_example(page)
    page.get_by_role("button", name="Write another").click()
    page.get_by_text("2 of 2").wait_for()
    page.get_by_text("Good", exact=True).click()
    page.get_by_role("radio", name="Without the poster").click()
    page.get_by_role("heading", name="Without the poster").wait_for()
    assert violations(page) == []
    for tab in ("History", "Guess", "About"):
        page.get_by_role("tab", name=tab).click()
        assert violations(page) == []


@pytest.mark.parametrize(
    "page", [{}, {"color_scheme": "dark"}], ids=["light", "dark"], indirect=True
)
def test_axe_finds_nothing_in_what_is_refused_found_compared_or_guessed(page: Page):
    drop(page, "photo.heic", b"no picture that is read")
    page.get_by_role("textbox", name="or name films or series").fill("inception\nnm0000138")
    page.keyboard.press("Enter")
    page.get_by_test_id("stAlertContentError").get_by_text("is a person on IMDb").wait_for()
    page.get_by_role("button", name="Inception 2010, film").wait_for()
    assert violations(page) == []
    try_example(page)
    page.get_by_role("button", name="Write another").click()
    page.get_by_text("2 of 2").wait_for()
    page.get_by_role("tab", name="History").click()
    for _ in range(2):
        page.get_by_role("button", name="Compare", exact=True).first.click()
        page.locator(AT_REST).wait_for()
    expect(page.get_by_role("img", name="Compared poster")).to_have_count(2)
    page.get_by_role("button", name="Open a saved visit").click()
    expect(page.get_by_text("The ZIP or JSON of a download")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("tab", name="Guess").click()
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name=re.compile("^Poster 1: ")).click(timeout=PATIENCE)
    expect(page.get_by_text("of 1 right")).to_be_visible()
    assert violations(page) == []
