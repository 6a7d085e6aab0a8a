"""The real page in Firefox, from an example to a plot and its picture."""

import pytest

from support.firefox import FIREFOX, Firefox


@pytest.mark.skipif(FIREFOX is None, reason="Firefox is missing; install Debian's firefox-esr")
def test_the_page_works_in_firefox(address: str):
    with Firefox.launched() as page:
        page.open(address)
        page.click('button[title="Example poster: The House On Harrow Hill"]')
        page.wait_for("visible('p', 'Invented by')")
        page.wait_for("visible('.plot')?.textContent.includes(' ')")
        page.click(".word")
        page.wait_for("getComputedStyle(visible('canvas')).opacity === '1'")
        page.click("button", "Without the poster")
        page.wait_for("visible('p', 'What the model writes')")
        page.click("button", "Copy as picture")
        page.wait_for("visible('button', 'Copied')")
        page.click("[role=tab]", "History")
        page.wait_for("visible('button', 'Forget all')")
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
        assert page.errors == []
