"""Results that are there as a whole or not at all, so that what is there tells what is done."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers.utils import CONFIG_NAME


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` when it is complete."""
    part = path.with_name(f"part-{path.name}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Where to write a checkpoint whose files come to `folder` when all are complete.

    Its `config.json` comes last: without it nothing takes the folder for a checkpoint.
    """
    part = folder / "part"  # not beside it, which may be on another disk
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        for stale in folder.glob("model*.safetensors*"):  # there may be another number of shards
            stale.unlink()
        for path in sorted(part.iterdir(), key=lambda path: path.name == CONFIG_NAME):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(part)
