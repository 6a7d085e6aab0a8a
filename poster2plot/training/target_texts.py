"""Plot texts: which make good targets, and blocks of them for language modelling."""

import re
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from poster2plot.title_prompts import title_token_ids
from poster2plot.training.tables import read_rows

IGNORE_INDEX = -100  # the label that torch's cross-entropy skips
LONGEST = 230  # characters of a target plot
TITLE_TOKENS = 32  # of a prompt
_OPEN_BLOCKS = 32  # that wait for a plot which fills them

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’]?\s+(?=[\"'“‘]?[A-Z0-9])")
WORD = re.compile(r"[A-Za-zÀ-ÿ]+(?:['’-][A-Za-zÀ-ÿ]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+)[\"'“‘]?$")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
# Encyclopedia openings, cast lists and advertising teach the wrong register.
_WRONG_REGISTER = re.compile(
    r"\b(is|was) an? (\w+[- ]){0,3}((19|20)\d\d|television|TV|American|British)\b"
    r"|\b(19|20)\d\d (\w+[- ]){0,3}(film|series)\b"
    r"|^(With|Starring|Directed|Featuring)\b|https?:|www\.|\bepisodes?\b.*\baired\b",
)


def openings(text: str) -> list[str]:
    """The first sentence of a text, its first two, and so on to the whole, as they are taught."""
    return [*accumulate(_SENTENCE_END.split(_written_alike(text)), "{} {}".format)]


def _written_alike(text: str) -> str:
    return " ".join(text.replace("…", "...").split())


def premise(text: str, *, longest: int = LONGEST, max_names: int = 2) -> str | None:
    """The opening whole sentences of a plot, or None where the text makes a poor target.

    `longest` is in characters. Texts of the wrong register, in other scripts, unfinished, or with
    more than `max_names` capitalised words inside sentences (nobody can see a name on a poster)
    are refused.
    """
    text = _written_alike(text)
    if _WRONG_REGISTER.search(text) or re.search(r"[^\x20-\x7e‘’“”–—À-ÿ]", text):
        return None
    first, *longer = openings(text)
    kept = max((opening for opening in longer if len(opening) <= longest), key=len, default=first)
    if not 40 <= len(kept) <= longest or kept[-1] not in ".!?" or kept.endswith(".."):
        return None
    return kept if len(_NAME.findall(kept)) <= max_names else None


def title_words(title: str) -> frozenset[str]:
    """The words of a title in small letters."""
    return frozenset(word.lower() for word in WORD.findall(title))


def name_spans(text: str, title: str = "") -> list[tuple[int, int]]:
    """Where a text has names, as (first, last + 1) character: they cannot be seen on a poster.

    A name is a capitalised word inside a sentence, but for those of the title.
    """
    told = title_words(title)
    return [
        match.span()
        for match in WORD.finditer(text)
        if match.group()[0].isupper()
        and match.group() != "I"
        and match.group().lower().removesuffix("'s").removesuffix("’s") not in told
        and not _SENTENCE_START.search(text[: match.start()])
    ]


class Plot(NamedTuple):
    """A plot and the title that it is told under, which may be empty."""

    title: str
    text: str


def read_corpus(path: Path) -> list[Plot]:
    """Distinct premises of a `text` column, in a CSV file that may be gzipped.

    Each has the title of its first row, where the file has a `title` column. Raises `InputError`
    as `tables.read_rows` does.
    """
    rows = [(row.get("title", ""), premise(row["text"])) for row in read_rows(path, text=("text",))]
    titles = {text: title for title, text in reversed(rows) if text}
    return [Plot(titles[text], text) for text in dict.fromkeys(text for _, text in rows if text)]


def prompt_ids(tokenizer: PreTrainedTokenizerBase, titles: Sequence[str]) -> list[list[int]]:
    """Start, and where there is a title that and the separator: what each plot follows."""
    start, separator = tokenizer.eos_token_id, tokenizer.sep_token_id
    return [
        [start, *ids, separator] if ids else [start]
        for ids in title_token_ids(tokenizer, titles, max_tokens=TITLE_TOKENS)
    ]


PackedBlocks = dict[str, Tensor]  # input_ids, labels and position_ids, all (N, block size)


class Lesson(NamedTuple):
    """What a language model learns to write after a prompt, both as token ids."""

    prompt: list[int]
    target: list[int]


def lessons(
    tokenizer: PreTrainedTokenizerBase,
    plots: Sequence[Plot],
    *,
    max_length: int,
    seed: int,
    title_dropout: float = 0.0,
) -> list[Lesson]:
    """Plots in random order, each to be written after its title.

    A plot is start · title · separator · text · end, or start · text · end where it has no title,
    where its title is dropped, and where the tokenizer has no separator. Start and end are one
    token. A plot of more than `max_length` tokens is left out.
    """
    if not plots:
        return []
    random = Random(seed)
    order = random.sample(range(len(plots)), len(plots))
    end, separator = tokenizer.eos_token_id, tokenizer.sep_token_id
    texts = tokenizer([plots[i].text for i in order], add_special_tokens=False)["input_ids"]
    titles = [
        plots[i].title if separator is not None and random.random() >= title_dropout else ""
        for i in order
    ]
    return [
        Lesson(prompt, [*text, end])
        for prompt, text in zip(prompt_ids(tokenizer, titles), texts, strict=True)
        if len(prompt) + len(text) + 1 <= max_length
    ]


def packed_blocks(taught: Sequence[Lesson], *, block_size: int, padding: int) -> PackedBlocks:
    """Lessons packed into blocks of `block_size` tokens.

    Positions count from each start, by which transformers keeps the lessons of a block from
    seeing each other; only targets are labels. A lesson of more than `block_size` tokens is left
    out. Constant shapes keep the CPU's matrix kernels from being prepared anew at each step.
    """
    open_blocks: list[_Block] = []
    full: list[_Block] = []
    for prompt, target in taught:
        size = len(prompt) + len(target)
        if size > block_size:
            continue
        fitting = [block for block in open_blocks if len(block.ids) + size <= block_size]
        if fitting:
            block = max(fitting, key=lambda block: len(block.ids))
        else:
            block = _Block([], [], [])
            open_blocks.append(block)
        block.ids.extend([*prompt, *target])
        block.labels.extend([*[IGNORE_INDEX] * len(prompt), *target])
        block.positions.extend(range(size))
        if len(open_blocks) > _OPEN_BLOCKS:
            fullest = max(open_blocks, key=lambda block: len(block.ids))
            open_blocks.remove(fullest)
            full.append(fullest)
    blocks = [*full, *open_blocks]
    for block in blocks:
        missing = block_size - len(block.ids)
        block.ids.extend([padding] * missing)
        block.labels.extend([IGNORE_INDEX] * missing)
        block.positions.extend([0] * missing)
    return {
        "input_ids": torch.tensor([block.ids for block in blocks]),
        "labels": torch.tensor([block.labels for block in blocks]),
        "position_ids": torch.tensor([block.positions for block in blocks]),
    }


class _Block(NamedTuple):
    ids: list[int]
    labels: list[int]
    positions: list[int]
