import gzip
from pathlib import Path

import pytest

from poster2plot.training.texts import packed_blocks, premise, read_corpus
from tests.tiny import SENTENCES, tiny_tokenizer


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


def test_blocks_hold_every_text_between_end_tokens():
    tokenizer = tiny_tokenizer()
    blocks = packed_blocks(tokenizer, SENTENCES, length=8, seed=0)
    text = tokenizer.decode(blocks.flatten())
    assert blocks.shape[1] == 8
    assert text.startswith(tokenizer.eos_token)
    assert sum(sentence in text for sentence in SENTENCES) >= len(SENTENCES) - 1


def test_a_corpus_is_read_once_and_without_poor_targets(tmp_path: Path):
    rows = ["source,text", *(f'a,"{text}"' for text in (*SENTENCES, SENTENCES[0]))]
    rows += ['a,"A man who is cut off in the very middle of his"', "a,short"]
    with gzip.open(tmp_path / "corpus.csv.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(rows))
    assert read_corpus(tmp_path / "corpus.csv.gz") == list(SENTENCES)
