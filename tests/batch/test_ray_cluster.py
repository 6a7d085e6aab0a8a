"""A catalogue on a real Ray cluster on this machine, of which one node is lost in the middle."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from poster2plot import GenerationSettings, InputError
from poster2plot.batch import ray_cluster as cluster
from poster2plot.batch import shards
from poster2plot.batch.catalogues.item import Item
from support.drawn_posters import draw_poster, draw_titled_poster, encode

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray_cluster = pytest.importorskip("ray.cluster_utils")

POSTERS = 48
# Ray looks after its files in threads and processes that outlive a test.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def nodes(store: str) -> Iterator[object]:
    """A head that does no work; `store` comes first, so that every node knows of it."""
    soon = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 3,
    }
    nodes = ray_cluster.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": soon},
    )
    try:
        yield nodes
    finally:
        nodes.shutdown()


def test_every_poster_has_one_row_when_a_node_is_lost(nodes, store: str, tiny_folder: Path):
    fs, data = fsspec.filesystem("s3"), encode(draw_poster())
    fs.pipe({f"{store}/posters/{i}.png": data for i in range(POSTERS)})
    fs.pipe_file(f"{store}/posters/7.png", b"damaged")
    nodes.add_node(num_cpus=1)
    lost = nodes.add_node(num_cpus=1)
    script = (
        "import sys; from poster2plot.batch import shards; shards.CHUNK = 4; "
        "from poster2plot.batch.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    output = f"{store}/plots.jsonl"
    job = [f"{store}/posters", "--output", output, "--ray", nodes.address]
    model = ["--model", str(tiny_folder), "--device", "cpu"]

    def written() -> int:
        fs.invalidate_cache()
        return len(fs.glob(f"{output}.parts/*.jsonl"))

    with subprocess.Popen([sys.executable, "-c", script, *job, *model]) as process:
        deadline = time.monotonic() + 300
        while (before := written()) < 4:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)  # the store is in this process, and asking takes time from the workers
        nodes.remove_node(lost, allow_graceful=False)
        assert process.wait(300) == 0
    assert before < POSTERS // 4
    fs.invalidate_cache()
    rows = [json.loads(line) for line in fs.cat_file(output).splitlines()]
    assert [row["source"] for row in rows] == [f"{store}/posters/{i}.png" for i in range(POSTERS)]
    assert [i for i, row in enumerate(rows) if row["error"]] == [7]
    assert len({row["plot"] for row in rows if not row["error"]}) == 1


def test_what_a_worker_cannot_go_on_with_is_said(nodes, tmp_path: Path):
    script = (
        "import sys; from poster2plot import GenerationSettings; "
        "from poster2plot.batch import ray_cluster as cluster, shards; "
        "from poster2plot.batch.catalogues.item import Item; "
        "job = cluster.Job('missing', 'cpu', None, GenerationSettings(), sys.argv[2]); "
        "tasks = shards.chunks([Item('a.png', file='a.png')], ''); "
        "cluster.run(sys.argv[1], job, tasks, print)"
    )
    command = [sys.executable, "-c", script, nodes.address, str(tmp_path / "plots.csv")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Poster2PlotError: The Hub model 'missing' is not in the cache" in result.stderr


def test_a_model_that_only_the_driver_has_reaches_the_workers(
    nodes, titled_folder: Path, tmp_path: Path
):
    nodes.add_node(num_cpus=1)
    draw_titled_poster("THE LAST RIVER").save(tmp_path / "a.png")
    script = (
        "import sys, ray; from pathlib import Path; from poster2plot import GenerationSettings; "
        "from poster2plot.batch import ray_cluster as cluster, shards; "
        "from poster2plot.batch.catalogues.item import Item; "
        "items = [Item('a.png', file=sys.argv[4])]; tasks = shards.chunks(items, ''); "
        "files = {path.name: path.read_bytes() for path in Path(sys.argv[2]).iterdir()}\n"
        "with cluster.Cluster(sys.argv[1], 'cpu') as workers:\n"
        "    job = cluster.Job('/only/here', 'cpu', None, GenerationSettings(max_length=8), "
        "sys.argv[3], ray.put(files), reads_titles=True)\n"
        "    workers.run(job, [cluster.task(chunk) for chunk in tasks], print)\n"
    )
    output = tmp_path / "plots.jsonl"
    arguments = [nodes.address, str(titled_folder), str(output), str(tmp_path / "a.png")]
    command = [sys.executable, "-c", script, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stdout == "1 0\n", result.stderr
    [shard] = tmp_path.glob("plots.jsonl.parts/*-*")
    row = json.loads(shard.read_text())
    assert row["model"] == "/only/here"
    assert row["title_source"] == "read"


def test_a_worker_that_cannot_read_titles_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    output = str(tmp_path / "plots.csv")
    job = cluster.Job(None, "cpu", None, GenerationSettings(), output, reads_titles=True)
    [chunk] = shards.chunks([Item("a.png", file="a.png")], "")
    result = cluster._RemoteWorker(job, 1)(cluster.task(chunk))
    assert "pip install 'poster2plot[titles]'" in result["failure"]


def test_no_cluster_is_said(tmp_path: Path):
    job = cluster.Job(None, "cpu", None, GenerationSettings(), str(tmp_path / "plots.csv"))
    with pytest.raises(InputError, match="There is no Ray cluster at '127"):
        cluster.run("127.0.0.1:9", job, [], print)


@pytest.mark.parametrize(
    ("machines", "device", "expected"),
    [
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 8.0}, {"GPU": 1.0}], "auto", (3, {"num_gpus": 1})),
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 9.0}], "cpu", (12, {"num_cpus": 2})),
        ([{"CPU": 1.0}, {"CPU": 1.0}], "auto", (2, {"num_cpus": 1})),
        ([{}], "auto", (1, {"num_cpus": 1})),
    ],
)
def test_workers_fill_the_machines(machines, device, expected):
    nodes = [{"Resources": resources} for resources in machines]
    assert cluster._workers(nodes, device) == expected


def test_keys_are_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMDB_API_KEY", "planted")
    job = cluster.Job(None, "cpu", None, GenerationSettings(), "plots.csv")
    assert job.secrets["TMDB_API_KEY"] == "planted"
    assert "planted" not in repr(job)
