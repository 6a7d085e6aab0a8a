"""Ids, rates, keys, origins, probes and the base path, on a real server."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from poster2plot import CheckpointError, DeviceError, InputError, Poster2Plot
from poster2plot.server.http_access import Access
from poster2plot.server.http_api import routes
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.api_server import post, serve_routes
from support.drawn_posters import draw_poster, encode
from support.poster_server import PosterServer

POSTER = encode(draw_poster())
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
KEY, OTHER = "a-key-of-this-test", "another-key-of-it"


@pytest.mark.parametrize("path", ["/api/live", "/api/nowhere", "/metrics", "/api/v1/health"])
def test_every_answer_has_the_id_of_its_request(root: str, path: str):
    def id_of(given: str | None) -> str:
        return requests.get(f"{root}{path}", headers={"X-Request-ID": given}, timeout=60).headers[
            "X-Request-ID"
        ]

    assert id_of(UUID) == UUID
    assert id_of("req_1.a:b") == "req_1.a:b"
    for given in (None, "", "a b", "é", "x" * 200, "<script>"):
        assert id_of(given) != given
    assert id_of(None) != id_of(None)


def test_an_id_that_could_be_no_text_is_in_the_log(address: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(0)
    for given in (UUID, "The-Lighthouse"):
        answer = requests.post(
            address, files={"image": POSTER}, headers={"X-Request-ID": given}, timeout=60
        )
        assert answer.headers["X-Request-ID"] == given
    ids = [
        json.loads(each.message)["id"]
        for each in caplog.records
        if each.name == "poster2plot.requests"
    ]
    assert ids[0] == UUID
    assert len(ids) == 2
    assert "Lighthouse" not in caplog.text


def test_answers_say_how_many_plots_are_left(tiny: Poster2Plot, services: PosterServer):
    service = PlotService(tiny, Limits(plots=2))
    with serve_routes(routes(lambda: service, services.finder)) as url:
        answers = [post(f"{url}/api/plot", POSTER) for _ in range(3)]
        wrong = post(f"{url}/api/plot", POSTER, num_beams="x")
    assert [each.status_code for each in answers] == [200, 200, 429]
    for answer, left in zip([*answers, wrong], [1, 0, 0, 0], strict=True):
        assert answer.headers["RateLimit-Policy"] == '"plots";q=2;w=60'
        assert answer.headers["RateLimit"].startswith(f'"plots";r={left};t=')
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60


@pytest.mark.parametrize("path", ["/api/docs", "/api/health", "/api/nowhere", "/metrics"])
def test_every_path_has_a_limit(tiny: Poster2Plot, services: PosterServer, path: str):
    service = PlotService(tiny)
    limits = Limits(requests=3)
    with serve_routes(routes(lambda: service, services.finder, limits=limits)) as url:
        answers = [requests.get(f"{url}{path}", timeout=60) for _ in range(4)]
    assert all(each.status_code != 429 for each in answers[:3])
    assert answers[3].status_code == 429
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
    assert "more than 3 requests" in answers[3].json()["error"]


def test_without_keys_everybody_may_and_with_keys_who_has_one(
    tiny: Poster2Plot, services: PosterServer, monkeypatch: pytest.MonkeyPatch
):
    service = PlotService(tiny, Limits(plots=1))
    monkeypatch.setenv("POSTER2PLOT_API_KEYS", f'"{KEY}, {OTHER}"')
    with serve_routes(routes(lambda: service, services.finder)) as url:

        def status(headers: dict[str, str], path: str = "plot") -> int:
            files = {"image": POSTER}
            return requests.post(
                f"{url}/api/{path}", files=files, headers=headers, timeout=60
            ).status_code

        for headers in ({}, {"Authorization": KEY}, {"Authorization": "Bearer "},
                        {"Authorization": f"Bearer {KEY}x"}, {"X-API-Key": KEY[:-1]},
                        {"X-API-Key": ""}, {"X-API-Key": "é"}):  # fmt: skip
            for path in ("plot", "v1/plot", "v1/plots"):
                assert status(headers, path) == 401
        answer = requests.post(f"{url}/api/plot", timeout=60)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert status({"Authorization": f"Bearer {KEY}"}) == 200
        assert status({"X-API-Key": KEY}) == 429  # each key has limits of its own
        assert status({"X-API-Key": OTHER}) == 200
        assert requests.get(f"{url}/api/ready", timeout=60).status_code == 200
        schema = requests.get(f"{url}/api/openapi.json", timeout=60).json()
    assert schema["paths"]["/v1/plot"]["post"]["security"]
    assert "401" in schema["paths"]["/v1/plot"]["post"]["responses"]


@pytest.mark.parametrize("text", ['""', ",", "' '", "short", f"{KEY},b", "with a blank", "é" * 9])
def test_keys_that_cannot_be_meant_do_not_open_the_api(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POSTER2PLOT_API_KEYS", text)
    with pytest.raises(InputError, match="cannot be right") as refused:
        Access.from_environment()
    assert KEY not in str(refused.value)


def test_no_keys_and_no_origins_are_off(monkeypatch: pytest.MonkeyPatch):
    for text in ("", " "):
        monkeypatch.setenv("POSTER2PLOT_API_KEYS", text)
        monkeypatch.setenv("POSTER2PLOT_CORS_ORIGINS", text)
        assert Access.from_environment() == Access()


@pytest.mark.parametrize(
    "text",
    [
        "posters.example",
        "https://a.example/",
        "ftp://a",
        "https://[",
        "https://",
        "https://*.example.com",
        "http://localhost:*",
        "https://user@x",
        "https://a.example:443",
        "http://a.example:80",
        "http://a.example:",
        "https://é.example",
        "https://a.example?x",
    ],
)
def test_origins_that_no_browser_sends_are_refused(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POSTER2PLOT_CORS_ORIGINS", f"https://posters.example,{text}")
    with pytest.raises(InputError, match="must hold origins"):
        Access.from_environment()


def test_origins_are_taken_as_browsers_send_them(monkeypatch: pytest.MonkeyPatch):
    text = "HTTPS://Posters.Example, http://localhost:3000,http://[::1]:8080, https://a-b.c:80"
    monkeypatch.setenv("POSTER2PLOT_CORS_ORIGINS", text)
    assert Access.from_environment().origins == (
        "https://posters.example",
        "http://localhost:3000",
        "http://[::1]:8080",
        "https://a-b.c:80",
    )


def test_preflights_have_ids_and_limits_and_are_refused_in_json(
    tiny: Poster2Plot, services: PosterServer
):
    mine = "https://posters.example"
    api = routes(
        lambda: PlotService(tiny),
        services.finder,
        access=Access(origins=(mine,)),
        limits=Limits(requests=4),
    )
    with serve_routes(api) as url:

        def preflight(origin: str = mine, method: str = "POST") -> requests.Response:
            headers = {"Origin": origin, "Access-Control-Request-Method": method}
            headers |= {"X-Request-ID": UUID}
            return requests.options(f"{url}/api/plot", headers=headers, timeout=60)

        right = preflight()
        wrong = [preflight("https://another.example"), preflight(method="DELETE")]
        plain = requests.options(f"{url}/api/plot", headers={"Origin": mine}, timeout=60)
        late = preflight()
    assert right.status_code == 200
    assert right.headers["Access-Control-Allow-Origin"] == mine
    for answer in wrong:
        assert answer.status_code == 400
        assert list(answer.json()) == ["error"]
        assert "another" not in answer.text
        assert "Origin" in answer.headers["Vary"]
    assert plain.status_code == 405
    assert late.status_code == 429
    assert late.headers["Retry-After"]
    for answer in (right, *wrong, late):
        assert answer.headers["X-Request-ID"] == UUID


def test_pages_of_named_origins_may_use_it(root: str, tiny: Poster2Plot, services: PosterServer):
    mine, another = "https://posters.example", "https://another.example"
    service = PlotService(tiny)
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}

    def allowed(url: str, origin: str) -> tuple[str | None, str | None]:
        name = "Access-Control-Allow-Origin"
        headers = {"Origin": origin}
        before = requests.options(f"{url}/api/plot", headers=headers | ask, timeout=60)
        answer = requests.get(f"{url}/api/live", headers=headers, timeout=60)
        return before.headers.get(name), answer.headers.get(name)

    api = routes(lambda: service, services.finder, access=Access(origins=(mine,)))
    with serve_routes(api) as url:
        assert allowed(url, mine) == (mine, mine)
        assert allowed(url, another) == (None, None)
    assert allowed(root, mine) == (None, None)


def test_health_costs_nothing_while_the_model_has_just_written(
    tiny: Poster2Plot, services: PosterServer, monkeypatch: pytest.MonkeyPatch
):
    service = PlotService(tiny)
    tried = 0
    submit = tiny.submit

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal tried
        tried += options.get("visitor") == "health"
        return submit(*arguments, **options)

    monkeypatch.setattr(tiny, "submit", counted)
    with serve_routes(routes(lambda: service, services.finder)) as url:

        def health() -> requests.Response:
            return requests.get(f"{url}/api/health", timeout=60)

        probes = [threading.Thread(target=health) for _ in range(5)]
        for probe in probes:
            probe.start()
        for probe in probes:
            probe.join()
        assert tried == 1
        told = health()
        assert told.json() == {
            "model": tiny.name,
            "device": "cpu",
            "notice": None,
            "takes_titles": False,
            "waiting": 0,
        }
        with monkeypatch.context() as patch:
            patch.setattr(tiny, "tokenizer", None)
            assert health().status_code == 200  # nothing has failed yet
            assert post(f"{url}/api/plot", POSTER).status_code == 500
            broken = health()
            assert health().status_code == 503
        assert broken.status_code == 503
        assert broken.json() == {"error": "The model does not write."}
        assert tried == 2
        assert post(f"{url}/api/plot", POSTER).status_code == 200
        assert health().status_code == 200
        assert tried == 2
        requests.get(f"{url}/metrics", timeout=60)
        requests.get(f"{url}/api/docs", timeout=60)
        assert tried == 2


def test_live_before_ready(services: PosterServer, tiny: Poster2Plot):
    go_on, loads = threading.Event(), []

    def load() -> PlotService:
        loads.append(1)
        assert go_on.wait(30)
        return PlotService(tiny)

    with serve_routes(routes(load, services.finder)) as url:

        def status(path: str) -> int:
            return requests.get(f"{url}/api/v1/{path}", timeout=60).status_code

        assert status("live") == 200
        assert not loads
        answer = requests.get(f"{url}/api/ready", timeout=60)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert status("ready") == 503
        go_on.set()
        assert status("health") == 200
        assert status("ready") == 200
        assert len(loads) == 1


@pytest.mark.parametrize("kind", [CheckpointError, DeviceError])
def test_a_model_that_cannot_be_loaded_is_not_tried_again_for_each(
    services: PosterServer, kind: type[CheckpointError]
):
    loads = []

    def broken() -> PlotService:
        loads.append(1)
        raise kind("There is no model.")

    with serve_routes(routes(broken, services.finder)) as url:
        for path in ("api/health", "metrics", "api/health"):
            answer = requests.get(f"{url}/{path}", timeout=60)
            assert answer.status_code == 503
            assert answer.json() == {"error": "There is no model."}
            assert answer.headers["Retry-After"]
        assert requests.get(f"{url}/api/live", timeout=60).status_code == 200
        assert requests.get(f"{url}/api/ready", timeout=60).status_code == 503
    assert len(loads) == 1


def test_under_a_base_path_and_at_the_root(tiny: Poster2Plot, services: PosterServer):
    service = PlotService(tiny)
    with serve_routes(routes(lambda: service, services.finder, root_path="/posters/films")) as url:
        for base in (f"{url}/posters/films", url):
            assert post(f"{base}/api/v1/plot", POSTER).status_code == 200
            assert requests.get(f"{base}/api", timeout=60).status_code == 404
            for path in ("api/health", "api/live", "api/docs", "metrics"):
                assert requests.get(f"{base}/{path}", timeout=60).status_code == 200
            schema = requests.get(f"{base}/api/openapi.json", timeout=60).json()
            [server] = schema["servers"]
            assert f"{url}{server['url']}" == f"{base}/api"


def test_a_fault_of_the_server_is_a_sentence(
    tiny: Poster2Plot, services: PosterServer, caplog: pytest.LogCaptureFixture
):
    def broken() -> PlotService:
        raise ZeroDivisionError("The visitor's secret")

    with serve_routes(routes(broken, services.finder)) as url:
        for answer in (
            requests.get(f"{url}/api/health", timeout=60),
            requests.get(f"{url}/metrics", timeout=60),
            post(f"{url}/api/plot", POSTER),
        ):
            assert answer.status_code == 500
            assert list(answer.json()) == ["error"]
            assert "secret" not in answer.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("base", ["", "/posters/films/"])
def test_the_image_asks_for_its_health_at_its_port_and_base_path_and_no_proxy(base: str):
    async def health(_: Request) -> Response:
        return Response("ok")

    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    command = dockerfile.partition("HEALTHCHECK")[2].replace("\\\n", "").splitlines()[0]
    [_, *arguments] = json.loads(command.partition("CMD ")[2])
    with serve_routes([Route(f"{base.rstrip('/')}/_stcore/health", health)]) as url:
        environment = {
            "PATH": os.environ["PATH"],
            "STREAMLIT_SERVER_PORT": url.rpartition(":")[2],
            "STREAMLIT_SERVER_BASE_URL_PATH": base,
            "HTTP_PROXY": "http://127.0.0.1:9",  # where nobody listens
            "http_proxy": "http://127.0.0.1:9",
        }
        subprocess.run([sys.executable, *arguments], env=environment, check=True, timeout=60)
