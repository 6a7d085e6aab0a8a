"""A tiny source of posters and plots, and tiny parts in the layouts of the Hub."""

import csv
import io
import tarfile
from pathlib import Path

from support.drawn_posters import draw_poster, encode
from support.toy_model import SENTENCES, tiny_image_processor, tiny_model, tiny_tokenizer

COLORS = ("navy", "darkred", "white", "green", "orange")
HEROES = ("The mayor", "A nurse", "An old pilot", "One twin", "A thief", "The baker")
PLOTS = [f"{hero} is told this: {plot}" for hero in HEROES for plot in SENTENCES]


def poster(i: int) -> bytes:
    """A poster of one of five colours, each of another size."""
    return encode(draw_poster(COLORS[i % 5], (60 + i, 90 + i)), "JPEG")


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_source(folder: Path) -> Path:
    """`pairs.csv`, a tar with its posters, and further plots of some titles."""
    rows = [
        {
            "id": f"tt{i:07}",
            "kind": ("movie", "tv")[i % 2],
            "title": f"Title {i}",
            "language": ("en", "fr", "")[i % 3],
            "text": plot,
        }
        for i, plot in enumerate(PLOTS)
    ]
    write_csv(folder / "pairs.csv", rows)
    with tarfile.open(folder / "posters.tar", "w") as tar:
        for i, row in enumerate(rows):
            member = tarfile.TarInfo(f"posters/{row['id']}.jpg")
            member.size = len(poster(i))
            tar.addfile(member, io.BytesIO(poster(i)))
    references = [{"id": row["id"], "text": f"In short: {row['text']}"} for row in rows[::2]]
    write_csv(folder / "references.csv", references)
    return folder


def write_data(source: Path, folder: Path) -> Path:
    """A source as a prepared dataset."""
    from poster2plot.training.dataset import prepare

    prepare(
        source / "pairs.csv",
        source,
        folder,
        references=source / "references.csv",
        shares=(0.2, 0.2),
    )
    return folder


def write_encoder(folder: Path) -> Path:
    """A ViT with its image processor."""
    tiny_model(seed=3).encoder.save_pretrained(folder)
    tiny_image_processor(folder)
    return folder


def write_decoder(folder: Path) -> Path:
    """A GPT-2 without cross-attention, with its tokenizer, which has a separator for titles."""
    from transformers import GPT2LMHeadModel

    config = tiny_model(titles=True).decoder.config.to_dict() | {
        "add_cross_attention": False,
        "is_decoder": False,
        "initializer_range": 0.1,
        # Dropout would be drawn in another order on two processes.
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }
    GPT2LMHeadModel(GPT2LMHeadModel.config_class(**config)).save_pretrained(folder)
    tiny_tokenizer(folder, titles=True)
    return folder
