"""Whether a model writes."""

from pathlib import Path

import pytest

from poster2plot import Poster2Plot
from poster2plot.server.health import model_writes


def test_health_is_whether_the_model_writes(tiny_folder: Path, caplog: pytest.LogCaptureFixture):
    p2p = Poster2Plot.from_pretrained(tiny_folder, "cpu")
    assert model_writes(p2p)
    assert not caplog.records
    p2p.tokenizer = None  # a plot cannot be read any more
    assert not model_writes(p2p)
    assert "the health check failed" in caplog.text
