"""Posters in, candidate plots out: the library's one class."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from poster2plot.checkpoint import Checkpoint, load_checkpoint
from poster2plot.errors import SettingsError
from poster2plot.settings import GenerationSettings
from poster2plot.text import tidy

if TYPE_CHECKING:
    from PIL import Image
    from transformers import GenerationConfig, VisionEncoderDecoderModel


@dataclass(frozen=True)
class Candidate:
    """One plot for a poster.

    `score` is its log-probability under the (guided) model: in beam search divided by
    length ** length_penalty, otherwise the mean per token. `token_ids` are the tokens as generated.
    """

    text: str
    score: float
    token_ids: tuple[int, ...]


class Poster2Plot:
    """A captioner for posters around a stock `VisionEncoderDecoderModel`.

    ```python
    p2p = Poster2Plot.from_pretrained()
    [[best, *others]] = p2p.generate([Image.open("poster.jpg")])
    ```
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.name = checkpoint.name
        self.model: VisionEncoderDecoderModel = checkpoint.model
        self.tokenizer = checkpoint.tokenizer
        self.image_processor = checkpoint.image_processor
        self.device = checkpoint.device
        # Two decodings side by side fight for the same cores, and the seed is global to torch.
        self._one_at_a_time = threading.Lock()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path | None = None,
        device: str = "auto",
        *,
        revision: str | None = None,
    ) -> Poster2Plot:
        """Load a checkpoint: the bundled one (None), a local folder, or a repository of the Hub.

        `device` is "auto" (CUDA when there is one), "cpu" or "cuda". Raises `CheckpointError`.
        """
        return cls(load_checkpoint(name_or_path, device=device, revision=revision))

    def resolve(self, settings: GenerationSettings | None = None) -> GenerationSettings:
        """The settings with this model's own values where they leave the choice to it.

        Raises `SettingsError` where the model cannot follow them.
        """
        settings = settings or GenerationSettings()
        if settings.guidance is None:
            recommended = getattr(self.model.config, "recommended_guidance", 1.0)
            settings = replace(settings, guidance=recommended)
        longest = self.model.decoder.config.n_positions
        if settings.max_length > longest:
            raise SettingsError(
                f"This model writes at most {longest} tokens; lower the maximum length."
            )
        return settings

    def generate(
        self, images: Sequence[Image.Image], settings: GenerationSettings | None = None
    ) -> list[list[Candidate]]:
        """For each RGB image its candidate plots, best first.

        A poster's plots do not depend on the posters beside it. Threads that share a model wait
        for each other, poster by poster. Raises `SettingsError`.
        """
        settings = self.resolve(settings)
        plots = []
        for image in images:
            with self._one_at_a_time:
                plots.append(self._generate(image, settings))
        return plots

    def _generate(self, image: Image.Image, settings: GenerationSettings) -> list[Candidate]:
        import torch
        from transformers import LogitsProcessorList

        from poster2plot.guidance import PictureGuidance

        pixels = self.image_processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
        processors = LogitsProcessorList()
        if settings.guidance is not None and settings.guidance != 1:
            processors.append(PictureGuidance(self.model, settings.guidance))
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.inference_mode():
            torch.manual_seed(settings.seed)
            output = self.model.generate(
                pixel_values=pixels.to(self.device),
                generation_config=self._generation_config(settings),
                logits_processor=processors,
            )
            # Row by row: the tokens after the start token, up to the end token where there is one.
            rows = [self._until_end(ids) for ids in output.sequences[:, 1:].tolist()]
            if "sequences_scores" in output:
                scores = output.sequences_scores.tolist()
            else:
                steps = self.model.compute_transition_scores(
                    output.sequences, output.scores, normalize_logits=True
                )  # (candidates, steps)
                scores = [
                    float(row[: len(ids)].mean()) for row, ids in zip(steps, rows, strict=True)
                ]
        candidates = [
            Candidate(self._decode(ids), score, tuple(ids))
            for ids, score in zip(rows, scores, strict=True)
        ]
        return sorted(candidates, key=lambda candidate: -candidate.score)

    @property
    def _end(self) -> int:
        """The token that closes a plot."""
        end = self.model.generation_config.eos_token_id
        return int(end[0] if isinstance(end, list) else end)

    def _until_end(self, ids: list[int]) -> list[int]:
        return ids[: ids.index(self._end) + 1] if self._end in ids else ids

    def _decode(self, ids: list[int]) -> str:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return tidy(text, finished=ids[-1] == self._end)

    def _generation_config(self, settings: GenerationSettings) -> GenerationConfig:
        from transformers import GenerationConfig

        own = self.model.generation_config
        choice = (
            {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p}
            | {"top_k": 0, "num_beams": 1}
            if settings.sample
            else {"num_beams": settings.num_beams, "length_penalty": settings.length_penalty}
        )
        return GenerationConfig(
            max_length=settings.max_length,
            num_return_sequences=settings.num_candidates,
            no_repeat_ngram_size=settings.no_repeat_ngram_size,
            decoder_start_token_id=own.decoder_start_token_id,
            bos_token_id=own.bos_token_id,
            eos_token_id=own.eos_token_id,
            pad_token_id=own.pad_token_id,
            return_dict_in_generate=True,
            output_scores=True,
            **choice,
        )
