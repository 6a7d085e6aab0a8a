"""Training killed ten times: `python -m reliability.training`.

A tiny captioner learns from thirty drawn posters, once without interruption and once with ten
SIGKILLs at random moments, from the start of the process to the writing of a checkpoint, each
followed by the same command again. Both have to end with the same weights, bit for bit, and the
same losses.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from poster2plot.training.train import last_checkpoint
from support.training_data import write_data, write_decoder, write_encoder, write_source

KILLS = 10
SECONDS = (4.0, 14.0)  # of a run before it is killed; half of that goes into imports
RECIPE = (
    *("--batch", "4", "--learning-rate", "0.003", "--samples", "2", "--epochs", "400"),
    *("--word-dropout", "0.1", "--conditioning-dropout", "0.2", "--pad-to-longest"),
    *("--evaluate-every", "50", "--scheduler", "cosine"),
)


def main() -> int:
    """Print each kill; the exit status is 1 if the results differ."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("source", "data", "encoder", "decoder"):
            (folder / part).mkdir()
        data = write_data(write_source(folder / "source"), folder / "data")
        command = [
            *(sys.executable, "-m", "poster2plot.training", "train", "--data", str(data)),
            *("--encoder", str(write_encoder(folder / "encoder"))),
            *("--decoder", str(write_decoder(folder / "decoder"))),
            *RECIPE,
        ]
        whole, killed = folder / "whole", folder / "killed"
        _run([*command, "--out", str(whole)])
        print("| kill | after | checkpoint then |\n|---|---|---|")
        chance, kills = random.Random(0), 0
        while kills < KILLS:
            seconds = chance.uniform(*SECONDS)
            try:
                _run([*command, "--out", str(killed)], seconds)
                break
            except subprocess.TimeoutExpired:
                kills += 1
                there = last_checkpoint(killed)
                print(f"| {kills} | {seconds:.1f} s | {Path(there).name if there else 'none'} |")
        _run([*command, "--out", str(killed)])
        same = _weights(whole) == _weights(killed) and _losses(whole) == _losses(killed)
    print(f"\n{kills} kills, {'the same' if same else 'ANOTHER'} result")
    return int(not same or kills < KILLS)


def _run(command: list[str], seconds: float | None = None) -> None:
    """Train, or be killed after so long. Raises `TimeoutExpired` then."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            raise
        if process.returncode:
            raise RuntimeError(errors.decode())


def _weights(out: Path) -> dict[str, bytes]:
    weights = load_file(out / "model.safetensors")
    return {name: tensor.view(torch.uint8).numpy().tobytes() for name, tensor in weights.items()}


def _losses(out: Path) -> list[float]:
    log = json.loads((out / "training.json").read_text(encoding="utf-8"))["log"]
    return [entry["eval_loss"] for entry in log if "eval_loss" in entry]


if __name__ == "__main__":
    sys.exit(main())
