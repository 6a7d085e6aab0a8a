"""Requests that schemathesis makes up of the API's schema: `python -m reliability.http_api`.

Each operation alone, with what the schema allows and with what it does not, and operations one
after the other along the schema's links, against the running API of a toy model and of poster
services that know every name. Every answer has to be one that the schema has, and none a fault of
the server.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import requests

from poster2plot import Poster2Plot
from poster2plot.server.http_access import Access
from poster2plot.server.http_api import routes
from poster2plot.server.rate_limits import Limits
from poster2plot.server.service import PlotService
from support.api_server import serve_routes
from support.drawn_posters import draw_poster, encode
from support.poster_server import ID, PICTURE, Answer, PosterServer, cinemeta, metas, serve_posters
from support.toy_model import save_tiny_model

PHASES = ("examples", "coverage", "fuzzing", "stateful")
CASES = 10_000
SECONDS = 900
_PATIENCE = 120  # seconds more, for what has begun
_ROOT = Path(__file__).parents[1]
_CONFIG = _ROOT / "support" / "schemathesis.toml"
_HOOKS = {"SCHEMATHESIS_HOOKS": "support.schemathesis_hooks", "PYTHONPATH": str(_ROOT)}
_ALL = 10**6
_SEARCH = re.compile(r"/cinemeta/catalog/movie/top/search=(.*)\.json", re.DOTALL)
_TITLE = re.compile(r"/cinemeta/meta/movie/(tt[0-9]+)\.json")


def main() -> int:
    """Print a row; the exit status is 1 where an answer was wrong, or there were too few cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help="that there have to be at least")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="in which they are made up")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, serve(Path(name)) as url:
        time = f"--max-time={options.seconds}"
        found = run(
            url, Path(name), time, f"--seed={options.seed}", patience=options.seconds + _PATIENCE
        )
        posters = _posters(url)
    print(found.said)
    print("| cases | phases | wrong | posters |\n|---|---|---|---|")
    print(f"| {found.cases} | {', '.join(found.phases)} | {found.wrong} | {posters} |")
    return int(found.cases < options.cases or found.wrong > 0 or found.phases != [*PHASES])


@dataclass(frozen=True)
class Found:
    """Cases, the phases that ran and found nothing, wrong answers, what schemathesis said."""

    cases: int
    phases: list[str]
    wrong: int
    said: str


def run(
    url: str,
    folder: Path,
    *options: str,
    phases: Sequence[str] = PHASES,
    patience: float = _PATIENCE,
) -> Found:
    """Let schemathesis make up requests, and put its report into a folder.

    Raises `subprocess.TimeoutExpired` after `patience` seconds.
    """
    report = folder / "report.json"
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={_CONFIG}",
        "run",
        f"{url}/api/openapi.json",
        f"--phases={','.join(phases)}",
        f"--report-json-path={report}",
        *("--generation-database=none", "--no-color"),
        *options,
    ]
    ended = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | _HOOKS,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    said = ended.stdout + ended.stderr
    if not report.exists():
        return Found(0, [], 1, said)
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    whole = [name for name in phases if found["phases"][name]["status"] == "success"]
    wrong = len(found["failures"]) + len(found["errors"])
    return Found(found["test_cases"]["generated"], whole, wrong, said)


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The API of a toy model, without the limits of a single visitor."""
    p2p = Poster2Plot.from_pretrained(save_tiny_model(folder / "model", titles=True), "cpu")
    service = PlotService(p2p, Limits(plots=_ALL, pictures=_ALL, megapixels=_ALL))
    with serve_posters(_KnowsAll()) as services:
        limits = Limits(requests=_ALL)
        api = routes(lambda: service, services.finder, access=Access(), limits=limits)
        with serve_routes(api) as url:
            yield url


@dataclass
class _KnowsAll(PosterServer):
    """Services that know one title or two of any name, or none where it has four characters."""

    picture: bytes = field(default_factory=lambda: encode(draw_poster(), "JPEG"))

    def answer(self, path: str) -> Answer:
        if path == PICTURE:
            return Answer(self.picture)
        if found := _TITLE.fullmatch(path):
            return cinemeta(self, id=found[1])
        if found := _SEARCH.fullmatch(path):
            name = unquote(found[1])
            known = [ID, "tt0271383"][: 0 if len(name) == 4 else 1 + len(name) % 2]
            return metas(*({"id": each, "name": name} for each in known))
        return super().answer(path)


def _posters(url: str) -> str:
    """What became of the posters, by the server's metrics."""
    text = requests.get(f"{url}/metrics", timeout=60).text
    found = re.findall(r'poster2plot_posters_total\{face="api",outcome="(\w+)"\} ([0-9.]+)', text)
    return ", ".join(f"{float(count):.0f} {outcome}" for outcome, count in found)


if __name__ == "__main__":
    sys.exit(main())
