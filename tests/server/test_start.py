"""Settings that cannot be right end the start of the server, in a sentence."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("name", "value"),
    [("POSTER2PLOT_CACHE_DIR", "~no-such-user/posters")],
)
def test_a_setting_that_cannot_be_right_ends_the_start(name: str, value: str) -> None:
    started = subprocess.run(
        [sys.executable, "-c", "import streamlit_app"],
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert started.returncode == 1
    assert started.stderr.splitlines()[-1].startswith(f"error: {name} ")


def test_a_key_that_cannot_be_right_is_told_at_the_start() -> None:
    started = subprocess.run(
        [sys.executable, "-c", "import streamlit_app"],
        env=os.environ | {"OMDB_API_KEY": "deadbee"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "The key of OMDb cannot be right" in started.stderr
    assert "deadbee" not in started.stderr
