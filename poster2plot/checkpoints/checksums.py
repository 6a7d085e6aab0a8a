"""SHA-256 sums of a checkpoint's files, in the format of `sha256sum`, beside the files."""

import hashlib
from pathlib import Path

from poster2plot.errors import CheckpointError

CHECKSUMS = "SHA256SUMS"
_SHOWN = 12  # digits of a sum, as many as anyone compares


def write_checksums(folder: Path) -> None:
    """Write the sums of what loading reads: every file of `folder` but its card."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    lines = [
        f"{_digest(path)}  {path.name}\n"
        for path in files
        if path.name not in (CHECKSUMS, "README.md")
    ]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="ascii")


def check_sums(folder: Path, name: str) -> None:
    """Compare the files of checkpoint `name` with their sums, if there are any.

    Raises `CheckpointError` for a file that is missing, cut off or changed.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return
    try:
        lines = [line.split("  ") for line in path.read_text("ascii").splitlines()]
        listed = [(file, wanted) for wanted, file in lines]
    except ValueError as error:
        raise CheckpointError(f"The {CHECKSUMS} of {name!r} is damaged; get it again.") from error
    for file, wanted in listed:
        # A sum is of a file in the folder: no path leads out of it.
        found = _digest(folder / Path(file).name)
        if found != wanted:
            raise CheckpointError(
                f"{file!r} of {name!r} is damaged or not the original: its SHA-256 is "
                f"{found[:_SHOWN]}… instead of {wanted[:_SHOWN]}…; get it again."
            )


def folder_digest(folder: Path) -> str:
    """A SHA-256 sum over every file of a checkpoint but its card and its sums: what it is.

    Raises `CheckpointError` for a file that cannot be read.
    """
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in (CHECKSUMS, "README.md", ".gitattributes"):
            digest = _digest(path)
            if digest == "missing":
                raise CheckpointError(f"{str(path)!r} cannot be read; check who may.")
            whole.update(f"{digest}  {path.name}\n".encode())
    return whole.hexdigest()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "missing"
