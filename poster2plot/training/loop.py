"""One optimisation loop for both phases: AdamW, a cosine schedule, checkpoints, resume."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn."""

    steps: int
    warmup: int = 200
    floor: float = 0.05  # last learning rate as a share of the highest
    evaluate_every: int = 250
    save_every: int = 250
    clip: float = 1.0  # gradient norm


def optimise(
    model: torch.nn.Module,
    groups: list[tuple[list[Parameter], float]],
    batches: Callable[[int], Iterator[Batch]],
    loss: Callable[[Batch], Tensor],
    evaluate: Callable[[], str],
    schedule: Schedule,
    state: Path,
) -> None:
    """Minimise `loss` over `batches(pass_number)`, again and again until `schedule.steps`.

    `groups` pairs parameters with their highest learning rate. Everything needed to go on after a
    kill lies in the file `state`; a run that finds it resumes at the same batch with the same
    random numbers.
    """
    optimizer = AdamW(
        [{"params": parameters, "lr": rate} for parameters, rate in groups],
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    span = max(1, schedule.steps - schedule.warmup)

    def rate(step: int) -> float:
        if step < schedule.warmup:
            return (step + 1) / schedule.warmup
        done = (step - schedule.warmup) / span
        return schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * done))

    scheduler = LambdaLR(optimizer, rate)
    step, skipped = 0, 0
    number, position = 0, 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        torch.set_rng_state(saved["random"])
        step, number, position = saved["step"], saved["pass"], saved["position"]
        skipped = position

    model.train()
    average, started = 0.0, time.monotonic()
    while step < schedule.steps:
        for position, batch in enumerate(batches(number), 1):
            if position <= skipped:
                continue
            value = loss(batch)
            optimizer.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
            optimizer.step()
            scheduler.step()
            step += 1
            average += (float(value.detach()) - average) * (0.02 if average else 1)
            if step % 50 == 0:
                seconds = time.monotonic() - started
                print(f"step {step} pass {number} loss {average:.3f} {seconds:.0f} s", flush=True)
            if step % schedule.evaluate_every == 0 or step == schedule.steps:
                model.eval()
                print(f"step {step} {evaluate()}", flush=True)
                model.train()
            if step % schedule.save_every == 0 or step == schedule.steps:
                _save(state, model, optimizer, scheduler, step, number, position)
            if step == schedule.steps:
                return
        number, skipped = number + 1, 0


def _save(
    state: Path,
    model: torch.nn.Module,
    optimizer: AdamW,
    scheduler: LambdaLR,
    step: int,
    number: int,
    position: int,
) -> None:
    """Write all of it or nothing: a kill while saving leaves the file of before."""
    part = state.with_suffix(".part")
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "random": torch.get_rng_state(),
            "step": step,
            "pass": number,
            "position": position,
        },
        part,
    )
    part.replace(state)
