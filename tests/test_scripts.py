"""The scripts of the README's two commands."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_bundled_training_says_what_it_wants():
    script = ROOT / "scripts" / "train-bundled"
    result = subprocess.run([script], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: scripts/train-bundled SOURCE [RUNS]")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("script", ["app", "test"])
def test_compiled_modules_are_kept_whatever_the_environment_says(script: str, tmp_path: Path):
    """Also where the script is called by a link from elsewhere."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / script, tmp_path / "scripts")
    for name in ("scripts/setup", ".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/python"):
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        told = "${PYTHONDONTWRITEBYTECODE-nothing}"
        program.write_text(f'#!/bin/sh\necho "{name} is told {told}"\n')
        program.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / script).symlink_to(tmp_path / "scripts" / script)
    result = subprocess.run(
        [tmp_path / "bin" / script],
        cwd="/",
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    lines = result.stdout.splitlines()
    assert ".venv/bin/python is told nothing" in lines
    assert all(line.endswith("is told nothing") for line in lines)
