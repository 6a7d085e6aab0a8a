"""Loading: every layout, every way to fail, and the real Hub client against a stand-in Hub."""

import json
import logging
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from poster2plot import Poster2Plot
from poster2plot.bundled_files import BUNDLED_MODEL
from poster2plot.checkpoints import loading
from poster2plot.checkpoints.checksums import write_checksums
from poster2plot.checkpoints.hub import IMAGE_PROCESSOR_REPO, REVISIONS, TOKENIZER_REPO
from poster2plot.checkpoints.loading import load_checkpoint
from poster2plot.errors import CheckpointError, DeviceError
from support.hub_server import Hub, serve_hub
from support.toy_model import (
    PICTURE,
    VOCABULARY,
    save_tiny_model,
    tiny_image_processor,
    tiny_tokenizer,
)

POSTER2PLOT = "deepklarity/poster2plot"
END = VOCABULARY - 1
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub with the model of 2021 and the two repositories that complete it."""
    folder = tmp_path_factory.mktemp("hub")
    save_tiny_model(folder / "old", layout="2021", safetensors=False)
    tiny_tokenizer(folder / "gpt2")
    # The image processor's file at the pinned commit states no type and has a plain number as size.
    (folder / "vit").mkdir()
    processor: dict[str, object] = {"do_normalize": True, "do_resize": True, "size": PICTURE}
    processor |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "vit" / "preprocessor_config.json").write_text(json.dumps(processor))
    repositories = {
        POSTER2PLOT: folder / "old",
        TOKENIZER_REPO: folder / "gpt2",
        IMAGE_PROCESSOR_REPO: folder / "vit",
        "someone/new": save_tiny_model(folder / "new"),
        "someone/empty": folder / "gpt2",
    }
    with serve_hub(repositories) as server:
        yield server


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "model")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The layout of 2021, beside the files that it lacks."""
    folder = save_tiny_model(tmp_path / "model", layout="2021", safetensors=False)
    tiny_tokenizer(folder)
    tiny_image_processor(folder)
    return folder


def fails(name: str | Path | None, **options: str) -> str:
    """The one sentence of the error that loading raises."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(name, **{"device": "cpu"} | options)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert "Error" not in message.replace("CheckpointError", "")
    return message


def pixels() -> torch.Tensor:
    return torch.rand(1, 3, PICTURE, PICTURE, generator=torch.Generator().manual_seed(0))


def tokens(loaded: loading.Checkpoint) -> list[int]:
    output = loaded.model.generate(pixels(), max_length=8, num_beams=1)
    ids: list[int] = output[0].tolist()
    return ids


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


# Local folders


def test_a_current_checkpoint_loads_ready_to_generate(new: Path):
    loaded = load_checkpoint(new, device="cpu")
    assert loaded.name == str(new)
    assert loaded.device == torch.device("cpu")
    assert not loaded.model.training
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert loaded.tokenizer.eos_token_id == END
    assert dict(loaded.image_processor.size) == {"height": PICTURE, "width": PICTURE}
    assert tokens(loaded)[0] == END


def test_the_bundled_model_is_the_default(new: Path, monkeypatch: pytest.MonkeyPatch):
    bundled = new.rename(new.with_name("poster2plot-base"))
    monkeypatch.setattr(loading, "BUNDLED_MODEL", bundled)
    assert load_checkpoint(device="cpu").name == "poster2plot-base"
    assert load_checkpoint("poster2plot-base", device="cpu").name == "poster2plot-base"


def test_a_missing_bundled_model_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "BUNDLED_MODEL", tmp_path / "poster2plot-base")
    assert "bundled model is not in" in fails(None)


def test_the_bundled_model_lies_beside_the_package():
    assert BUNDLED_MODEL.parent == ROOT / "models"
    assert (BUNDLED_MODEL / "config.json").is_file()


def test_a_lexicon_is_read_where_there_is_one(new: Path):
    assert load_checkpoint(new, device="cpu").lexicon is None
    (new / "lexicon.txt").write_text("a\ncafé\nwell-known\n", encoding="utf-8")
    assert load_checkpoint(new, device="cpu").lexicon == frozenset({"a", "café", "well-known"})
    (new / "lexicon.txt").write_bytes(b"caf\xe9")
    with pytest.raises(CheckpointError, match=r"lexicon\.txt"):
        load_checkpoint(new, device="cpu")


def test_half_precision_is_widened(new: Path):
    weights = {name: t.half() for name, t in load_file(new / "model.safetensors").items()}
    save_file(weights, new / "model.safetensors", metadata={"format": "pt"})
    edit(new, lambda config: config.update(dtype="float16"))
    loaded = load_checkpoint(new, device="cpu")
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


def test_the_layout_of_2021_gives_the_weights_under_their_new_names(old: Path):
    stored = torch.load(old / "pytorch_model.bin")
    query = stored["encoder.encoder.layer.1.attention.attention.query.weight"]
    assert "decoder.transformer.h.1.crossattention.masked_bias" in stored
    model = load_checkpoint(old, device="cpu").model
    assert torch.equal(model.state_dict()["encoder.layers.1.attention.q_proj.weight"], query)
    assert model.encoder.pooler is not None


def test_an_untrained_pooler_is_left_out(new: Path):
    assert load_checkpoint(new, device="cpu").model.encoder.pooler is None


def test_safetensors_come_before_a_pickle(tmp_path: Path, old: Path):
    folder = save_tiny_model(tmp_path / "both", layout="2021", safetensors=True)
    for file in ("tokenizer.json", "preprocessor_config.json"):
        (folder / file).write_bytes((old / file).read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"not read")
    assert tokens(load_checkpoint(folder, device="cpu")) == tokens(load_checkpoint(old))


@pytest.mark.parametrize("kept", [{}, {"feature_extractor_type": "ViTFeatureExtractor"}])
def test_an_image_processor_of_2021_loads(old: Path, kept: dict[str, str]):
    written = {"do_normalize": True, "do_resize": True, "size": PICTURE, "resample": 2} | kept
    (old / "preprocessor_config.json").write_text(json.dumps(written))
    image_processor = load_checkpoint(old, device="cpu").image_processor
    assert dict(image_processor.size) == {"height": PICTURE, "width": PICTURE}


def test_special_tokens_are_filled_where_they_lack(old: Path):
    edit(
        old, lambda config: [config.pop(key) for key in ("decoder_start_token_id", "pad_token_id")]
    )
    loaded = load_checkpoint(old, device="cpu")
    own = loaded.model.generation_config
    assert own.decoder_start_token_id == own.bos_token_id == own.pad_token_id == END
    assert own.eos_token_id == END
    assert loaded.model.config.decoder_start_token_id == loaded.model.config.pad_token_id == END
    assert loaded.tokenizer.pad_token_id == END


def test_special_tokens_of_the_checkpoint_stay(new: Path):
    own = {
        "decoder_start_token_id": 5,
        "bos_token_id": 6,
        "eos_token_id": [7, 8],
        "pad_token_id": 9,
    }
    (new / "generation_config.json").write_text(json.dumps(own))
    loaded = load_checkpoint(new, device="cpu").model.generation_config.to_dict()
    assert {key: loaded[key] for key in own} == own


@pytest.mark.parametrize("layout", ["new", "old"])
def test_a_loaded_model_can_be_saved_again(
    layout: str, request: pytest.FixtureRequest, tmp_path: Path
):
    loaded = load_checkpoint(request.getfixturevalue(layout), device="cpu")
    for part in (loaded.model, loaded.tokenizer, loaded.image_processor):
        part.save_pretrained(tmp_path / "again")
    assert tokens(load_checkpoint(tmp_path / "again", device="cpu")) == tokens(loaded)


def test_loading_is_silent_and_leaves_the_settings_of_transformers(
    old: Path, capfd: pytest.CaptureFixture[str]
):
    from transformers.utils import logging as transformers_logging

    hook = object()
    previous = transformers_logging.set_tqdm_hook(hook)
    level = transformers_logging.get_verbosity()
    try:
        transformers_logging.set_verbosity(logging.INFO)
        load_checkpoint(old, device="cpu")
        assert transformers_logging.get_verbosity() == logging.INFO
        assert transformers_logging.set_tqdm_hook(previous) is hook
    finally:
        transformers_logging.set_verbosity(level)
    assert capfd.readouterr() == ("", "")


def test_a_local_folder_needs_no_network(new: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load_checkpoint(new, device="cpu")


# Folders and devices that cannot be used


@pytest.mark.parametrize(
    "name", ["./nowhere", "../nowhere", "/nowhere", "~/nowhere/at/all", "~none/x"]
)
def test_a_missing_folder_is_one_sentence(name: str):
    message = fails(name)
    assert name in message
    assert "does not exist" in message


def test_a_path_is_never_a_hub_model():
    assert "does not exist" in fails(Path("deepklarity") / "poster2plot")


@pytest.mark.parametrize("name", ["", "a/b/c", "https://huggingface.co/a/b", "x" * 300, "a\0b"])
def test_a_name_of_nothing_is_one_sentence(name: str):
    assert "neither a folder nor like owner/name" in fails(name)


def test_a_revision_of_a_folder_is_refused(new: Path):
    assert "leave the revision out" in fails(new, revision="main")


def test_an_unknown_device_is_refused(new: Path):
    assert "choose auto, cpu or cuda" in fails(new, device="tpu")


def test_cuda_without_cuda_is_refused(new: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in fails(new, device="cuda")
    assert load_checkpoint(new, device="auto").device == torch.device("cpu")


def test_a_device_that_is_too_small_is_one_sentence(new: Path, monkeypatch: pytest.MonkeyPatch):
    from transformers import VisionEncoderDecoderModel

    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(VisionEncoderDecoderModel, "to", full)
    assert "does not go on cpu" in fails(new)


def test_cuda_that_fails_is_left_for_the_cpu(
    new: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A PyTorch that was built without CUDA fails as a broken driver does: at the first tensor."""
    if torch.cuda.is_available():
        pytest.skip("CUDA works here")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    p2p = Poster2Plot.from_pretrained(new)
    assert p2p.device == torch.device("cpu")
    assert p2p.notice == "CUDA fails here, so the model runs on the CPU."
    assert "CUDA fails" in caplog.text
    with pytest.raises(DeviceError, match="use the device cpu"):
        Poster2Plot.from_pretrained(new, "cuda")


# Checkpoints that cannot be used


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_file_that_does_not_match_its_sum_is_named(new: Path, file: str, damage: str):
    write_checksums(new)
    load_checkpoint(new, device="cpu")
    data = bytearray((new / file).read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    (new / file).write_bytes(data[:-1] if damage == "cut" else data)
    if damage == "remove":
        (new / file).unlink()
    message = fails(new)
    assert repr(file) in message
    assert "SHA-256" in message
    assert "get it again" in message


@pytest.mark.parametrize("sums", ["no sums", "\xff", "a  b  c", f"{'0' * 64}  ../../etc/passwd"])
def test_odd_sums_are_refused(new: Path, sums: str):
    (new / "SHA256SUMS").write_text(sums, "latin-1")
    assert "get it again" in fails(new)


def test_the_bundled_model_has_sums():
    listed = (BUNDLED_MODEL / "SHA256SUMS").read_text()
    files = {path.name for path in BUNDLED_MODEL.iterdir()} - {"README.md", "SHA256SUMS"}
    assert {line.split("  ")[1] for line in listed.splitlines()} == files


@pytest.mark.parametrize(
    "text", ["", "{", "\xff", '{"model_type": "bert"}', "[]", '{"decoder": 1}']
)
def test_a_config_of_something_else_is_one_sentence(new: Path, text: str):
    (new / "config.json").write_bytes(text.encode("latin-1"))
    message = fails(new)
    assert "damaged" in message or "not a VisionEncoderDecoderModel" in message


def test_a_folder_without_config_is_one_sentence(tmp_path: Path):
    assert "has no config.json" in fails(tmp_path)


def test_a_decoder_that_cannot_see_is_refused(new: Path):
    edit(new, lambda config: config["decoder"].update(add_cross_attention=False))
    assert "not a VisionEncoderDecoderModel" in fails(new)


def test_a_folder_without_weights_is_one_sentence(new: Path):
    (new / "model.safetensors").unlink()
    assert "has no weights" in fails(new)


@pytest.mark.parametrize("size", [0, 5, 1000, 100_000])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_truncated_weights_are_one_sentence(tmp_path: Path, file: str, size: int):
    folder = save_tiny_model(tmp_path / "model", safetensors=file == "model.safetensors")
    (folder / file).write_bytes((folder / file).read_bytes()[:size])
    assert "damaged" in fails(folder)


class Payload:
    """What a pickle from a stranger may hold."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("plain", [True, False])
def test_a_malicious_pickle_is_refused_and_not_run(old: Path, tmp_path: Path, plain: bool):
    target = tmp_path / "executed"
    content = {"decoder.lm_head.weight": Payload(target)}
    if plain:
        (old / "pytorch_model.bin").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, old / "pytorch_model.bin")
    assert "more than plain data" in fails(old)
    assert not target.exists()


def test_code_that_comes_with_a_checkpoint_is_not_run(new: Path, tmp_path: Path):
    target = tmp_path / "executed"
    (new / "custom_generate").mkdir()
    for code in (new / "own.py", new / "custom_generate" / "generate.py"):
        code.write_text(f"import os\nos.mkdir({str(target)!r})\n")
    edit(new, lambda config: config.update(auto_map={"AutoModel": "own.Model"}))
    load_checkpoint(new, device="cpu")
    (new / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["own.T", null]}}')
    load_checkpoint(new, device="cpu")
    assert not target.exists()


@pytest.mark.parametrize("name", ["encoder.layernorm.weight", "decoder.transformer.wte.weight"])
def test_missing_weights_are_not_made_up(new: Path, name: str):
    weights = load_file(new / "model.safetensors")
    del weights[name]
    save_file(weights, new / "model.safetensors", metadata={"format": "pt"})
    message = fails(new)
    assert "do not fit its config.json" in message
    assert "get a complete copy" in message


def test_weights_of_another_shape_are_refused(new: Path):
    edit(new, lambda config: config["decoder"].update(n_positions=32))
    message = fails(new)
    assert "1 are missing or of another shape, 'decoder.transformer.wpe.weight' for one" in message


def test_a_damaged_tokenizer_is_one_sentence(new: Path):
    (new / "tokenizer.json").write_text("{")
    assert "The Tokenizer of" in fails(new)


def test_a_damaged_image_processor_is_one_sentence(new: Path):
    (new / "preprocessor_config.json").write_text("{")
    assert "The ImageProcessor of" in fails(new)


def test_the_tokenizer_of_another_model_is_refused(new: Path):
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<one more>"])
    tokenizer.save_pretrained(new)
    assert "tokenizer of another model" in fails(new)


def test_the_image_processor_of_another_model_is_refused(new: Path):
    image_processor = tiny_image_processor()
    image_processor.size = {"height": PICTURE, "width": 2 * PICTURE}
    image_processor.save_pretrained(new)
    assert "image processor of another model" in fails(new)


# The Hub


def test_a_hub_model_is_read_from_safetensors_and_then_from_the_cache(online: Hub):
    load_checkpoint("someone/new", device="cpu")
    assert not any("pytorch_model.bin" in request for request in online.requests)
    online.requests.clear()
    load_checkpoint("someone/new", device="cpu")
    assert set(online.requests) == {"HEAD /someone/new/resolve/main/config.json"}


def test_unnamed_revisions_are_pinned(online: Hub):
    load_checkpoint(POSTER2PLOT, device="cpu")
    for repo, commit in REVISIONS.items():
        asked = [request for request in online.requests if f"/{repo}/" in request]
        assert asked
        assert all(f"/{repo}/resolve/{commit}/" in request for request in asked)


def test_a_named_revision_is_used(online: Hub):
    load_checkpoint(POSTER2PLOT, device="cpu", revision="a" * 40)
    assert f"GET /{POSTER2PLOT}/resolve/{'a' * 40}/pytorch_model.bin" in online.requests
    assert "has no such revision" in fails(POSTER2PLOT, revision="nonsense")


@pytest.mark.parametrize("cause", ["missing", "gated", "empty"])
def test_a_hub_model_that_cannot_be_had_is_one_sentence(online: Hub, cause: str):
    if cause == "gated":
        online.gated.add(POSTER2PLOT)
        assert "is gated" in fails(POSTER2PLOT)
    elif cause == "empty":
        assert "lacks its config.json" in fails("someone/empty")
    else:
        assert "is missing or private" in fails("no/body")


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_hub_that_answers_with_an_error_is_one_sentence(online: Hub, status: int):
    online.failing = status
    message = fails(POSTER2PLOT)
    assert POSTER2PLOT in message
    assert "try later" in message


@pytest.mark.usefixtures("online")
def test_a_hub_that_is_down_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    closed = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", closed)
    assert "the Hub does not answer" in fails(POSTER2PLOT)


def test_a_hub_that_says_nothing_is_one_sentence(online: Hub, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
    online.delay = 0.6
    assert "the Hub does not answer" in fails(POSTER2PLOT)


def test_the_part_from_another_repository_is_named_when_it_cannot_be_had(online: Hub):
    online.gated.add(TOKENIZER_REPO)
    message = fails(POSTER2PLOT)
    assert TOKENIZER_REPO in message
    assert POSTER2PLOT in message


def test_offline_means_the_cache_and_nothing_else(online: Hub, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    expected = tokens(load_checkpoint(POSTER2PLOT, device="cpu"))
    online.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert tokens(load_checkpoint(POSTER2PLOT, device="cpu")) == expected
    assert "HF_HUB_OFFLINE is set" in fails("someone/new")
    assert not online.requests


def test_a_hub_that_fails_after_a_first_answer_gives_no_foreign_tokenizer(
    online: Hub, monkeypatch: pytest.MonkeyPatch
):
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda _: None))  # between retries
    online.failing_after = 3  # two HEAD and one GET of config.json
    assert "the Hub does not answer" in fails("someone/new")


def test_a_cached_model_loads_while_the_hub_is_down(online: Hub):
    expected = tokens(load_checkpoint(POSTER2PLOT, device="cpu"))
    online.failing = 500
    assert tokens(load_checkpoint(POSTER2PLOT, device="cpu")) == expected


def test_no_token_is_told(online: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    online.failing = 403
    assert "hf_" not in fails(POSTER2PLOT)


def test_the_model_of_2021_by_name_writes_what_it_writes_from_a_folder(
    hub: Hub, old: Path, tmp_path: Path
):
    """End to end in a fresh interpreter: environment, download, fallbacks, generation."""
    code = f"""
from poster2plot.checkpoints.loading import load_checkpoint
from poster2plot.checkpoints.checksums import write_checksums
from tests.checkpoints.test_loading import tokens
print(tokens(load_checkpoint({POSTER2PLOT!r}, device="cpu")))
"""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
    }
    done = run(["-W", "error", "-c", code], env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == tokens(load_checkpoint(old, device="cpu"))
    assert (tmp_path / "home" / "hub" / "models--deepklarity--poster2plot").is_dir()


def test_importing_the_module_does_not_import_torch():
    code = "import sys, poster2plot.checkpoints.loading; print('torch' in sys.modules)"
    assert run(["-c", code]).stdout == "False\n"


def run(
    arguments: list[str], env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_too_little_memory_is_no_damage():
    """Whichever step of loading needs more: the weights' files, the weights, or their layout."""
    megabytes = [10, 150, 300, 500]
    script = f"""
import os, resource
from transformers import AutoTokenizer, VisionEncoderDecoderModel
from poster2plot import Poster2Plot
from poster2plot.errors import CheckpointError

with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
for spare in {megabytes}:
    if os.fork():  # each has a process of its own, and the imports were once
        os.wait()
        continue
    resource.setrlimit(resource.RLIMIT_AS, (used + spare * 2**20,) * 2)
    try:
        Poster2Plot.from_pretrained(device="cpu")
    except CheckpointError as error:
        print(error)
    break
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert len(said) == len(megabytes), done.stdout + done.stderr
    assert all(line.startswith("There is too little memory for") for line in said), said
