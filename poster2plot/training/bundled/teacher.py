"""A larger language model that learns to write plots after titles and plots of others."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import torch

from poster2plot.title_prompts import clean_title
from poster2plot.training.beginnings import digest, identity
from poster2plot.training.bundled.pretrain import Blocks, train_on_blocks
from poster2plot.training.evaluation.fluency import load_language_model
from poster2plot.training.target_texts import Lesson, PackedBlocks, Plot, packed_blocks

HINTS = 2  # plots of others that the teacher is told at once
BLOCK_SIZE = 512  # tokens
HELD_OUT = 500  # plots on which the loss is measured
REQUESTS_AT_ONCE = {"cpu": 64, "cuda": 4096}
LONGEST = 64  # tokens of a plot
TEMPERATURE, TOP_K = 0.8, 50


def some(hints: Sequence[str], chance: Random) -> list[str]:
    """`HINTS` of these, at random."""
    return chance.sample(list(hints), min(HINTS, len(hints)))


def request(title: str, hints: Sequence[str]) -> str:
    """What the teacher is asked with; its plot follows after a space."""
    lines = [f"Title: {clean_title(title)}"] if title else []
    return "\n".join([*lines, *(f"Alike: {hint}" for hint in hints), "Plot:"])


class Teacher:
    """A causal language model, by name, path, or a GGUF file."""

    def __init__(self, name_or_path: str | Path, device: str) -> None:
        self._tokenizer, model = load_language_model(name_or_path)
        self._model, self._identity = model.to(device), identity(name_or_path, model)

    def learn(
        self,
        plots: Sequence[Plot],
        hints: Sequence[Sequence[str]],
        out: Path,
        *,
        epochs: int,
        batch: int,
        learning_rate: float,
        bf16: bool,
        seed: int,
    ) -> None:
        """Fine-tune on plots after their titles, and after two of the `hints` that each has.

        A title is left out of a few. `batch` counts blocks of `BLOCK_SIZE` tokens. The model stays
        in `out`, where an interrupted run goes on. Raises `ValueError` for fewer than two plots.
        """
        chance = Random(seed)
        order = chance.sample(range(len(plots)), len(plots))
        if len(plots) < 2:
            raise ValueError("Too few plain plots to learn from.")
        split = min(HELD_OUT, -(-len(order) // 10))
        held_out, learnt = order[:split], order[split:]

        def packed(rows: Sequence[int]) -> PackedBlocks:
            rows = chance.sample(rows, len(rows))
            asked = [
                request(plots[row].title if chance.random() > 0.1 else "", some(hints[row], chance))
                for row in rows
            ]
            taught = self._lessons(asked, [plots[row].text for row in rows])
            return packed_blocks(
                taught, block_size=BLOCK_SIZE, padding=self._tokenizer.eos_token_id
            )

        train_on_blocks(
            self._model,
            Blocks(*(packed(learnt) for _ in range(epochs))),
            {"plots": Blocks(packed(held_out))},
            out,
            learning_rate=learning_rate,
            batch=batch,
            bf16=bf16,
            settings={
                "teacher": self._identity,
                "epochs": epochs,
                "seed": seed,
                "plots": digest(zip(plots, hints, strict=True)),
            },
        )
        self._tokenizer.save_pretrained(out)

    def _lessons(self, asked: list[str], texts: list[str]) -> list[Lesson]:
        start, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        prompts, targets = (
            self._tokenizer(column, add_special_tokens=False)["input_ids"]
            for column in (asked, [f" {text}" for text in texts])
        )
        return [
            Lesson([start, *prompt], [*target, end])
            for prompt, target in zip(prompts, targets, strict=True)
        ]

    @torch.inference_mode()
    def write(self, requests: Sequence[str], *, seed: int) -> Iterator[tuple[int, str]]:
        """A plot for each request, as (its row, plot), those of like length together."""
        tokenizer, model = self._tokenizer, self._model.eval()
        if model.device.type == "cuda":
            model = model.bfloat16()
        torch.manual_seed(seed)
        order = sorted(range(len(requests)), key=lambda row: len(requests[row]))
        start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
        batch = REQUESTS_AT_ONCE[model.device.type]
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            ids = tokenizer([requests[row] for row in rows], add_special_tokens=False)["input_ids"]
            longest = max(map(len, ids))
            padding = [longest - len(row) for row in ids]
            written = model.generate(
                torch.tensor(
                    [
                        [end] * missing + [start, *row]
                        for missing, row in zip(padding, ids, strict=True)
                    ],
                    device=model.device,
                ),
                attention_mask=torch.tensor(
                    [[0] * missing + [1] * (longest - missing + 1) for missing in padding],
                    device=model.device,
                ),
                do_sample=True,
                temperature=TEMPERATURE,
                top_k=TOP_K,
                top_p=1.0,
                max_new_tokens=LONGEST,
                pad_token_id=end,
                eos_token_id=end,
            )
            texts = tokenizer.batch_decode(written[:, longest + 1 :], skip_special_tokens=True)
            print(f"{first + len(rows)} of {len(order)} plots", flush=True)
            yield from zip(rows, (" ".join(text.split()) for text in texts), strict=True)
