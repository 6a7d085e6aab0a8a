"""What a training run shows of itself: a loss curve, and sample plots at each evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image
from transformers import (
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    VisionEncoderDecoderModel,
)

from poster2plot.checkpoints.loading import Checkpoint
from poster2plot.pipeline import Poster2Plot
from poster2plot.training.compose import Captioner
from poster2plot.training.dataset import Pair
from poster2plot.training.evaluation.contact_sheet import Entry, contact_sheet


class LossCurve(TrainerCallback):  # type: ignore[misc]
    """Draws training and validation loss over the steps to `loss.png` after each evaluation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_evaluate(self, _: TrainingArguments, state: TrainerState, *__: Any, **___: Any) -> None:
        if not state.is_world_process_zero:
            return
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for key, label in (("loss", "training"), ("eval_loss", "validation")):
            points = [(log["step"], log[key]) for log in state.log_history if key in log]
            if points:
                axes.plot(*zip(*points, strict=True), label=label, marker="." * (len(points) < 50))
        axes.set_xlabel("step")
        axes.set_ylabel("loss, nats a token")
        axes.legend()
        axes.grid(alpha=0.3)
        figure.savefig(self._folder / "loss.png", dpi=120)


class SamplePlots(TrainerCallback):  # type: ignore[misc]
    """Writes plots for some posters and keeps them beside these in `samples-<step>.png`."""

    def __init__(self, folder: Path, captioner: Captioner, pairs: Sequence[Pair]) -> None:
        self._folder, self._captioner, self._pairs = folder, captioner, pairs

    def on_evaluate(self, _: TrainingArguments, state: TrainerState, *__: Any, **___: Any) -> None:
        if not state.is_world_process_zero:
            return
        model = self._captioner.model
        # Not a deepcopy, which would follow what the Trainer hangs on the model to open files.
        copy = VisionEncoderDecoderModel(config=model.config).to(model.device).eval()
        # Not strict: the stock class has a pooler, which nothing reads.
        copy.load_state_dict(model.state_dict(), strict=False)
        copy.generation_config = model.generation_config
        p2p = Poster2Plot(
            Checkpoint(
                "in training",
                copy,
                self._captioner.tokenizer,
                self._captioner.image_processor,
                model.device,
            )
        )
        posters: list[Image.Image] = [pair.picture.read() for pair in self._pairs]
        written = p2p.generate(posters, titles=[pair.title for pair in self._pairs])
        entries = [
            Entry(poster, pair.title or pair.id, (("written", best.text), ("true", pair.text)))
            for poster, pair, (best, *_) in zip(posters, self._pairs, written, strict=True)
        ]
        contact_sheet(entries).save(self._folder / f"samples-{state.global_step}.png")
