"""Documents state facts of the code: the programs' options, the API's fields, locked packages."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from poster2plot.server.http_types import Options
from poster2plot.settings import RANGES, GenerationSettings
from scripts.command_line import DOCUMENT, PROGRAMS, block, help_text

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_is_that_of_the_program(program: str):
    found = block(program).search(DOCUMENT.read_text(encoding="utf-8"))
    assert found, program
    # Versions of Python break the lines of the usage differently.
    documented = found[0].removeprefix("\n```text\n").removesuffix("```\n\n")
    assert documented.split() == help_text(program).split(), "python -m scripts.command_line"


def test_the_fields_of_the_api_are_documented():
    text = (ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", text, re.MULTILINE))
    expected = {}
    for field in fields(GenerationSettings):
        default: Any = field.default
        shown = "the model's own" if default is None else str(default).lower()
        if field.name in RANGES:
            low, high = RANGES[field.name]
            values = f"{low} to {high}"
        else:
            values = "true, false" + (", never" if field.name == "early_stopping" else "")
        expected[field.name] = f"{values} | {shown}"
    switches = Options.model_fields.keys() - expected.keys()
    expected |= {
        name: f"true, false | {Options.model_fields[name].default}".lower() for name in switches
    }
    assert rows == expected


def test_the_lock_holds_the_pinned_versions_and_names_no_place():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    locked = set(re.findall(r"^([\w.-]+==[\w.+]+)", lock.lower(), re.MULTILINE))
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8").lower().split()
    assert {pin.replace("_", "-") for pin in pins} <= locked
    for package in re.split(r"\n(?=\w)", lock.strip()):
        assert "--hash=sha256:" in package, package
