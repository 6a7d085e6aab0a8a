"""Plot texts and poster features: reading, cleaning, and batches of fixed shape."""

import csv
import gzip
import io
import itertools
import re
import tarfile
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from transformers import GPT2Tokenizer, ViTImageProcessor, ViTModel

IGNORED = -100  # label that cross-entropy skips

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’]?\s+(?=[\"'“‘]?[A-Z0-9])")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
# Encyclopedia openings, cast lists and advertising teach the wrong register.
_WRONG_REGISTER = re.compile(
    r"\b(is|was) an? (\w+[- ]){0,3}((19|20)\d\d|television|TV|American|British)\b"
    r"|\b(19|20)\d\d (\w+[- ]){0,3}(film|series)\b"
    r"|^(With|Starring|Directed|Featuring)\b|https?:|www\.|\bepisodes?\b.*\baired\b",
)


def premise(text: str, *, longest: int, most_names: int = 2) -> str | None:
    """The opening whole sentences of a plot, or None where the text makes a poor target.

    `longest` is in characters. Texts of the wrong register, in other scripts, unfinished, or with
    more than `most_names` capitalised words inside sentences (nobody can see a name on a poster)
    are refused.
    """
    text = " ".join(text.replace("…", "...").split())
    if _WRONG_REGISTER.search(text) or re.search(r"[^\x20-\x7e‘’“”–—À-ÿ]", text):
        return None
    kept = ""
    for sentence in _SENTENCE_END.split(text):
        longer = f"{kept} {sentence}".strip()
        if kept and len(longer) > longest:
            break
        kept = longer
    if not 40 <= len(kept) <= longest or kept[-1] not in ".!?" or kept.endswith(".."):
        return None
    return kept if len(_NAME.findall(kept)) <= most_names else None


@dataclass(frozen=True)
class Pair:
    """A poster's id and the plot to learn for it."""

    id: str
    text: str


def read_pairs(folder: Path, split: str, *, longest: int) -> list[Pair]:
    """Usable pairs of a split ("train", "valid", "test") of `pairs.csv`, in the file's order."""
    with (folder / "pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    texts = (premise(row["text"], longest=longest) for row in rows)
    return [Pair(row["id"], text) for row, text in zip(rows, texts, strict=True) if text]


def read_corpus(folder: Path, *, longest: int) -> list[str]:
    """Distinct usable texts of `corpus.csv.gz`."""
    with gzip.open(folder / "corpus.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] != "simatwa_truncated"]
    texts = (premise(row["text"], longest=longest) for row in rows)
    return list(dict.fromkeys(text for text in texts if text))


def read_posters(folder: Path, ids: Container[str]) -> Iterator[tuple[str, Image.Image]]:
    """The posters of `posters-NN.tar` that `ids` names, as (id, RGB image)."""
    for path in sorted(folder.glob("posters-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                id = Path(member.name).stem
                file = tar.extractfile(member) if id in ids else None
                if file is not None:
                    yield id, Image.open(io.BytesIO(file.read())).convert("RGB")


@torch.inference_mode()
def compute_features(
    encoder: ViTModel,
    processor: ViTImageProcessor,
    posters: Iterator[tuple[str, Image.Image]],
    out: Path,
    *,
    count: int,
    batch: int = 32,
) -> None:
    """Write the patch features of `count` posters before the last LayerNorm, for a frozen encoder.

    `out` becomes a float16 array (count, patches + 1, width); `out` with the suffix `.ids` lists
    the ids in its order.
    """
    norm, encoder.layernorm = encoder.layernorm, torch.nn.Identity()
    ids: list[str] = []
    features: npt.NDArray[np.float16] | None = None
    while chunk := list(itertools.islice(posters, batch)):
        pixels = processor([image for _, image in chunk], return_tensors="pt")["pixel_values"]
        hidden = encoder(pixels).last_hidden_state  # (B, patches + 1, width)
        if features is None:
            shape = (count, *hidden.shape[1:])
            features = np.lib.format.open_memmap(out, "w+", np.float16, shape)
        features[len(ids) : len(ids) + len(chunk)] = hidden.half().numpy()
        ids += [id for id, _ in chunk]
        if len(ids) % (batch * 20) == 0:
            print(f"features of {len(ids)} of {count} posters", flush=True)
    encoder.layernorm = norm
    out.with_suffix(".ids").write_text("\n".join(ids), encoding="utf-8")


class Features:
    """Precomputed encoder states by poster id."""

    def __init__(self, path: Path) -> None:
        self._array = np.load(path, mmap_mode="r")
        ids = path.with_suffix(".ids").read_text(encoding="utf-8").split("\n")
        self._row = {id: row for row, id in enumerate(ids)}

    def __contains__(self, id: str) -> bool:
        return id in self._row

    def __getitem__(self, ids: Sequence[str]) -> Tensor:
        """States before the last LayerNorm, float32 (B, patches + 1, width)."""
        return torch.from_numpy(self._array[[self._row[id] for id in ids]]).float()


def packed_blocks(
    tokenizer: GPT2Tokenizer, texts: Sequence[str], *, length: int, seed: int
) -> Tensor:
    """Texts in random order as one stream, each opened and closed by EOS, in (N, length) ids.

    Constant shapes keep the CPU's matrix kernels from being prepared anew at each step.
    """
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed))
    eos = tokenizer.eos_token_id
    stream = [eos]
    for ids in tokenizer([texts[i] for i in order])["input_ids"]:
        stream += [*ids, eos]
    return torch.tensor(stream[: len(stream) // length * length]).view(-1, length)


def pair_batches(
    tokenizer: GPT2Tokenizer,
    pairs: Sequence[Pair],
    *,
    batch: int,
    longest: int,
    seed: int,
) -> Iterator[tuple[list[str], Tensor]]:
    """One pass over the pairs as (ids, labels); labels (batch, T) end in EOS, then IGNORED.

    Batches hold texts of like length; T is a multiple of 8, at most `longest`. Texts that do not
    fit, and the pairs left over from the last full batch, are left out of this pass.
    """
    generator = torch.Generator().manual_seed(seed)
    encoded = [
        (pair.id, [*ids, tokenizer.eos_token_id])
        for pair, ids in zip(pairs, tokenizer([p.text for p in pairs])["input_ids"], strict=True)
    ]
    encoded = [item for item in encoded if len(item[1]) <= longest]
    noise = torch.rand(len(encoded), generator=generator) * 8
    by_length = sorted(range(len(encoded)), key=lambda i: len(encoded[i][1]) + float(noise[i]))
    full = [by_length[i : i + batch] for i in range(0, len(by_length) - batch + 1, batch)]
    for i in torch.randperm(len(full), generator=generator).tolist():
        rows = [encoded[j] for j in full[i]]
        width = -(-max(len(ids) for _, ids in rows) // 8) * 8
        labels = torch.full((batch, width), IGNORED)
        for row, (_, ids) in enumerate(rows):
            labels[row, : len(ids)] = torch.tensor(ids)
        yield [id for id, _ in rows], labels
