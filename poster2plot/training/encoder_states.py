"""Encoder states on disk: a frozen encoder reads each poster once, however long training lasts."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from poster2plot.training.dataset import Pair

BATCH = 32  # posters at once


class States:
    """Encoder states by poster id, float16 on disk."""

    def __init__(self, *paths: Path) -> None:
        self._rows: dict[str, npt.NDArray[np.float16]] = {}
        for path in paths:
            array = np.load(path, mmap_mode="r")
            ids = path.with_suffix(".ids").read_text(encoding="utf-8").split("\n")
            self._rows |= zip(ids, array, strict=True)

    def __getitem__(self, id: str) -> Tensor:
        """States of one poster, float32 (S, width)."""
        return torch.from_numpy(self._rows[id].astype(np.float32))


def save_states(
    path: Path, pairs: Sequence[Pair], states: Callable[[Sequence[Pair]], Tensor]
) -> None:
    """Write `states` (B, S, width) of all pairs to `path`, their ids to the same with `.ids`."""
    array: npt.NDArray[np.float16] | None = None
    for start in range(0, len(pairs), BATCH):
        with torch.inference_mode():
            found = states(pairs[start : start + BATCH]).half().cpu().numpy()
        if array is None:
            shape = (len(pairs), *found.shape[1:])
            array = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        array[start : start + len(found)] = found
        if start % (20 * BATCH) == 0:
            print(f"states of {start + len(found)} of {len(pairs)} posters", flush=True)
    path.with_suffix(".ids").write_text("\n".join(pair.id for pair in pairs), encoding="utf-8")
