import gzip
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import GPT2Tokenizer

from poster2plot.errors import InputError
from poster2plot.training.target_texts import (
    IGNORE_INDEX,
    Plot,
    lessons,
    name_spans,
    packed_blocks,
    premise,
    read_corpus,
)
from support.toy_model import END, SENTENCES, tiny_model, tiny_tokenizer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "A cop returns to his home town after many years.  He finds it gone.",
            "A cop returns to his home town after many years. He finds it gone.",
        ),
        (
            "A cop returns to the town he left as a boy. He waits. He waits. He waits. He waits.",
            "A cop returns to the town he left as a boy. He waits. He waits. He waits.",
        ),
        ("Too short.", None),
        ("A cop returns to his home town after many years and finds", None),
        ("Heat is a 1995 American crime film about a cop who hunts a thief.", None),
        ("With Tom Jones, Ann Miller, Bob Stone and many other people you know.", None),
        ("Полицейский возвращается в родной город через много лет.", None),
        ("One day young Jack meets old Rose, and Rose meets the great Cal of Boston.", None),
    ],
)
def test_premise(text: str, expected: str | None):
    assert premise(text, longest=80) == expected


PLOTS = [Plot(f"Title {i}", sentence) for i, sentence in enumerate(SENTENCES)]


def separated() -> GPT2Tokenizer:
    """A tokenizer that has a separator between title and plot."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"sep_token": "<|separator|>"})
    return tokenizer


def packed(
    tokenizer: GPT2Tokenizer, plots: list[Plot], *, block_size: int, title_dropout: float = 0
) -> dict[str, Tensor]:
    taught = lessons(tokenizer, plots, max_length=96, seed=0, title_dropout=title_dropout)
    return packed_blocks(taught, block_size=block_size, padding=tokenizer.eos_token_id)


def each(blocks: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The blocks one by one."""
    columns = zip(*blocks.values(), strict=True)
    return [dict(zip(blocks, rows, strict=True)) for rows in columns]


def in_block(tokenizer: GPT2Tokenizer, block: dict[str, Tensor]) -> list[tuple[str, str]]:
    """(prompt, targets) of the plots of a block, as texts."""
    starts = [*(block["position_ids"] == 0).nonzero()[:, 0].tolist(), len(block["labels"])]
    found = []
    for start, end in pairwise(starts):
        ids, labels = block["input_ids"][start:end], block["labels"][start:end]
        targets = labels != IGNORE_INDEX
        if targets.any():
            assert torch.equal(ids[targets], labels[targets])
            assert torch.equal(block["position_ids"][start:end], torch.arange(end - start))
            found.append((tokenizer.decode(ids[~targets]), tokenizer.decode(ids[targets])))
    return found


@pytest.mark.parametrize("length", [96, 200])
def test_blocks_hold_each_plot_once_after_its_title(length: int):
    tokenizer = separated()
    blocks = packed(tokenizer, PLOTS, block_size=length)
    assert all(column.shape[1] == length for column in blocks.values())
    found = [pair for block in each(blocks) for pair in in_block(tokenizer, block)]
    assert sorted(found) == [
        (f"{END} {title}<|separator|>", f"{text}{END}") for title, text in sorted(PLOTS)
    ]


def test_a_dropped_title_a_missing_one_and_one_without_separator_leave_the_start():
    for plots, tokenizer, dropout in (
        (PLOTS, separated(), 1.0),
        ([Plot("", text) for _, text in PLOTS], separated(), 0.0),
        (PLOTS, tiny_tokenizer(), 0.0),
    ):
        blocks = packed(tokenizer, plots, block_size=200, title_dropout=dropout)
        prompts = {prompt for block in each(blocks) for prompt, _ in in_block(tokenizer, block)}
        assert prompts == {END}


def test_plots_of_a_block_do_not_see_each_other():
    """The loss of a block is that of its plots one by one."""
    model, tokenizer = tiny_model().decoder, separated()
    model.resize_token_embeddings(len(tokenizer))
    blocks = packed(tokenizer, PLOTS[:2], block_size=128)
    assert len(blocks["labels"]) == 1
    [ids], [positions] = blocks["input_ids"], blocks["position_ids"]
    second = int((positions == 0).nonzero()[1])
    end = second + int((positions[second + 1 :] == 0).nonzero()[0]) + 1
    with torch.inference_mode():
        together = model.transformer(ids[None], position_ids=positions[None], use_cache=False)
        alone = model.transformer(ids[None, second:end], use_cache=False)
    torch.testing.assert_close(
        together.last_hidden_state[:, second:end], alone.last_hidden_state, atol=1e-4, rtol=1e-4
    )


def test_a_corpus_is_read_once_and_without_poor_targets(tmp_path: Path):
    rows = ["title,text", *(f'"{title}","{text}"' for title, text in (*PLOTS, ("Z", SENTENCES[0])))]
    rows += ['a,"A man who is cut off in the very middle of his"', "a,short"]
    with gzip.open(tmp_path / "corpus.csv.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(rows))
    assert read_corpus(tmp_path / "corpus.csv.gz") == PLOTS


def test_a_corpus_that_is_none_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    corpus = tmp_path / "corpus.csv"
    corpus.write_text(f"title,text\na,{SENTENCES[0]}\nb\n", encoding="utf-8-sig")
    assert read_corpus(corpus) == [Plot("a", SENTENCES[0])]
    assert "rows left out, with more or fewer cells than the header: 1." in capsys.readouterr().err
    corpus.write_text(f"title,plot\na,{SENTENCES[0]}\n")
    with pytest.raises(InputError, match="has no column text; its columns are title, plot"):
        read_corpus(corpus)


def test_names_stand_inside_sentences():
    text = "A nurse, Anna’s friend, meets Zorro. Thieves and I leave New York."
    names = [text[first:last] for first, last in name_spans(text)]
    assert names == ["Anna’s", "Zorro", "New", "York"]
    names = [text[first:last] for first, last in name_spans(text, "The Mask of Zorro")]
    assert names == ["Anna’s", "New", "York"]
    assert name_spans("A nurse and a thief.") == []
