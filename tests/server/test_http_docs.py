"""The schema against the code, its reference page in a browser, and requests made from it."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import sync_playwright
from pydantic import TypeAdapter

from poster2plot import GenerationSettings, Poster2Plot, SettingsError
from poster2plot.server.http_api import routes
from poster2plot.server.http_types import (
    AmbiguousName,
    FoundTitles,
    PlotRecord,
    PlotRecords,
    Settings,
    UsedSettings,
)
from poster2plot.server.service import PlotService
from poster2plot.settings import RANGES
from support.api_server import post, serve_routes
from support.browser import PATIENCE, launch, need_chromium
from support.drawn_posters import draw_poster, draw_titled_poster, encode
from support.poster_server import ID, PosterServer

ROOT = Path(__file__).parents[2]
POSTER = encode(draw_poster())


@pytest.fixture(scope="module")
def schema(root: str) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"{root}/api/openapi.json", timeout=60).json()
    return found


def test_the_schema_has_the_settings_with_their_ranges_and_defaults(schema: dict[str, Any]):
    for name in ("PlotBody", "PlotForm", "PlotsBody", "PlotsForm"):
        properties = schema["components"]["schemas"][name]["properties"]
        assert schema["components"]["schemas"][name]["additionalProperties"] is False
        for field in fields(GenerationSettings):
            told = properties[field.name]
            if field.name in RANGES:
                [number] = [each for each in told.get("anyOf", [told]) if "minimum" in each]
                assert (number["minimum"], number["maximum"]) == RANGES[field.name]
            if field.default is not None:
                assert told["default"] == field.default
    assert set(Settings.model_fields) == {field.name for field in fields(GenerationSettings)}
    assert set(UsedSettings.model_fields) == set(Settings.model_fields)


@pytest.mark.parametrize("name", RANGES)
def test_types_and_settings_agree_at_the_ends_of_a_range(name: str):
    low, high = RANGES[name]
    rest = {"num_beams": 16, "max_length": 512} | (
        {"min_length": 0} if name != "min_length" else {}
    )
    for value in (low, high):
        whole = int(value) if isinstance(getattr(GenerationSettings(), name), int) else value
        given: dict[str, Any] = {"sample": True, **rest, name: whole}
        if name != "max_length" or value >= 8:
            assert Settings.model_validate(given).model_dump(exclude_unset=True) == given
            GenerationSettings(**given)
    for value in (low - 1, high + 1):
        outside: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match="validation error"):
            Settings.model_validate(outside)
        with pytest.raises(SettingsError):
            GenerationSettings(**outside)


def test_records_are_what_the_schema_says(
    address: str, titled: Poster2Plot, services: PosterServer
):
    poster = encode(draw_titled_poster("THE LAST RIVER"))
    with serve_routes(routes(lambda: PlotService(titled), services.finder)) as url:
        titled_record = post(f"{url}/api/plot", poster, read_title="true").json()
    assert titled_record["title"]["source"] == "read"
    for record in (
        post(address, POSTER, num_candidates="2", guidance="2", early_stopping="never").json(),
        post(address, POSTER, title="The Sea").json(),
        post(address, title=ID).json(),
        titled_record,
    ):
        TypeAdapter(PlotRecord).validate_python(record, strict=True)


def test_what_a_name_may_mean_is_what_the_schema_says(root: str):
    found = requests.get(f"{root}/api/titles?q=the+sea", timeout=60).json()
    choice = post(f"{root}/api/plot", title="the sea").json()
    several = post(f"{root}/api/plots", title="the sea").json()
    TypeAdapter(FoundTitles).validate_python(found, strict=True)
    TypeAdapter(AmbiguousName).validate_python(choice, strict=True)
    TypeAdapter(PlotRecords).validate_python(several, strict=True)
    assert found["titles"] == choice["titles"] == several["results"][0]["titles"] != []


def test_its_example_runs(root: str, schema: dict[str, Any]):
    for path in ("/v1/plot", "/v1/plots"):
        content = schema["paths"][path]["post"]["requestBody"]["content"]
        example = content["application/json"]["example"]
        answer = requests.post(f"{root}/api{path}", json=example, timeout=60)
        assert answer.status_code == 200
        assert "Inception" in answer.text


@pytest.mark.parametrize("document", ["README.md", "docs/hosting.md"])
def test_the_commands_of_the_documents_run(root: str, document: str, tmp_path: Path):
    for name in ("poster.jpg", "one.jpg", "two.jpg"):
        (tmp_path / name).write_bytes(encode(draw_poster(), "JPEG"))
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = [
        block for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) if "/api/" in block
    ]
    assert blocks
    for block in blocks:
        script = block.replace("http://localhost:8501", root)
        script = script.replace("curl ", "curl --silent --show-error --fail --noproxy '*' ")
        found = subprocess.run(
            ["bash", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert found.returncode == 0, f"{block}{found.stderr}"
        assert '"plot"' in found.stdout


def test_the_program_of_the_documents_runs(
    root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("poster.jpg").write_bytes(encode(draw_poster(), "JPEG"))
    text = (ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    program = program.replace("http://localhost:8501", root)
    exec(program.replace("import httpx", "import httpx2 as httpx"), {})  # its successor
    said = capsys.readouterr().out.splitlines()
    assert "'ahead'" in said[0]
    assert "'candidates'" in said[-1]


def test_the_reference_asks_no_other_host(root: str):
    need_chromium()
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"{root}/api/docs")
        page.get_by_text("/v1/plots").wait_for(timeout=PATIENCE)
        page.get_by_text("/v1/live").click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        page.get_by_text('"live"').first.wait_for(timeout=PATIENCE)
        browser.close()
    assert len(asked) >= 4
    assert all(url.startswith((root, "data:")) for url in asked)
    assert said == []
