"""Plot texts: which make good targets, and blocks of them for language modelling."""

import csv
import gzip
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

LONGEST = 230  # characters of a target plot

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’]?\s+(?=[\"'“‘]?[A-Z0-9])")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
# Encyclopedia openings, cast lists and advertising teach the wrong register.
_WRONG_REGISTER = re.compile(
    r"\b(is|was) an? (\w+[- ]){0,3}((19|20)\d\d|television|TV|American|British)\b"
    r"|\b(19|20)\d\d (\w+[- ]){0,3}(film|series)\b"
    r"|^(With|Starring|Directed|Featuring)\b|https?:|www\.|\bepisodes?\b.*\baired\b",
)


def premise(text: str, *, longest: int = LONGEST, most_names: int = 2) -> str | None:
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


def read_corpus(path: Path) -> list[str]:
    """Distinct premises of a `text` column, in a CSV file that may be gzipped."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        texts = [premise(row["text"]) for row in csv.DictReader(file)]
    return list(dict.fromkeys(text for text in texts if text))


def packed_blocks(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, length: int, seed: int
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
