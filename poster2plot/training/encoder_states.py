"""Encoder states on disk: a frozen encoder reads each poster once, however long training lasts."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from poster2plot.errors import InputError
from poster2plot.training.dataset import Pair
from poster2plot.training.whole import whole_file

BATCH = 32  # posters at once


class EncoderStates:
    """Encoder states (S, width) by poster id, float16 on disk, as `save_encoder_states` wrote them.

    Raises `OSError` for a path that cannot be read, `InputError` for a file of something else or a
    poster that is not there.
    """

    def __init__(self, *paths: Path) -> None:
        self._rows: dict[str, npt.NDArray[np.float16]] = {}
        for path in paths:
            try:
                array = np.load(path, mmap_mode="r")
                ids = path.with_suffix(".ids").read_text(encoding="utf-8").split("\n")
                self._rows |= zip(ids, array, strict=True)
            except (ValueError, EOFError, TypeError) as error:
                raise InputError(
                    f"{str(path)!r} holds no whole encoder states; make them anew."
                ) from error

    def __getitem__(self, id: str) -> Tensor:
        """Encoder states of one poster, float32 (S, width)."""
        self.check([id])
        return torch.from_numpy(self._rows[id].astype(np.float32))

    def check(self, ids: Iterable[str]) -> None:
        """Raises `InputError` where a poster is not there."""
        for id in ids:
            if id not in self._rows:
                raise InputError(
                    f"There are no encoder states of the poster {id!r}; make them anew with "
                    "`encoder-states` for this dataset."
                )


def save_encoder_states(
    path: Path, pairs: Sequence[Pair], encode: Callable[[Sequence[Pair]], Tensor]
) -> None:
    """Write what `encode` makes of all pairs, (B, S, width), to `path`.

    The ids of the pairs go to the same path with the suffix `.ids`, when the states are complete.
    """
    ids = path.with_suffix(".ids")
    ids.unlink(missing_ok=True)
    array: npt.NDArray[np.float16] | None = None
    for start in range(0, len(pairs), BATCH):
        with torch.inference_mode():
            encoded = encode(pairs[start : start + BATCH]).half().cpu().numpy()
        if array is None:
            shape = (len(pairs), *encoded.shape[1:])
            array = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        array[start : start + len(encoded)] = encoded
        if start % (20 * BATCH) == 0:
            print(f"states of {start + len(encoded)} of {len(pairs)} posters", flush=True)
    with whole_file(ids) as part:
        part.write_text("\n".join(pair.id for pair in pairs), encoding="utf-8")
