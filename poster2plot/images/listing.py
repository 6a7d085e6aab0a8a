"""The pictures of a folder, by their names alone."""

import os
import re
from pathlib import Path

from poster2plot.errors import InputError
from poster2plot.images.limits import IMAGE_SUFFIXES


def image_files(folder: Path) -> list[Path]:
    """List the pictures in a folder and below it, by suffix and in natural order (2 before 10).

    Hidden files and folders are skipped, links are followed unless they lead back to where they
    are. A folder below that may not be read stands for its pictures. Raises InputError where there
    is no folder, it may not be read, or holds no picture.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder at {str(folder)!r}; check the path.")
    found: list[Path] = []

    def leads_back(path: Path) -> bool:
        inside = (above for above in path.parents if above.is_relative_to(folder))
        return path.is_symlink() and any(above.samefile(path) for above in inside)

    def take_unreadable(error: OSError) -> None:
        path = Path(error.filename)
        if path == folder:
            raise InputError(f"The folder {str(folder)!r} may not be read; change its permissions.")
        found.append(path)

    for parent, folders, files in os.walk(folder, onerror=take_unreadable, followlinks=True):
        shown = [child for child in folders if not child.startswith(".")]
        folders[:] = [child for child in shown if not leads_back(Path(parent, child))]
        paths = [Path(parent, file) for file in files if not file.startswith(".")]
        found += [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise InputError(
            f"The folder {str(folder)!r} holds no picture; "
            f"put files in it that end in {', '.join(IMAGE_SUFFIXES)}."
        )
    return sorted(found, key=_natural_key)


def _natural_key(path: Path) -> tuple[list[list[str | int]], str]:
    # re.split puts text at even and digits at odd places, so like is compared with like
    parts = [re.split(r"(\d+)", part.casefold()) for part in path.parts]
    return [[int(p) if i % 2 else p for i, p in enumerate(part)] for part in parts], str(path)
