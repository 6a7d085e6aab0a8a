"""From a trained captioner to the bundled format: half the bytes, and a filled-in model card."""

import json
import shutil
from collections import Counter
from pathlib import Path
from string import Template
from typing import Any

import torch
from huggingface_hub import HfApi
from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel

from poster2plot.checkpoints.checksums import write_checksums
from poster2plot.checkpoints.hub import LEXICON
from poster2plot.title_prompts import TitlePrompt
from poster2plot.training.compose import Captioner
from poster2plot.training.dataset import SPLITS, Dataset
from poster2plot.training.recipe import SAVED_NAMES
from poster2plot.training.train import finished_run
from poster2plot.training.whole import whole_folder

CARD = Path(__file__).with_name("card.md")
_PROMPT = """
The title, where it is known, is a prompt of the decoder: start · title · separator, after which the
plot comes (`title_prompt` in `config.json`). It is spelt as in catalogues, "The Lighthouse", not
"the lighthouse" or "Lighthouse, The (2019)".

```python
separator = model.config.title_prompt["separator_token_id"]
title = tokenizer(" The Lighthouse", add_special_tokens=False).input_ids
prompt = torch.tensor([[model.config.decoder_start_token_id, *title, separator]])
[ids] = model.generate(pixel_values, decoder_input_ids=prompt, max_new_tokens=64)
print(tokenizer.decode(ids[prompt.shape[1] :], skip_special_tokens=True))
```
"""


def export(
    trained: Path,
    out: Path,
    *,
    data: Path,
    figures: Path | None = None,
    notes: Path | None = None,
    licence: str = "other",
) -> None:
    """Write what `train` left in `trained` as an fp16 checkpoint of the stock classes, with a card.

    `data` is the prepared dataset it learnt from, `figures` the Markdown that `evaluate` wrote,
    `notes` further Markdown on how the model came about, `licence` an identifier of the Hub.
    Raises `InputError` where `trained` holds no finished run.
    """
    run = json.loads(finished_run(trained).read_text(encoding="utf-8"))
    model = VisionEncoderDecoderModel.from_pretrained(trained, dtype=torch.float16)
    # The stock class has a pooler that nothing reads, and warns if a checkpoint lacks its weights.
    pooler = getattr(model.encoder, "pooler", None)
    if isinstance(pooler, torch.nn.Module):
        for parameter in pooler.parameters():
            torch.nn.init.zeros_(parameter)
    for config in (model.config, model.config.encoder, model.config.decoder):
        config._name_or_path = ""  # else the paths of the parts on this machine
    captioner = Captioner(
        model, AutoTokenizer.from_pretrained(trained), AutoImageProcessor.from_pretrained(trained)
    )
    measured = figures.read_text(encoding="utf-8") if figures else "Not measured.\n"
    more = notes.read_text(encoding="utf-8") if notes else ""
    recipe = run["recipe"]
    if reinforced := run.get("reinforcement"):
        how = (f"{name} {value}" for name, value in reinforced.items() if name != "log")
        recipe = {**recipe, "reinforcement": ", ".join(how)}
    card = model_card(captioner, out.name, recipe, data, measured, more, licence)
    with whole_folder(out) as part:
        captioner.save(part)
        if (trained / LEXICON).is_file():
            shutil.copy(trained / LEXICON, part)
        (part / "README.md").write_text(card, encoding="utf-8")
        write_checksums(part)


def model_card(
    captioner: Captioner,
    name: str,
    recipe: dict[str, Any],
    data: Path,
    figures: str,
    notes: str,
    licence: str,
) -> str:
    """The card of a captioner, in Markdown with the Hub's metadata.

    `recipe` is that of `training.json`; `figures` and `notes` are Markdown. Raises `InputError`
    where `data` holds no prepared dataset.
    """
    dataset = Dataset.read(data)
    report = json.loads((data / "report.json").read_text(encoding="utf-8"))
    train = dataset.split("train")
    languages = Counter(pair.language or "unknown" for pair in train).most_common()
    shown, rest = languages[:12], sum(count for _, count in languages[12:])
    model = captioner.model
    encoder, decoder = model.config.encoder, model.config.decoder
    titled = TitlePrompt.of(model.config) is not None
    # Paths on this machine say nothing to a reader; the last part of a name does.
    parts = {"encoder", "decoder"}
    fields = {saved: field for field, saved in SAVED_NAMES.items()}
    return Template(CARD.read_text(encoding="utf-8")).substitute(
        name=name,
        also_title=" and its title" if titled else "",
        prompt=_PROMPT if titled else "",
        licence=licence,
        parameters=f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}",
        encoder=f"{encoder.model_type}, {encoder.hidden_size} wide",
        decoder=f"{decoder.model_type}, {decoder.n_layer} layers × {decoder.n_embd}, "
        f"{decoder.vocab_size:,} tokens",
        guidance=f"{model.config.recommended_guidance:g}",
        recipe=_table(
            ["setting", "value"],
            [
                [fields.get(key, key), Path(str(v)).name if key in parts else v]
                for key, v in recipe.items()
            ],
        ),
        splits=_table(["split", "pairs"], [[s, len(dataset.split(s))] for s in SPLITS]),
        dropped=", ".join(f"{count} {why}" for why, count in sorted(report["dropped"].items()))
        or "none",
        kinds=", ".join(
            f"{count:,} {kind or 'of unknown kind'}"
            for kind, count in Counter(pair.kind for pair in train).most_common()
        ),
        languages=_table(
            ["language of the title", "training pairs"],
            [list(row) for row in shown] + ([["others", rest]] if rest else []),
        ),
        figures=figures.strip(),
        notes=f"\n{notes.strip()}\n" if notes else "",
    )


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload an exported checkpoint to the Hub; returns the address of its commit."""
    api = HfApi()
    api.create_repo(repository, private=private, exist_ok=True)
    return str(api.upload_folder(repo_id=repository, folder_path=folder).commit_url)


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
