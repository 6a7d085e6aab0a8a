"""The lines that a host's log gets."""

import json
import logging
from collections.abc import Iterator

import pytest

from poster2plot.server.request_log import log_request, log_to_stderr, logger


@pytest.fixture
def as_before() -> Iterator[None]:
    """The log is for all tests of a process."""
    handlers, level, propagate = [*logger.handlers], logger.level, logger.propagate
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate


def test_a_request_is_one_line_of_json(as_before: None, capsys: pytest.CaptureFixture[str]):
    log_to_stderr()
    log_request(face="api", outcome="written", note="two\nlines")
    log_request(face="page", outcome="refused")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("id") != second.pop("id")
    assert first.pop("time").endswith("+00:00")
    assert first == {"face": "api", "outcome": "written", "note": "two\nlines"}
    assert second["outcome"] == "refused"


def test_other_logs_do_not_repeat_it(as_before: None, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    log_to_stderr()
    log_request(face="api")
    assert not caplog.records
