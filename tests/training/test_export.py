"""What `export` writes, and its upload to a stand-in for the Hub on localhost."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from poster2plot.checkpoints.loading import load_checkpoint
from poster2plot.errors import InputError
from poster2plot.training.bundled.averaging import average
from poster2plot.training.export import export
from support.drawn_posters import draw_poster


@contextmanager
def uploads() -> Iterator[tuple[str, dict[str, bytes]]]:
    """The address of a Hub that accepts models, and the files it was sent by path."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer: dict[str, object] = {}
            if self.path == "/api/repos/create":
                asked = json.loads(body)
                answer = {"url": f"{url}/{asked['organization']}/{asked['name']}"}
            elif "/preupload/" in self.path:
                paths = [file["path"] for file in json.loads(body)["files"]]
                sent = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
                answer = {"files": [sent | {"path": path} for path in paths]}
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        content = base64.b64decode(line["value"]["content"])
                        files[line["value"]["path"]] = content
                answer = {"commitUrl": f"{url}/somebody/my-model/commit/1", "commitOid": "1" * 40}
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield url, files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def trained(tiny_folder: Path, tmp_path: Path) -> Path:
    """A folder as `train` leaves it."""
    folder = tmp_path / "run"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text()) | {"recommended_guidance": 2.5}
    (folder / "config.json").write_text(json.dumps(config))
    recipe = {"encoder": "/somebody/parts/vit-tiny", "decoder": "gpt2", "epochs": 5}
    reinforced = {"steps": 3, "posters": 2, "log": []}
    made = {"recipe": recipe, "log": [], "reinforcement": reinforced}
    (folder / "training.json").write_text(json.dumps(made))
    return folder


def test_the_card_tells_the_model_apart(trained: Path, data: Path, tmp_path: Path):
    notes = tmp_path / "notes.md"
    notes.write_text("## How it came about\n\nIn an afternoon.\n", encoding="utf-8")
    export(trained, tmp_path / "my-model", data=data, notes=notes, licence="mit")
    card = (tmp_path / "my-model" / "README.md").read_text(encoding="utf-8")
    expected = ("license: mit", "# my-model", "2 layers × 32, 320 tokens", "guidance 2.5")
    rows = (
        "| encoder | vit-tiny |",
        "| epochs | 5 |",
        "| reinforcement | steps 3, posters 2 |",
        "| fr | ",
        "Not measured.",
        "In an afternoon.",
    )
    for text in (*expected, *rows):
        assert text in card


def test_the_code_of_the_card_runs(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = json.loads((trained / "config.json").read_text())
    config["title_prompt"] = {"separator_token_id": 5, "max_tokens": 8}
    (trained / "config.json").write_text(json.dumps(config))
    out = tmp_path / "my-model"
    export(trained, out, data=data)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "does not read what is printed" in card
    [plain, titled] = re.findall(r"```python\n(.+?)```", card, re.DOTALL)
    names = {"image": draw_poster("darkred"), "torch": torch}
    exec(plain.replace("models/my-model", str(out)), names)
    exec(titled, names)
    written = capsys.readouterr().out.splitlines()
    assert len(set(written)) == 2


def test_the_lexicon_comes_along(trained: Path, data: Path, tmp_path: Path):
    (trained / "lexicon.txt").write_text("a\nlighthouse\n")
    export(trained, tmp_path / "my-model", data=data)
    assert load_checkpoint(tmp_path / "my-model", device="cpu").lexicon == frozenset(
        {"a", "lighthouse"}
    )
    assert "lexicon.txt" in (tmp_path / "my-model" / "SHA256SUMS").read_text()


def test_only_a_finished_run_is_exported(data: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no finished training run"):
        export(tmp_path, tmp_path / "model", data=data)


def test_a_failed_export_leaves_no_model_without_its_card(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "my-model"
    with pytest.raises(FileNotFoundError):
        export(trained, out, data=data, figures=tmp_path / "none.md")

    def full(_: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("poster2plot.training.export.write_checksums", full)
    with pytest.raises(OSError, match="No space"):
        export(trained, out, data=data)
    assert not [*out.glob("*")]


def test_a_mean_is_of_finished_runs(trained: Path, tmp_path: Path):
    shutil.copytree(trained, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "training.json").unlink()
    with pytest.raises(InputError, match="no finished training run"):
        average(trained, tmp_path / "unfinished", tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_push_to_hub_sends_every_file(trained: Path, data: Path, tmp_path: Path):
    out = tmp_path / "my-model"
    with uploads() as (url, files):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "poster2plot.training", "export", trained, out),
                *("--data", data, "--push-to-hub", "somebody/my-model"),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=os.environ | {"HF_ENDPOINT": url, "HF_TOKEN": "hf_planted"},
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("/commit/1\n")
    assert "hf_planted" not in done.stdout + done.stderr
    assert files == {path.name: path.read_bytes() for path in out.iterdir()}
