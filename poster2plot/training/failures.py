"""What a user can cause and a library tells in its own way, in one sentence."""

import shutil
from pathlib import Path

from safetensors import SafetensorError

from poster2plot.errors import is_out_of_memory

_OF_PYTORCHS_FILES = "inline_container.cc"  # where PyTorch fails on a full disk, by RuntimeError


def sentence(error: BaseException, out: Path | None) -> str | None:
    """What happened and what helps, or None for a fault of this program.

    `out` is where the command writes: safetensors and PyTorch do not name their file.
    """
    if is_out_of_memory(error):
        return "There is too little memory; take a smaller --batch or close other programs."
    if isinstance(error, shutil.Error):  # of each file that is not copied, what and why
        return f"Not all files can be copied: {error.args[0][0][-1]}."
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{str(error.filename)!r} cannot be read or written: {error.strerror}."
    if isinstance(error, OSError | ValueError):
        return str(error)
    if isinstance(error, SafetensorError) or _OF_PYTORCHS_FILES in str(error):
        return (
            f"Weights cannot be read, or written in {str(out)!r}: {str(error).rstrip('.')}; "
            "is the disk full, or a file damaged?"
        )
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("poster2plot"):
        return f"Training needs the package {error.name}; `pip install 'poster2plot[training]'`."
    return None
