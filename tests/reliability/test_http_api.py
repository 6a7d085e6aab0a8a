"""A slice of `python -m reliability.http_api`: requests that schemathesis makes up."""

from pathlib import Path

from reliability import http_api


def test_what_schemathesis_makes_up_is_answered_as_the_schema_says(tmp_path: Path):
    phases = ["examples", "fuzzing", "stateful"]
    with http_api.serve(tmp_path) as url:
        found = http_api.run(url, tmp_path, "--max-examples=5", "--seed=1", phases=phases)
    assert found.wrong == 0, found.said
    assert found.phases == phases, found.said
    assert found.cases > 50
