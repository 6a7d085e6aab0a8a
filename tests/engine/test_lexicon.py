"""Tests of the lexicon that plots are written with."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from poster2plot.engine.lexicon import Lexicon, words

TOKENS = [
    *("</s>", "A", "Ġa", "Ġcat", "Ġcats", "Ġcatch", "s", "es", "'s", "-", "like", ".", "Ġ", "Ġ("),
    *("Ã", "Ġdog", "zo", "Ġzo", "Ġ2", "2", "th", ",Ġcat", ",", "C", "AT", "at", "Ġc", "ĠC", "ĠZoe"),
]


def byte_level(tokens: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_level(TOKENS)


@pytest.fixture(scope="module")
def lexicon(tokenizer: PreTrainedTokenizerFast) -> Lexicon:
    return Lexicon(["Zoe", "a", "cat", "catches", "cat-like", "th"], tokenizer, len(TOKENS))


def following(
    lexicon: Lexicon,
    text: list[str],
    title: list[str] = [],  # noqa: B006
    *,
    tokens: list[str] = TOKENS,
    scores: torch.Tensor | None = None,
) -> set[str]:
    """Those of the tokens that may follow a text, where they have scores (V,), else any."""
    ids, prompt = ([tokens.index(token) for token in each] for each in (text, title))
    restricted = (torch.randn(len(tokens)) if scores is None else scores)[None].clone()
    lexicon.restrict(restricted, [ids], [prompt])
    return {tokens[id] for id in restricted[0].isfinite().nonzero().flatten().tolist()}


ANYWHERE = {",", "Ġc", "ĠZoe", "</s>", "Ġa", "Ġcat", "Ġcatch", ".", "Ġ", "Ġ(", "Ġ2", ",Ġcat"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ([], ANYWHERE | {"A", "C", "ĠC", "-", "th", "2"}),
        (["Ġa"], ANYWHERE - {"Ġa"} | {"'s"}),
        (["Ġcat"], ANYWHERE - {"Ġcat"} | {"'s", "-"}),
        (["Ġcat", "'s"], ANYWHERE),
        (["Ġcat", "-"], {"like"}),
        (["Ġcat", "-", "like"], ANYWHERE | {"'s"}),
        (["Ġcatch"], {"es"}),
        (["Ġcatch", "es"], ANYWHERE - {"Ġcatch"}),
        (["Ġ2"], ANYWHERE | {"s", "'s", "th", "-", "2"}),
    ],
)
def test_words_go_on_and_end_as_the_lexicon_has_them(
    lexicon: Lexicon, text: list[str], expected: set[str]
):
    assert following(lexicon, text) == expected


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (["Ġcatch"], []),
        (["Ġcat", "-"], []),
        (["Ġc"], []),
        (["C"], []),
        ([".", "ĠC"], []),
        (["Ġcat", "Ġc", "at"], []),
        (["Ġcat", "Ġc", "at", "'"], []),
        (["Ġzo"], ["Ġzo", "zo"]),
        (["Ġzo", "zo"], ["Ġzo", "zo", "es"]),
    ],
)
def test_part_of_a_word_goes_on_where_all_that_is_likelier_does_not_fit(
    text: list[str], title: list[str]
):
    vocabulary = [*TOKENS, "'", *(f"Ġ{one}{other}" for one in "αβγδεζηθ" for other in "αβγδεζηθ")]
    lexicon = Lexicon(
        ["a", "cat", "cats", "catches", "cat-like"], byte_level(vocabulary), len(vocabulary)
    )
    never, fitting = "Ã", set()
    for token in {*vocabulary} - {never}:
        scores = torch.full([len(vocabulary)], -torch.inf)
        # So few that each is looked up.
        scores[[vocabulary.index(never), vocabulary.index(token)]] = 0
        allowed = following(lexicon, text, title, tokens=vocabulary, scores=scores)
        fitting |= {token} if allowed == {token} else set()
    last_first = torch.arange(len(vocabulary), dtype=torch.float)
    assert fitting
    assert following(lexicon, text, title, tokens=vocabulary, scores=last_first) == fitting


def test_an_article_agrees_with_the_next_word():
    others = ["alien", "alley", "one", "european", "hour", "FBI", "film", "unit", "2"]
    vocabulary = ["</s>", "A", "Ġa", "Ġan", *(f"Ġ{word}" for word in others), "es"]
    lexicon = Lexicon([*others, "a", "an"], byte_level(vocabulary), len(vocabulary))

    def behind(article: str) -> set[str]:
        return {token[1:] for token in following(lexicon, [article], tokens=vocabulary)}

    both = {"2", "hour", "unit", "/s>"}  # at the end a plot may break off
    assert behind("Ġan") == both | {"a", "alien", "alley", "FBI"}
    assert behind("A") == behind("Ġa") == both | {"one", "european", "FBI", "film"}


def test_words_of_the_title_have_its_capitals_only_as_names():
    vocabulary = ["</s>", "Ġthe", "ĠCat", "Ġcat", "ĠAtlantis"]
    lexicon = Lexicon(["the", "cat"], byte_level(vocabulary), len(vocabulary))
    prompt = [vocabulary.index(token) for token in ("ĠCat", "ĠAtlantis")]
    scores = torch.zeros(1, 5)
    lexicon.restrict(scores, [[vocabulary.index("Ġthe")]], [prompt])
    assert scores[0].isfinite().tolist() == [True, False, False, True, True]


def test_words_of_the_title_are_words(lexicon: Lexicon):
    assert "zo" not in following(lexicon, [])
    assert {"zo", "Ġzo"} <= following(lexicon, [], ["Ġzo", "zo"])
    assert following(lexicon, ["Ġzo"], ["Ġzo", "zo"]) == {"zo"}
    assert "Ġ(" in following(lexicon, ["Ġzo", "zo"], ["Ġzo", "zo"])


def test_parts_of_a_titles_words_are_no_words():
    vocabulary = ["</s>", "ĠK", ".", "C", "ĠG", "Ã", "¥", "s", "ĠOslo"]
    lexicon = Lexicon(["the"], byte_level(vocabulary), len(vocabulary))
    for title, expected in [
        (["ĠK", ".", "C", ".", "ĠOslo"], {"ĠOslo"}),
        (["ĠG", "Ã", "¥", "s", "ĠOslo"], {"ĠOslo"}),
        (["ĠK"], {"ĠK"}),
    ]:
        found = following(lexicon, [], title, tokens=vocabulary)
        assert found & {"ĠK", "ĠG", "ĠOslo", "C", "s"} == expected


def test_a_slur_in_a_title_is_no_word():
    vocabulary = ["</s>", "Ġthe", "ĠMother", "ĠWhore", "Ġwhore", "Ġmother"]
    lexicon = Lexicon(["the", "mother"], byte_level(vocabulary), len(vocabulary))
    title = ["Ġthe", "ĠMother", "ĠWhore"]
    may = following(lexicon, ["Ġthe"], title, tokens=vocabulary)
    assert may & {"Ġmother", "ĠWhore", "Ġwhore"} == {"Ġmother"}


def test_no_word_follows_itself(lexicon: Lexicon):
    assert "Ġcatch" not in following(lexicon, ["Ġcatch", "es", ","])
    assert "." not in following(lexicon, ["Ġcat", "Ġcat"])
    assert "." in following(lexicon, ["Ġcat", "Ġa", "Ġcat"])


def test_capitals_begin_sentences_and_names(lexicon: Lexicon):
    assert {"C", "ĠZoe"} <= following(lexicon, [])
    assert following(lexicon, ["C"]) & {"at", "AT"} == {"at"}
    assert following(lexicon, ["Ġcat"]) & {"Ġc", "ĠC", "ĠZoe"} == {"Ġc", "ĠZoe"}
    assert following(lexicon, ["Ġcat", ","]) & {"Ġc", "ĠC", "ĠZoe"} == {"Ġc", "ĠZoe"}
    assert {"Ġc", "ĠC", "ĠZoe"} <= following(lexicon, ["Ġcat", "."])


def test_what_is_forbidden_otherwise_stays_so(lexicon: Lexicon):
    scores = torch.full((1, len(TOKENS)), -torch.inf)
    scores[0, TOKENS.index("Ġ2")] = 0
    restricted = scores.clone()
    lexicon.restrict(restricted, [[]], [[]])
    assert restricted.equal(scores)


def test_a_text_that_cannot_go_on_is_left_alone(lexicon: Lexicon):
    assert following(lexicon, ["Ġdog"]) == set(TOKENS)


def test_words_are_read_as_they_are_spelt():
    assert words("The well-known cat's “Milk” – isn’t it?") == [
        *("The", "well-known", "cat", "Milk", "isn’t", "it")
    ]


def test_what_would_harm_does_not_come():
    sentence = ["A", "Ġmother", "Ġand", "Ġher", "Ġdaughter", "Ġfall"]
    vocabulary = ["</s>", ".", "Ġfor", "Ġapart", "Ġa", *sentence]
    known = [token.strip("Ġ").lower() for token in vocabulary[2:]]
    lexicon = Lexicon(known, byte_level(vocabulary), len(vocabulary))
    found = following(lexicon, sentence, tokens=vocabulary)
    assert "Ġapart" in found
    assert "Ġfor" not in found
    found = following(
        lexicon, [*sentence[:4], "Ġmother", ".", *sentence[:2], "Ġfall"], tokens=vocabulary
    )
    assert "Ġfor" in found


def test_pronouns_agree_with_who_is_named():
    vocabulary = ["</s>", "A", "Ġgirl", "Ġboy", "Ġfinds", "Ġhis", "Ġher"]
    known = [token.strip("Ġ").lower() for token in vocabulary[1:]]
    lexicon = Lexicon(known, byte_level(vocabulary), len(vocabulary))
    pronouns = {"Ġhis", "Ġher"}
    for text, expected in [
        (["A", "Ġgirl", "Ġfinds"], {"Ġher"}),
        (["A", "Ġboy", "Ġfinds"], {"Ġhis"}),
        (["A", "Ġboy", "Ġgirl", "Ġfinds"], pronouns),
    ]:
        assert following(lexicon, text, tokens=vocabulary) & pronouns == expected


def test_a_short_word_does_not_come_again_either():
    vocabulary = ["</s>", "A", "Ġteam", "Ġteams", "Ġup", "Ġwith", "Ġa"]
    known = [token.strip("Ġ").lower() for token in vocabulary[1:]]
    lexicon = Lexicon(known, byte_level(vocabulary), len(vocabulary))
    found = following(lexicon, ["A", "Ġteam", "Ġup", "Ġwith", "Ġa"], tokens=vocabulary)
    assert not found & {"Ġteam", "Ġteams"}
    assert {"Ġup", "Ġwith"} <= found
