"""Titles as prompts: text from outside that can do no more than name a title."""

from dataclasses import replace

import pytest
from transformers import GPT2Tokenizer

from poster2plot import GenerationSettings, Poster2Plot
from poster2plot.title_prompts import LONGEST_TITLE, TitlePrompt, clean_title, title_token_ids
from support.drawn_posters import draw_poster
from support.toy_model import END, SEPARATOR, tiny_tokenizer

PLAIN = GenerationSettings(guidance=1, max_length=24)


@pytest.fixture
def tokenizer() -> GPT2Tokenizer:
    return tiny_tokenizer(titles=True)


@pytest.mark.parametrize(
    ("title", "cleaned"),
    [
        ("  The\n Third\tMan ", "The Third Man"),
        ("\u202eevil\u202c \u2066x\u2069", "evil x"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("null\0byte\x1b[31m", "null byte [31m"),
        ("Ame\u0301lie", "Amélie"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("half \ud800 pair", "half pair"),
        ("\u200b \n", ""),
    ],
)
def test_a_title_becomes_one_plain_line(title: str, cleaned: str):
    assert clean_title(title) == cleaned


def test_a_title_has_an_end():
    assert len(clean_title("x" * 10**6)) == LONGEST_TITLE
    assert len(clean_title("\u200b" * 10**6 + "x")) <= 1


def test_a_special_token_in_a_title_is_plain_text(tokenizer: GPT2Tokenizer):
    [ids] = title_token_ids(tokenizer, [f"A {SEPARATOR} and {END} B"], max_tokens=99)
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(ids) == f" A {SEPARATOR} and {END} B"


def test_a_prompt_leaves_room_for_the_plot(tokenizer: GPT2Tokenizer):
    prompt = TitlePrompt(tokenizer.sep_token_id, max_tokens=12)
    for max_length, longest in ((200, 14), (20, 10), (8, 4)):
        ids = prompt.token_ids(tokenizer, "A long " * 20, start=319, max_length=max_length)
        assert (ids[0], ids[-1], len(ids)) == (319, tokenizer.sep_token_id, longest)
    for title in ("", " \u200b"):
        assert prompt.token_ids(tokenizer, title, start=319, max_length=64) == [319]


def test_a_title_changes_the_plot_of_a_model_that_takes_titles(titled: Poster2Plot):
    assert titled.takes_titles
    images = [draw_poster()] * 4
    titles = ["Sea", None, "Dog", f"Sea{SEPARATOR}"]
    plots = [best.token_ids for best, *_ in titled.generate(images, PLAIN, titles)]
    assert len(set(plots)) == 4
    # Each alone gives what it gives beside the others, and none is the same as no titles at all.
    for title, plot in zip(titles, plots, strict=True):
        assert titled.generate(images[:1], PLAIN, [title])[0][0].token_ids == plot
    assert titled.generate(images[:1], PLAIN)[0][0].token_ids == plots[1]


def test_the_text_that_grows_has_no_prompt(titled: Poster2Plot):
    seen: list[str] = []
    [request] = titled.submit(
        [draw_poster()], PLAIN, ["The Lighthouse"], on_step=lambda _, text: seen.append(text)
    )
    [plot] = request.result(60)
    assert seen
    assert not any(SEPARATOR in text or "The Lighthouse" in text for text in [*seen, plot.text])
    assert plot.prompt_ids[-1] == titled.tokenizer.sep_token_id


def test_attention_is_of_the_plot_written_with_the_title(titled: Poster2Plot):
    [[plot]] = titled.generate([draw_poster()], PLAIN, ["The Lighthouse"])
    words = titled.attention(draw_poster(), plot)
    assert " ".join(each.word for each in words) == plot.text


def test_a_model_without_titles_passes_them_over(tiny: Poster2Plot):
    assert not tiny.takes_titles
    poster = draw_poster()
    assert tiny.generate([poster], PLAIN, ["The Lighthouse"]) == tiny.generate([poster], PLAIN)


def test_one_setting_turns_titles_off(titled: Poster2Plot):
    poster, off = draw_poster(), replace(PLAIN, use_title=False)
    [[alone]] = titled.generate([poster], PLAIN)
    [[without]] = titled.generate([poster], off, ["Sea"])
    [[with_title]] = titled.generate([poster], PLAIN, ["Sea"])
    assert without.token_ids == alone.token_ids != with_title.token_ids
    assert [each.used_title for each in (alone, without, with_title)] == [False, False, True]


def test_there_are_as_many_titles_as_images(titled: Poster2Plot):
    with pytest.raises(ValueError, match="argument"):
        titled.generate([draw_poster()], PLAIN, ["One", "Two"])
