"""The image: linted, its folder complete, and built where a Docker engine runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def engine_runs() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "version"], capture_output=True, timeout=60).returncode == 0


def test_the_dockerfile_has_no_lint():
    hadolint = Path(sys.executable).with_name("hadolint")
    result = subprocess.run(
        [hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout


def test_what_the_image_gets_is_all_the_page_needs(tmp_path: Path):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    for name in (line[1:] for line in lines if line.startswith("!")):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target)
        else:
            shutil.copy(ROOT / name, target)
    check = (
        "import streamlit_app; from poster2plot.page import cached_resources, inputs; "
        "cached_resources.desk(); inputs.EXAMPLES"
    )
    result = subprocess.run(
        [sys.executable, "-c", f"{check} or exit('no examples')"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not engine_runs(), reason="no Docker engine runs here")
def test_the_image_writes_a_plot_without_a_network():
    def docker(*arguments: str, timeout: int) -> str:
        return subprocess.run(
            ["docker", *arguments],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout,
        ).stdout

    image = docker("build", "--quiet", ".", timeout=1800).strip()
    compiled = "import torch; from pathlib import Path; print(Path(torch.__cached__).exists())"
    assert docker("run", "--rm", image, "python", "-c", compiled, timeout=120).strip() == "True"
    plot = ["python", "-m", "poster2plot", "assets/posters/the-ember-crown.jpg"]
    assert len(docker("run", "--rm", "--network=none", image, *plot, timeout=120).split()) > 4
