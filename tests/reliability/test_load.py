"""A slice of `python -m reliability.load`: a few visitors at once, and one who uploads too much."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from poster2plot.images.limits import MAX_BYTES
from poster2plot.page.upload_quota import VISIT_BYTES
from support.app_server import AppServer, serve_app
from support.page_client import Answer, ApiVisitor, PageVisitor
from support.poster_server import serve_posters


@pytest.fixture(scope="module")
def server() -> Iterator[AppServer]:
    with serve_posters() as services, serve_app(services) as running:
        yield running


def test_visitors_of_the_page_and_the_api_get_their_plots(server: AppServer):
    def visit(number: int) -> list[Answer]:
        if number % 3 == 2:
            visitor = ApiVisitor(server.url, f"127.0.1.{number}", number)
            return [visitor.ask(), visitor.ask()]
        with PageVisitor.opened(server.url, query="beams=2", seed=number) as page:
            return [page.ask(), page.ask()]

    with ThreadPoolExecutor(6) as pool:
        answers = [answer for some in pool.map(visit, range(6)) for answer in some]
    assert len(answers) == 12
    for answer in answers:
        assert not answer.error
        assert not answer.refused
        assert answer.seconds > 0


def test_uploads_beyond_what_a_visit_may_keep_are_refused(server: AppServer):
    large = bytes(MAX_BYTES)
    with PageVisitor.opened(server.url) as greedy, PageVisitor.opened(server.url) as modest:

        def upload_too_much() -> None:
            for _ in range(VISIT_BYTES // MAX_BYTES + 1):
                greedy.upload(large, run=False)

        with pytest.raises(requests.HTTPError, match="413"):
            upload_too_much()
        assert modest.ask().seconds > 0
