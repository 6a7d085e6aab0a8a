"""How much memory there is for posters that are decoded together."""

from __future__ import annotations

import os
from pathlib import Path

import torch

_SHARE = 4  # of the free memory, one part; the others are for pictures, visitors and the system
_CGROUP = Path("/sys/fs/cgroup")


def for_batches(device: torch.device) -> int:
    """Bytes that all batches may take together, of what is free now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // _SHARE
    return _free() // _SHARE


def _free() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    [free] = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    try:  # what a container may take
        most, taken = (
            int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):  # none, or no limit
        return free
    return min(free, max(0, most - taken))
