"""Where a result stands on the real page, what comes before and after it, and links to it."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from support.browser import (
    AT_REST,
    DROPZONE,
    PATIENCE,
    drop,
    example,
    picture,
    slow_down,
    transfer_of,
    try_example,
)
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID
from tests.page.conftest import SLOW_ID

LONG = "?beams=12&candidates=8&max_length=128"
PHONE = {"viewport": {"width": 390, "height": 844}}
SMALL_PHONE = {"viewport": {"width": 390, "height": 664}}
CARD = '[class*="st-key-card-"]'
GONE_AFTER = 2_000  # milliseconds, while the page is still busy with something else


def name_titles(page: Page, text: str) -> None:
    field = page.get_by_role("textbox", name="or name films or series")
    if page.locator(CARD).count():  # its coming closes the inputs, which takes a moment
        expect(inputs(page)).to_have_count(0)
        page.get_by_text("Give it a poster").click()
    field.fill(text)
    field.press("Control+Enter")


def inputs(page: Page) -> Locator:
    return page.locator(".st-key-inputs details[open]")


def wait_until_at_rest(page: Page) -> None:
    """Until no run of the page is left that might change its address or its widgets."""
    page.locator(AT_REST).wait_for()


def wait_until_in_view(page: Page, *parts: Locator) -> None:
    for part in parts:
        part.wait_for()
        page.wait_for_function(
            """(part) => {
                const { top, bottom } = part.getBoundingClientRect()
                return top >= 0 && bottom <= innerHeight
            }""",
            arg=part.element_handle(),
        )


@pytest.mark.parametrize("page", [PHONE], indirect=True)
@pytest.mark.parametrize("way", ["example", "file", "id"])
def test_on_a_phone_poster_and_text_come_into_view(page: Page, way: str):
    if way == "example":
        example(page, "Undertow Bay").click()
    elif way == "file":
        drop(page, "poster.png", encode(draw_poster()))
    else:
        name_titles(page, ID)
    page.get_by_text("Invented by").wait_for(state="attached")
    wait_until_in_view(page, page.locator(".view img"), page.locator(".plot"))
    expect(inputs(page)).to_have_count(0)
    expect(example(page, "Undertow Bay")).to_be_hidden()
    page.get_by_role("radio", name="Without the poster").click()
    wait_until_in_view(page, page.get_by_role("heading", name="Without the poster"))
    page.get_by_text("Give it a poster").click()
    expect(page.locator(DROPZONE)).to_be_visible()
    expect(example(page, "Undertow Bay")).to_be_visible()


@pytest.mark.parametrize("page", [{**SMALL_PHONE, "query": LONG}], indirect=True)
def test_on_a_phone_what_takes_a_while_stays_in_view(page: Page):
    example(page, "Undertow Bay").click()
    page.locator(".growing").wait_for()
    page.get_by_text("Invented by").wait_for(state="attached")
    wait_until_at_rest(page)
    wait_until_in_view(page, page.locator(".view img"), page.locator(".plot").first)


@pytest.mark.parametrize(
    "page",
    [{"query": LONG, "viewport": {"width": width, "height": 900}} for width in (1280, 390)],
    ids=["desktop", "phone"],
    indirect=True,
)
def test_a_plot_grows_where_it_will_stand(page: Page):
    page.evaluate(
        """(cards) => {
            window.places = new Set()
            window.place = (poster, plot) => [
                plot.left - poster.left, plot.top - poster.top, poster.width, poster.height,
            ].map(Math.round).join()
            const box = (selector) => document.querySelector(selector)?.getBoundingClientRect()
            new MutationObserver(() => {
                const [poster, plot] = [box(`${cards} .stImage img`), box(".growing")]
                if (plot && poster?.height) places.add(place(poster, plot))
            }).observe(document.body, { childList: true, characterData: true, subtree: true })
        }""",
        CARD,
    )
    example(page, "Undertow Bay").click()
    page.get_by_text("Invented by").wait_for(state="attached")
    parts = [page.locator(".view img"), page.locator(".plot").first]
    wait_until_in_view(page, *parts)
    place = page.evaluate(
        "(parts) => place(...parts.map((each) => each.getBoundingClientRect()))",
        [each.element_handle() for each in parts],
    )
    assert page.evaluate("[...places]") == [place]


def test_on_a_desktop_the_newest_result_is_on_top(page: Page):
    drop(page, "harbour.png", encode(draw_poster()))
    expect(page.get_by_text("Invented by")).to_have_count(1, timeout=PATIENCE)
    expect(inputs(page)).to_have_count(0)
    example(page, "Iron Meadow").click()
    expect(page.get_by_text("Invented by")).to_have_count(2, timeout=PATIENCE)
    posters = page.locator(".st-key-results").get_by_role("img", name="Poster: ")
    expect(posters.first).to_have_attribute("alt", "Poster: Iron Meadow")
    wait_until_in_view(page, posters.first, page.locator(".plot").first)
    drop(page, "desert.png", encode(draw_poster("darkred")), on="h1")  # the inputs are closed
    expect(page.get_by_text("Invented by")).to_have_count(3, timeout=PATIENCE)
    expect(posters.first).to_have_attribute("alt", "Poster: desert.png")


def test_no_result_outlives_its_input(page: Page):
    """While something slow keeps the page busy."""
    try_example(page, "Undertow Bay")
    name_titles(page, f"{SLOW_ID}, nm0000138")
    error = page.get_by_test_id("stAlertContentError")
    expect(error).to_contain_text("is a person on IMDb", timeout=PATIENCE)
    expect(page.get_by_text("Fetching the poster")).to_be_visible()
    wrong = page.locator(CARD).filter(has_text="nm0000138")
    wrong.get_by_role("button", name="Remove").click()
    expect(error).to_be_hidden(timeout=GONE_AFTER)
    example(page, "Iron Meadow").click()
    picture(page, "Iron Meadow").wait_for()
    expect(picture(page, "Undertow Bay")).to_be_hidden(timeout=GONE_AFTER)
    expect(page.get_by_text("Fetching the poster")).to_have_count(1)


def test_of_examples_in_a_row_the_last_stays(page: Page):
    """While something slow keeps the page busy."""
    name_titles(page, SLOW_ID)
    page.get_by_text("Fetching the poster").wait_for()
    example(page, "Two Umbrellas").click()
    example(page, "A Quiet Alibi").click()
    picture(page, "A Quiet Alibi").wait_for()
    expect(picture(page, "Two Umbrellas")).to_be_hidden(timeout=GONE_AFTER)
    expect(page.get_by_text("Fetching the poster")).to_have_count(1)
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(CARD)).to_have_count(0)
    expect(page.get_by_text("Fetching")).to_have_count(0)


def test_on_a_slow_phone_nothing_of_before_stays(page: Page):
    slow_down(page)
    page.evaluate(
        """(cards) => {
            let since = null
            window.longestTogether = 0
            requestAnimationFrame(function look(now) {
                const all = [...document.querySelectorAll(cards)]
                const together = all.filter((each) => each.offsetHeight).length > 1
                since = together ? (since ?? now) : null
                if (together) longestTogether = Math.max(longestTogether, now - since)
                requestAnimationFrame(look)
            })
        }""",
        CARD,
    )
    try_example(page, "Undertow Bay")
    example(page, "Iron Meadow").click()
    picture(page, "Iron Meadow").wait_for()
    example(page, "Two Umbrellas").click()
    example(page, "A Quiet Alibi").click()
    picture(page, "A Quiet Alibi").wait_for()
    expect(page.locator(CARD)).to_have_count(1, timeout=PATIENCE)
    assert page.evaluate("window.longestTogether") < GONE_AFTER
    drop(page, "harbour.png", encode(draw_poster()), on="h1")
    expect(page.get_by_text("Invented by")).to_have_count(2, timeout=PATIENCE)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=PATIENCE)
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator(CARD)).to_have_count(0, timeout=PATIENCE)


def test_a_plot_goes_on_while_another_poster_is_chosen(page: Page):
    name_titles(page, SLOW_ID)
    page.get_by_text("Fetching the poster").wait_for()
    example(page, "Iron Meadow").click()
    page.get_by_text("Invented by").wait_for()
    expect(page.get_by_text("Fetching the poster")).to_be_visible()


def note_what_is_told(page: Page) -> None:
    """Let `window.told` have what screen readers are told from now on."""
    page.evaluate(
        """() => {
            window.told = []
            new MutationObserver(() => {
                const now = document.getElementById("spoken")?.textContent
                if (now && now !== window.told.at(-1)) window.told.push(now)
            }).observe(document.body, { childList: true, subtree: true })
        }"""
    )


def test_screen_readers_are_told_of_each_plot_once(page: Page):
    note_what_is_told(page)
    try_example(page)
    page.wait_for_function("window.told.at(-1) === 'The plot is written.'")
    told = page.evaluate("window.told")
    # A plot may be written before its begin has been told.
    assert told in (
        ["Writing the plot.", "The plot is written."],
        ["The plot is written."],
    )
    name_titles(page, "nm0000138")
    page.wait_for_function("window.told.at(-1).startsWith('nm0000138: ')")
    assert len(page.evaluate("window.told")) == len(told) + 1
    assert page.locator("#spoken").get_attribute("role") == "status"


def test_screen_readers_are_told_of_all_that_fails_at_once(page: Page):
    note_what_is_told(page)
    name_titles(page, "nm0000138, nm0000151, nm0000209")
    page.wait_for_function("window.told.length === 3")
    told = page.evaluate("window.told")
    # They are looked up beside each other, so any may be the first.
    assert {each.split(":")[0] for each in told} == {"nm0000138", "nm0000151", "nm0000209"}


def test_arrow_keys_stay_at_the_ends_of_a_plot_and_leave_shortcuts_alone(page: Page):
    words = try_example(page).split()
    plot, shown = page.locator(".plot"), page.locator(".word.shown")
    plot.focus()
    for _ in [*words, "beyond"]:
        page.keyboard.press("ArrowRight")
    expect(shown).to_have_text(words[-1])
    page.keyboard.press("Shift+ArrowLeft")
    expect(shown).to_have_text(words[-1])
    taken = plot.evaluate(
        """(plot) => ["altKey", "ctrlKey", "metaKey"].filter((key) => {
            const how = { key: "ArrowLeft", [key]: true, bubbles: true, cancelable: true }
            return !plot.dispatchEvent(new KeyboardEvent("keydown", how))
        })"""
    )
    assert taken == []
    # Without TLS a page on another machine has no clipboard of its own.
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()) }")
    page.get_by_role("button", name="Copy", exact=True).press("Enter")
    expect(page.get_by_role("button", name="Copied")).to_be_focused()


def test_cells_of_a_table_are_pasted_into_a_field_as_text(page: Page):
    cells = transfer_of(page, "image.png", encode(draw_poster()))
    field = page.get_by_role("textbox", name="or name films or series")
    is_left_alone = field.evaluate(
        """(field, cells) => {
            cells.setData("text/plain", "Inception")
            const how = { clipboardData: cells, bubbles: true, cancelable: true }
            return field.dispatchEvent(new ClipboardEvent("paste", how))
        }""",
        cells,
    )
    assert is_left_alone


@pytest.mark.parametrize(
    "page",
    [
        {
            "query": "?example=the-last-water&title=www.evil.example+a@evil.example+http://evil.example"
        }
    ],
    indirect=True,
)
def test_names_from_outside_become_no_links(page: Page):
    page.get_by_text("Invented by").wait_for()
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("button", name="Forget", exact=True)).to_be_visible()
    expect(page.get_by_text("evil").first).to_be_visible()
    assert page.locator("a[href*=evil]").count() == 0


def test_another_plot_of_the_same_poster_is_one_click_away(page: Page):
    first = try_example(page)
    page.get_by_role("button", name="Write another").click()
    page.get_by_text("2 of 2").wait_for()
    second = page.locator(".plot").inner_text()
    assert second != first
    page.get_by_role("button", name="Earlier").click()
    expect(page.locator(".plot")).to_have_text(first)
    expect(page.get_by_role("button", name="Earlier")).to_be_disabled()
    page.get_by_role("button", name="Later").click()
    expect(page.locator(".plot")).to_have_text(second)


def test_a_link_leads_to_the_same_plot(page: Page):
    try_example(page, "The Last Water")
    page.get_by_role("button", name="Write another").click()
    page.get_by_text("2 of 2").wait_for()
    plot = page.locator(".plot").inner_text()
    page.get_by_role("button", name="Link to this plot").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert parse_qs(urlsplit(link).query) == {
        "example": ["the-last-water"],
        "another": ["1"],
        "model": ["poster2plot-title"],
    }
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator(".plot")).to_have_text(plot, timeout=PATIENCE)
    page.goto("about:blank")
    page.goto(link.replace("poster2plot-title", "another"))
    page.get_by_text("made with another model").wait_for()


def test_what_is_no_picture_is_refused_where_it_can_be_seen(page: Page):
    try_example(page)
    expect(inputs(page)).to_have_count(0)
    drop(page, "script.pdf", b"%PDF", on="h1")
    expect(page.get_by_test_id("stFileChip")).to_be_visible()
    expect(page.get_by_text("Invented by")).to_have_count(1)


def test_an_upload_has_no_link(page: Page):
    drop(page, "private.png", encode(draw_poster()))
    page.get_by_text("Invented by").wait_for()
    expect(page.get_by_role("button", name="Link to this plot")).to_have_count(0)
    assert re.search(r"/\??$", page.url)


def test_a_name_is_found_while_it_is_typed(page: Page):
    field = page.get_by_role("textbox", name="or name films or series")
    field.press_sequentially("inception", delay=20)
    match = page.get_by_role("button", name=re.compile("^Inception 2010, film"))
    match.wait_for()
    expect(page.locator("#spoken")).to_have_text("2 titles found for inception.")
    expect(field).to_be_focused()
    match.focus()
    page.keyboard.press("Enter")
    page.get_by_text("A thief enters dreams.").wait_for()
    assert ID in page.url


def test_the_year_of_a_match_can_be_read_whatever_its_name(page: Page):
    name_titles(page, "it")
    for year in (2017, 1917):
        match = page.get_by_role("button", name=f"{year}, film")
        match.wait_for()
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            is_whole = match.evaluate(
                """(button) => {
                    const year = document.createRange()
                    year.selectNode(button.querySelector("p").lastChild)
                    const { right, bottom } = year.getBoundingClientRect()
                    const around = button.getBoundingClientRect()
                    return right <= around.right && bottom <= around.bottom &&
                        [button, ...button.querySelectorAll("div, span, p")].every(
                            (each) => each.scrollWidth <= each.clientWidth || !each.clientWidth)
                }"""
            )
            assert is_whole, (year, width)


def test_a_plot_can_be_guessed(page: Page):
    page.get_by_role("tab", name="Guess").click()
    page.get_by_role("button", name="Start").click()
    posters = page.get_by_role("button", name=re.compile("^Poster [1-4]: "))
    expect(posters).to_have_count(4, timeout=PATIENCE)
    posters.first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("of 1 right")).to_be_visible()
    expect(page.get_by_text(re.compile("Right!|No, it was"))).to_be_visible()
    expect(page.locator("button.answer")).to_have_count(1)
    page.get_by_role("button", name="Next plot").click()
    expect(page.locator("button.answer")).to_have_count(0, timeout=PATIENCE)
    expect(posters.first).to_be_enabled()


def test_a_tap_while_the_next_plot_is_written_does_not_lose_it(page: Page):
    page.get_by_role("tab", name="Guess").click()
    preset = page.get_by_role("button", name="Varied").element_handle()
    page.get_by_role("button", name="Start").evaluate(
        "(start, preset) => { start.click(); setTimeout(() => preset.click(), 150) }", preset
    )
    expect(page).to_have_url(re.compile("search=Sampling"), timeout=PATIENCE)
    posters = page.get_by_role("button", name=re.compile("^Poster [1-4]: "))
    expect(posters).to_have_count(4, timeout=PATIENCE)


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_of_several_posters_the_first_stays_in_view(page: Page):
    colors = ("navy", "darkred", "green", "purple")
    posters: list[FilePayload] = [
        {"name": f"{color}.png", "mimeType": "image/png", "buffer": encode(draw_poster(color))}
        for color in colors
    ]
    page.locator(f"{DROPZONE} input").set_input_files(posters)
    expect(page.get_by_text("Invented by")).to_have_count(len(colors), timeout=PATIENCE)
    wait_until_at_rest(page)
    wait_until_in_view(page, picture(page, "navy.png"), page.locator(".plot").first)


def test_who_works_with_the_keyboard_goes_on_where_they_were(page: Page):
    def press(name: str | re.Pattern[str]) -> None:
        button = page.get_by_role("button", name=name)
        button.wait_for()
        wait_until_at_rest(page)
        button.press("Enter")

    try_example(page)
    press("Write another")
    page.get_by_text("2 of 2").wait_for()
    expect(page.get_by_role("button", name="Write another")).to_be_focused()
    press("Earlier")
    page.get_by_text("1 of 2").wait_for()
    expect(page.get_by_role("button", name="Later")).to_be_focused()  # there is no earlier one
    page.get_by_role("tab", name="Guess").click()
    press("Start")
    press(re.compile("^Poster 3: "))
    page.get_by_text("of 1 right").wait_for()
    third = page.get_by_role("button", name=re.compile("^Poster 3: "))
    expect(third).to_be_focused()
    expect(third).to_be_disabled()


def test_who_takes_away_with_the_keyboard_goes_on_at_what_is_left(page: Page):
    def press(button: Locator, said: str) -> None:
        button.wait_for()
        wait_until_at_rest(page)
        button.press("Enter")
        page.locator("#spoken").get_by_text(said).wait_for(state="attached")
        wait_until_at_rest(page)

    removes = page.get_by_role("button", name="Remove")
    upload = page.get_by_role("button", name="Upload", exact=True)
    posters: list[FilePayload] = [
        {"name": f"{color}.png", "mimeType": "image/png", "buffer": encode(draw_poster(color))}
        for color in ("navy", "darkred", "green")
    ]
    page.locator(f"{DROPZONE} input").set_input_files(posters)
    page.get_by_text("Invented by").nth(2).wait_for()
    press(removes.nth(1), "darkred.png is removed.")
    expect(removes.nth(1)).to_be_focused()
    press(page.get_by_role("button", name="Clear all"), "All posters are removed.")
    expect(upload).to_be_focused()
    name_titles(page, "inception")
    press(page.get_by_role("button", name="Inception 2010, film"), "The plot is written.")
    expect(page.locator(CARD)).to_be_focused()
    press(removes, f"{ID} is removed.")
    expect(upload).to_be_focused()
    page.get_by_role("tab", name="History").click()
    forgets = page.get_by_role("button", name="Forget", exact=True)
    press(forgets.first, "is forgotten.")
    expect(forgets.first).to_be_focused()
    press(page.get_by_role("button", name="Forget all"), "3 plots are forgotten.")
    expect(page.get_by_role("button", name="Open a saved visit")).to_be_focused()
    page.get_by_role("tab", name="Guess").click()
    for name in ("Start", "Next plot"):
        press(page.get_by_role("button", name=name), "For which poster is this plot?")
        expect(page.locator(".st-key-riddle")).to_be_focused()
        page.get_by_role("button", name=re.compile("^Poster 3: ")).press("Enter")


def test_back_and_forward_lead_to_what_was_there(page: Page):
    drop(page, "mine.png", encode(draw_poster()))
    picture(page, "mine.png").wait_for()
    example(page, "Undertow Bay").click()
    picture(page, "Undertow Bay").wait_for()
    example(page, "Iron Meadow").click()
    picture(page, "Iron Meadow").wait_for()
    wait_until_at_rest(page)
    page.go_back()
    picture(page, "Undertow Bay").wait_for()
    expect(picture(page, "Iron Meadow")).to_have_count(0)
    wait_until_at_rest(page)
    page.go_back()
    expect(picture(page, "Undertow Bay")).to_have_count(0, timeout=PATIENCE)
    expect(picture(page, "mine.png")).to_be_visible()
    wait_until_at_rest(page)
    page.go_forward()
    wait_until_at_rest(page)
    page.go_forward()
    picture(page, "Iron Meadow").wait_for()
    assert "example=iron-meadow" in page.url


def test_back_leads_to_the_earlier_plot(page: Page):
    first = try_example(page)
    page.get_by_role("button", name="Write another").click()
    page.get_by_text("2 of 2").wait_for()
    wait_until_at_rest(page)
    page.go_back()
    page.get_by_text("1 of 2").wait_for()
    expect(page.locator(".plot")).to_have_text(first)
    wait_until_at_rest(page)
    page.go_forward()
    page.get_by_text("2 of 2").wait_for()


def test_a_link_has_the_title_that_a_visitor_wrote(page: Page):
    try_example(page, "Undertow Bay")
    title = page.get_by_role("textbox", name="Title")
    title.fill("The Wolves of Winter")
    title.press("Enter")
    page.get_by_text("Your title.").wait_for()
    page.get_by_text("Invented by").wait_for()
    plot = page.locator(".plot").inner_text()
    page.get_by_role("button", name="Link to this plot").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert parse_qs(urlsplit(link).query)["title"] == ["The Wolves of Winter"]
    assert "title=The" in page.url
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator(".plot")).to_have_text(plot, timeout=PATIENCE)
    expect(page.get_by_role("textbox", name="Title")).to_have_value("The Wolves of Winter")
    example(page, "Iron Meadow").click()
    picture(page, "Iron Meadow").wait_for()
    assert "title=" not in page.url


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_why_a_file_is_refused_stands_beside_it(page: Page):
    drop(page, "photo.heic", b"\0\0\0\x18ftypheic")
    chip = page.get_by_test_id("stFileChip")
    expect(chip.get_by_text("files are not allowed")).to_be_in_viewport()
    assert chip.get_by_text("files are not allowed").evaluate("each => each.offsetHeight") > 10
    expect(page.get_by_text("Save a HEIC photo as JPEG first.")).to_be_visible()
    both: list[FilePayload] = [
        {"name": "other.heic", "mimeType": "image/heic", "buffer": b"\0\0\0\x18ftypheic"},
        {"name": "good.png", "mimeType": "image/png", "buffer": encode(draw_poster())},
    ]
    page.locator(f"{DROPZONE} input").set_input_files(both)
    page.get_by_text("Invented by").wait_for(state="attached")
    wait_until_at_rest(page)
    other = chip.filter(has_text="other.heic")
    expect(other.get_by_text("files are not allowed")).to_be_in_viewport()
    example(page, "Iron Meadow").click()  # a later result is looked at as ever
    picture(page, "Iron Meadow").wait_for()
    wait_until_at_rest(page)
    wait_until_in_view(page, picture(page, "Iron Meadow"))
    expect(inputs(page)).to_have_count(0)


def test_a_score_is_copied_without_the_clipboard_of_secure_pages(page: Page):
    page.get_by_role("tab", name="Guess").click()
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name=re.compile("^Poster 1: ")).click(timeout=PATIENCE)
    page.evaluate("navigator.clipboard.writeText('before')")
    page.evaluate(
        'Object.defineProperty(navigator, "clipboard", { value: undefined, configurable: true })'
    )
    page.get_by_role("button", name="Share score").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.evaluate("delete navigator.clipboard")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.match(r"I matched [01] of 1 posters .* http://127", copied)


def test_a_card_is_copied_while_the_page_is_busy(page: Page):
    try_example(page)
    name_titles(page, SLOW_ID)
    busy = page.locator('[data-test-script-state="running"]')
    expect(busy).to_be_visible()
    page.get_by_role("button", name="Copy as picture").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    expect(page.get_by_role("button", name="Share card")).to_have_count(0)
    expect(busy).to_be_visible()
