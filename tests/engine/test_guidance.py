import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import LogitsProcessorList, PreTrainedTokenizerFast

from poster2plot.engine.guidance import (
    WINDOW,
    GuidanceLogitsProcessor,
    guide,
    word_parts,
    word_start_mask,
)
from support.toy_model import tiny_model, tiny_tokenizer

ANYWHERE = torch.ones(320, dtype=torch.bool)


def plain_unconditional(model, input_ids):
    """The unconditional batch, recomputed whole: as many null embeddings as encoder states."""
    null_embeddings = torch.zeros(len(input_ids), 17, model.encoder.config.hidden_size)
    output = model.decoder(input_ids, encoder_hidden_states=null_embeddings, use_cache=False)
    return output.logits[:, -1].log_softmax(-1)


def test_the_formula():
    model = tiny_model()
    ids = torch.tensor([[319, 5, 9], [319, 7, 2]])
    scores = torch.randn(2, 320)
    with torch.inference_mode():
        guided = GuidanceLogitsProcessor(model, 3.0, ANYWHERE)(ids, scores)
        conditional, unconditional = scores.log_softmax(-1), plain_unconditional(model, ids)
        conditional[[0, 1], ids[:, -1]] = -torch.inf  # a word does not follow itself
    near = conditional >= conditional.amax(-1, keepdim=True) - WINDOW
    assert torch.equal(guided.isfinite(), near)
    ratio = conditional - unconditional
    for row, written in zip(ratio, ids, strict=True):
        row[written] = row[written].clamp(max=0)  # they have nothing to gain any more
    expected = conditional + 2 * ratio
    expected = torch.where(near, expected, -torch.inf).log_softmax(-1)
    torch.testing.assert_close(guided, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("beams", [1, 4])
def test_the_cache_follows_the_beams(beams: int):
    """Whatever beam search reorders, cached and recomputed guidance write the same tokens."""
    model = tiny_model()

    class Recomputed(GuidanceLogitsProcessor):
        def _unconditional(self, input_ids):
            return plain_unconditional(self.model, input_ids)

    recomputed = Recomputed(model, 2.5, ANYWHERE)
    recomputed.model = model
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    texts = [
        model.generate(
            pixel_values=pixels,
            num_beams=beams,
            max_length=24,
            no_repeat_ngram_size=2,
            logits_processor=LogitsProcessorList([guidance]),
        )
        for guidance in (GuidanceLogitsProcessor(model, 2.5, ANYWHERE), recomputed)
    ]
    assert torch.equal(*texts)


def test_guidance_keeps_banned_tokens_out():
    ids, scores = torch.tensor([[319]]), torch.zeros(1, 320)
    scores[0, 7] = -torch.inf
    with torch.inference_mode():
        guided = GuidanceLogitsProcessor(tiny_model(), 4.0, ANYWHERE)(ids, scores)
    assert guided[0, 7] == -torch.inf
    assert not guided.isnan().any()


def test_inside_a_word_the_plain_model_goes_on():
    word_starts = torch.tensor([True, True, False, False])
    unconditional = torch.tensor([0.25, 0.25, 0.4, 0.1]).log()
    inside = torch.tensor([0.2, 0.1, 0.6, 0.1]).log()
    no_tokens = torch.empty(0, dtype=torch.long)
    guided, ids = guide(inside, unconditional, 4.0, no_tokens, word_starts)
    torch.testing.assert_close(guided, inside[ids])
    between = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    guided, ids = guide(between, unconditional, 4.0, no_tokens, word_starts)
    assert ids.tolist() == [0, 1, 2, 3]  # best first
    assert guided.isfinite().tolist() == word_starts.tolist()
    assert guided[0] - guided[1] == pytest.approx(4 * (between[0] - between[1]))


def test_a_word_does_not_follow_itself_but_its_parts_may():
    conditional = torch.tensor([0.5, 0.3, 0.2]).log()
    unconditional = torch.full((3,), 1 / 3).log()
    for first_may_start, expected in ((True, [False, True, True]), (False, [True, True, True])):
        word_starts = torch.tensor([first_may_start, True, True])
        guided, ids = guide(
            conditional.clone(), unconditional, 1.0, torch.tensor([1, 0]), word_starts
        )
        finite = torch.zeros(3, dtype=torch.bool).scatter(0, ids, guided.isfinite())
        assert finite.tolist() == expected


def test_the_tokens_that_may_begin_a_word():
    tokenizer = tiny_tokenizer()
    word_starts = word_start_mask(tokenizer, len(tokenizer) + 2)
    assert len(word_starts) == len(tokenizer) + 2
    for text, expected in {" a": True, "a": False, ".": True, "7": True, "\n": True}.items():
        [token] = tokenizer.encode(text)
        assert word_starts[token] == expected


def test_the_wordpieces_that_may_begin_a_word():
    vocabulary = {"[UNK]": 0, "sea": 1, "##side": 2, ".": 3, "海": 4, "##7": 5}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordPiece(vocabulary, unk_token="[UNK]")), unk_token="[UNK]"
    )
    expected = [True, True, False, True, True, True]
    assert word_start_mask(tokenizer, len(vocabulary)).tolist() == expected


def test_a_part_of_a_titles_longer_word_gains_nothing():
    word_starts = torch.tensor([True, True, True, False, True])
    prompts = torch.tensor([[-1, 4, 0, 3, 1, 4], [4, 3, 3, 2, 1, 4]])
    parts = word_parts(prompts, word_starts)
    assert parts.tolist() == [[-1, -1, 0, 3, -1, -1], [4, 3, 3, -1, -1, -1]]
    conditional = torch.tensor([0.3, 0.3, 0.3, 0.05, 0.05]).log()
    unconditional = torch.tensor([0.1, 0.1, 0.6, 0.1, 0.1]).log()
    no_tokens = torch.empty(0, dtype=torch.long)
    guided, ids = guide(
        conditional, unconditional, 2.0, no_tokens, word_starts, torch.tensor([4, 0, 3, 1, 4])
    )
    found = dict(zip(ids.tolist(), guided.exp().tolist(), strict=True))
    # The whole word's probability is tripled, that of the part is as the plain model has it.
    assert found[1] == pytest.approx(3 * found[0])
    assert found[2] == pytest.approx(found[0] / 2)
