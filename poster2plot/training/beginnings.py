"""What a run is begun with: an interrupted one goes on with nothing else."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from poster2plot.errors import InputError
from poster2plot.training.whole import whole_file

BEGUN = "begun.json"
_SHOWN = 12  # digits of a sum


def digest(rows: Iterable[object]) -> str:
    """What tells rows, bytes or anything that prints as what it is, from others."""
    whole = hashlib.sha256()
    for row in rows:
        whole.update(hashlib.sha256(row if isinstance(row, bytes) else repr(row).encode()).digest())
    return whole.hexdigest()[:_SHOWN]


def identity(name: str | Path, model: torch.nn.Module) -> str:
    """What tells a part from others: the last part of its name, and a digest of its weights.

    Those of the cross-attention do not count, which may be new and then follow from the seed, nor
    those of a pooler, which nothing reads.
    """
    weights = (
        row
        for key, weight in model.state_dict().items()
        if "cross" not in key and "pooler" not in key
        for row in (key, weight.detach().float().cpu().numpy().tobytes())
    )
    return f"{Path(name).name} ({digest(weights)})"


def note_beginning(out: Path, settings: Mapping[str, Any]) -> None:
    """Keep in `out` what a run is begun with; values are those of JSON."""
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / BEGUN) as part:
        part.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def hold_to_beginning(out: Path, settings: Mapping[str, Any]) -> None:
    """Raise `InputError` where a run that goes on in `out` was begun with other settings.

    One without a note of them, as earlier versions left it, may go on.
    """
    if not (out / BEGUN).is_file():
        return
    begun = json.loads((out / BEGUN).read_text(encoding="utf-8"))
    differing = [
        f"{name.replace('_', ' ')} {begun[name]} (now {value})"
        for name, value in settings.items()
        if name in begun and begun[name] != value
    ]
    if differing:
        raise InputError(
            f"The run in {str(out)!r} was begun with {', '.join(differing)}; start it again with "
            "what it was begun with, or name another --out."
        )
