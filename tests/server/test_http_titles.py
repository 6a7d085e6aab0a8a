"""Titles read from posters, and searched by name, through the HTTP API."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from poster2plot import Poster2Plot, read_image
from poster2plot.server.http_access import Access
from poster2plot.server.http_api import routes
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.api_server import post, serve_routes
from support.drawn_posters import draw_poster, draw_titled_poster, encode
from support.poster_server import (
    ID,
    Answer,
    PosterServer,
    catalogue,
    metas,
    serve_posters,
)
from tests.server.conftest import PICTURE_URL

PRINTED = encode(draw_titled_poster("THE LAST RIVER"))
PLAIN = encode(draw_poster())
SEAS = ["tt2040537", "tt0271383"]


@pytest.fixture(scope="module")
def titled_root(titled: Poster2Plot, services: PosterServer) -> Iterator[str]:
    """The URL of an API whose model takes titles."""
    service = PlotService(titled)
    with serve_routes(routes(lambda: service, services.finder)) as url:
        yield url


def test_a_printed_title_is_read_where_that_is_asked_for(titled_root: str, titled: Poster2Plot):
    address = f"{titled_root}/api/plot"
    body: dict[str, Any] = {"image": base64.b64encode(PRINTED).decode(), "read_title": True}
    [[best]] = titled.generate([read_image(PRINTED)], titles=["The Last River"])
    for record in (
        post(address, PRINTED, read_title="true").json(),
        requests.post(address, json=body, timeout=60).json(),
    ):
        assert record["plot"] == best.text
        assert 0.5 < record["title"].pop("confidence") <= 1
        assert record["title"] == {"title": "The Last River", "source": "read", "used": True}
    given = post(address, PRINTED, read_title="true", title="The Sea").json()
    assert given["title"] == {"title": "The Sea", "source": "given", "used": True}
    looked_up = post(address, read_title="true", title=ID).json()
    assert looked_up["title"]["source"] == "IMDb"
    for fields in ({"read_title": "false"}, {}):
        assert post(address, PRINTED, **fields).json()["title"] is None


def test_printed_titles_of_several_posters(titled_root: str):
    files = [("image", (f"{i}.png", each)) for i, each in enumerate([PRINTED, PLAIN])]
    address = f"{titled_root}/api/plots"
    answer = requests.post(address, files=files, data={"read_title": "true"}, timeout=60)
    texts = [base64.b64encode(each).decode() for each in (PRINTED, PLAIN)]
    body = {"posters": [{"image": text} for text in texts], "read_title": True}
    for found in (answer, requests.post(address, json=body, timeout=60)):
        first, second = found.json()["results"]
        assert first["title"]["source"] == "read"
        assert second["title"] is None


def test_a_record_of_events_has_the_printed_title(titled_root: str):
    answer = requests.post(
        f"{titled_root}/api/plot",
        files={"image": PRINTED},
        data={"read_title": "true"},
        headers={"Accept": "text/event-stream"},
        timeout=60,
    )
    record = json.loads(answer.text.split("event: record\ndata: ")[1])
    assert record["title"]["title"] == "The Last River"


def test_a_model_without_titles_reads_none(root: str):
    assert requests.get(f"{root}/api/health", timeout=60).json()["takes_titles"] is False
    assert post(f"{root}/api/plot", PRINTED, read_title="true").json()["title"] is None


def test_a_name_stands_for_the_title_that_is_meant(address: str):
    for name in ("inception 2010", "inception", "inception (2010)", f"Any name {ID}"):
        record = post(address, title=name).json()
        assert record["source"] == name
        assert record["title"]["title_id"] == ID
    body = {"title": "inception"}
    assert requests.post(address, json=body, timeout=60).json()["title"]["title_id"] == ID


def test_a_name_that_may_mean_several_titles_is_a_choice(root: str):
    answer = post(f"{root}/api/plot", title="the sea")
    assert answer.status_code == 409
    assert [match["title_id"] for match in answer.json()["titles"]] == SEAS
    assert "sea" not in answer.json()["error"].lower()
    streamed = requests.post(
        f"{root}/api/plot",
        data={"title": "the sea"},
        headers={"Accept": "text/event-stream"},
        timeout=60,
    )
    assert (streamed.status_code, streamed.json()) == (409, answer.json())
    both = requests.post(f"{root}/api/plots", data={"title": ["the sea", ID]}, timeout=60).json()
    assert both["results"][0] == {**answer.json(), "status": 409}
    assert both["results"][1]["title"]["title"] == "Inception"


@pytest.mark.parametrize(
    "name", ["1917", "9", "Se7en", "tt1375666x", "Ⅻ", "Face/Off", "七人の侍", "كفرناحوم"]
)
def test_what_is_no_id_is_a_name(root: str, services: PosterServer, name: str):
    answer = post(f"{root}/api/plot", title=name)
    assert answer.status_code == 404
    assert catalogue("movie", name) in services.paths
    assert name not in answer.json()["error"]
    found = requests.get(f"{root}/api/titles", params={"q": name}, timeout=60)
    assert (found.status_code, found.json()) == (200, {"titles": []})


def test_a_name_of_a_megabyte_is_refused(root: str):
    long = "sea " * 2**18
    body = {"title": long}
    for answer in (
        post(f"{root}/api/plot", title=long),
        requests.post(f"{root}/api/plot", json=body, timeout=60),
        post(f"{root}/api/plot", title="sea " * 500),
        requests.get(f"{root}/api/titles", params={"q": "sea " * 51}, timeout=60),
    ):
        assert answer.status_code in range(400, 500)


def test_titles_are_searched_by_name(root: str):
    for path in ("titles", "v1/titles"):
        found = requests.get(f"{root}/api/{path}", params={"q": "inception 2010"}, timeout=60)
        assert found.status_code == 200
        assert found.json()["titles"][0] == {
            "title_id": ID,
            "title": "Inception",
            "year": 2010,
            "kind": "movie",
            "poster_url": PICTURE_URL,
            "service": "Cinemeta",
            "original_title": None,
        }
        assert found.json()["titles"][1]["poster_url"] is None


@pytest.mark.parametrize(
    "query", ["", "?q=", "?q=%00", "?q=%ff", "?q=-", "?q=a&q=b", "?name=a", "?q=a&b"]
)
def test_what_is_no_search_is_a_sentence(root: str, query: str):
    answer = requests.get(f"{root}/api/v1/titles{query}", timeout=60)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("text", [ID, "1375666", f"https://www.imdb.com/title/{ID}/", "nm0000138"])
def test_an_id_is_not_searched(root: str, services: PosterServer, text: str):
    asked = len(services.requests)
    answer = requests.get(f"{root}/api/titles", params={"q": text}, timeout=60)
    assert answer.status_code == 400
    assert "/api/v1/plot" in answer.json()["error"]
    assert len(services.requests) == asked


def test_searches_count_as_look_ups_and_need_a_key(tiny: Poster2Plot, services: PosterServer):
    service = PlotService(tiny, Limits(pictures=4))
    access = Access(keys=("a-key-of-this-test",))
    with serve_routes(routes(lambda: service, services.finder, access=access)) as url:

        def search(**headers: str) -> requests.Response:
            return requests.get(f"{url}/api/titles?q=inception", headers=headers, timeout=60)

        assert search().status_code == 401
        key = {"X-API-Key": "a-key-of-this-test"}
        assert search(**key).status_code == 200
        named = {"title": "inception"}
        by_name = requests.post(f"{url}/api/plot", data=named, headers=key, timeout=60)
        assert by_name.status_code == 200
        assert search(**key).status_code == 200
        refused = search(**key)
        schema = requests.get(f"{url}/api/openapi.json", timeout=60).json()
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert schema["paths"]["/v1/titles"]["get"]["security"]


def test_services_that_fail_are_a_502(tiny: Poster2Plot):
    service = PlotService(tiny)
    with (
        serve_posters() as down,
        serve_routes(routes(lambda: service, down.finder)) as url,
    ):
        down.answers[catalogue("movie", "the sea")] = Answer(status=500)
        searched = requests.get(f"{url}/api/titles?q=the+sea", timeout=60)
        written = post(f"{url}/api/plot", title="the sea")
        down.answers[catalogue("movie", "the sea")] = metas({"id": SEAS[0], "name": "The Sea"})
        unknown_picture = post(f"{url}/api/plot", title="the sea")
    for answer in (searched, written):
        assert answer.status_code == 502
        assert "the sea" not in answer.json()["error"].lower()
    assert unknown_picture.status_code == 404
    assert SEAS[0] not in unknown_picture.text
