"""The wheel, installed beside nothing of the repository."""

import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import requests
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from poster2plot import __version__
from poster2plot.bundled_files import BUNDLED_MODEL
from support.drawn_posters import draw_poster

ROOT = Path(__file__).parent.parent
EXTRAS = (
    "streamlit",
    "starlette",
    "prometheus_client",
    "limits",
    "accelerate",
    "pyarrow",
    "fsspec",
    "rapidocr",
    "cv2",
)


def run(*command: object, **options: Any) -> str:
    result: subprocess.CompletedProcess[str] = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=300, **options
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the files that git knows, or would know."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", source, "--no-deps", "--no-build-isolation", "--wheel-dir", out)
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel, and its requirements from here."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    pip = (
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "--python",
        python,
    )
    run(*pip, "install", "--no-deps", "--no-index", wheel)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(site, "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment in which the packages of the extras cannot be imported."""
    (tmp_path / "sitecustomize.py").write_text(f"""
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
PathFinder.find_spec = staticmethod(
    lambda name, *more: None if name.split(".")[0] in {EXTRAS} else find_spec(name, *more)
)
""")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_the_library_and_its_command_need_no_extra(programs: Path, bare, tmp_path: Path):
    poster = tmp_path / "poster.png"
    draw_poster().save(poster)
    version = run(programs / "poster2plot", "--version", env=bare, cwd=tmp_path)
    assert version == f"poster2plot {__version__}\n"
    plot = run(programs / "poster2plot", "poster.png", env=bare, cwd=tmp_path)
    assert len(plot.split()) > 5
    code = (
        "import poster2plot; p2p = poster2plot.Poster2Plot.from_pretrained(); "
        "print(poster2plot.__version__, p2p.name, p2p.generate(['poster.png'])[0][0].text)"
    )
    written = run(programs / "python", "-c", code, env=bare, cwd=tmp_path)
    assert written.startswith(f"{__version__} {BUNDLED_MODEL.name} ")
    assert " ".join(plot.split()[1:]) in written


def test_what_an_extra_brings_is_named_where_it_is_missing(programs: Path, bare, tmp_path: Path):
    app = subprocess.run(
        [programs / "poster2plot", "app"], env=bare, cwd=tmp_path, capture_output=True, text=True
    )
    assert app.returncode == 2
    assert app.stderr == (
        "error: The page needs more packages; `pip install 'poster2plot[app]'`.\n"
    )
    batch = subprocess.run(
        [programs / "poster2plot-batch", ".", "--output", "plots.csv"],
        env=bare, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert batch.returncode == 2
    assert batch.stderr.endswith("`pip install 'poster2plot[batch]'`.\n")
    code = "from poster2plot.title_reading.reader import TitleReader; TitleReader()"
    titles = subprocess.run(
        [programs / "python", "-c", code], env=bare, cwd=tmp_path, capture_output=True, text=True
    )
    assert titles.stderr.endswith("`pip install 'poster2plot[titles]'`.\n")
    assert "Traceback" not in batch.stderr


def test_titles_are_read(programs: Path, tmp_path: Path):
    code = (
        "from PIL import Image; from poster2plot.title_reading.reader import TitleReader; "
        "print(TitleReader().read(Image.new('RGB', (300, 450))))"
    )
    assert run(programs / "python", "-c", code, cwd=tmp_path) == "None\n"


def test_a_catalogue_from_any_folder(programs: Path, tmp_path: Path):
    draw_poster().save(tmp_path / "poster.png")
    run(programs / "poster2plot-batch", tmp_path, "--output", tmp_path / "plots.csv", cwd="/")
    assert "poster.png" in (tmp_path / "plots.csv").read_text()


def test_the_page_and_its_api_open(programs: Path, tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}")
    with subprocess.Popen([programs / "poster2plot", "app", *options], cwd=tmp_path) as process:
        try:
            with requests.Session() as session:
                retry = Retry(60, backoff_factor=0.1, backoff_max=1)
                session.mount("http://", HTTPAdapter(max_retries=retry))
                url = f"http://127.0.0.1:{port}"
                assert session.get(f"{url}/api/health", timeout=120).json()["model"]
                assert session.get(f"{url}/_stcore/health", timeout=60).ok
        finally:
            process.terminate()


def test_the_wheel_holds_what_it_should(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert not [name for name in names if name.startswith(("tests", "support", "benchmarks"))]
    for name in (
        "py.typed",
        "page/about.md",
        "page/components/plot_view.js",
        "training/card.md",
        "bundled/streamlit_app.py",
        "bundled/.streamlit/config.toml",
        *(f"bundled/models/{BUNDLED_MODEL.name}/{file.name}" for file in BUNDLED_MODEL.iterdir()),
    ):
        assert f"poster2plot/{name}" in names
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "poster2plot").rglob("*.py")}
    assert code <= names


def test_each_range_admits_the_pinned_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    pins = {}
    for path in ROOT.glob("requirements*.txt"):
        for line in path.read_text().splitlines():
            name, _, version = line.partition("==")
            pins[canonicalize_name(name.partition("[")[0])] = version
    requirements = [Requirement(each) for each in needed if not each.startswith("poster2plot")]
    for requirement in requirements:
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])
    # And the other way round: what the app installs, the wheel asks for.
    asked = {canonicalize_name(requirement.name) for requirement in requirements}
    app = {
        canonicalize_name(re.split(r"[=\[]", line)[0])
        for line in (ROOT / "requirements.txt").read_text().splitlines()
    }
    assert app <= asked
