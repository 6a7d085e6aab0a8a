"""Fixtures shared by the tests: pictures drawn on the spot and tiny checkpoints."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import s3fs
import torch
from moto.server import ThreadedMotoServer

from poster2plot import Poster2Plot
from support.drawn_posters import draw_poster, encode
from support.toy_model import save_tiny_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete tiny checkpoint."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Poster2Plot:
    """In fp32 one worker decodes on any machine, so what waits for it is known."""
    return Poster2Plot.from_pretrained(tiny_folder, "cpu", precision="fp32")


@pytest.fixture(scope="session")
def titled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete tiny checkpoint that takes titles."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "titled", titles=True)


@pytest.fixture(scope="session")
def titled(titled_folder: Path) -> Poster2Plot:
    """One that takes titles."""
    return Poster2Plot.from_pretrained(titled_folder, "cpu", precision="fp32")


@pytest.fixture(scope="session")
def bundled() -> Poster2Plot:
    """The model of the repository."""
    return Poster2Plot.from_pretrained(device="cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    """PyTorch has two, as on a machine of two cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The URL of a bucket of an object store on this machine, which speaks Amazon's protocol."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    bucket = f"bucket-{uuid.uuid4().hex}"  # the servers of one process share what they hold
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "none")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "none")
        environment.setenv("no_proxy", host)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(bucket)
        yield f"s3://{bucket}"
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def poster_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a poster and returns its path."""

    def write(name: str = "poster.png", color: str = "navy") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(draw_poster(color)))
        return path

    return write


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, cache or Hub of the developer's takes part in a test."""
    for name in ("TMDB_API_KEY", "OMDB_API_KEY", "POSTER2PLOT_IMDB_SUGGESTIONS", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("POSTER2PLOT_MODEL", raising=False)
    monkeypatch.setenv("POSTER2PLOT_CACHE_DIR", str(tmp_path / "cache"))
