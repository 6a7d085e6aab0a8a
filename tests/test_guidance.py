import pytest
import torch
from transformers import LogitsProcessorList

from poster2plot.guidance import WINDOW, PictureGuidance
from tests.tiny import tiny_model


def plain_unconditional(model, input_ids):
    """The stream without a poster, recomputed whole: as many zero states as there are patches."""
    states = torch.zeros(len(input_ids), 17, model.encoder.config.hidden_size)
    output = model.decoder(input_ids, encoder_hidden_states=states, use_cache=False)
    return output.logits[:, -1].log_softmax(-1)


def test_the_formula():
    model = tiny_model()
    ids = torch.tensor([[319, 5, 9], [319, 7, 2]])
    scores = torch.randn(2, 320)
    with torch.inference_mode():
        guided = PictureGuidance(model, 3.0)(ids, scores)
        conditional, unconditional = scores.log_softmax(-1), plain_unconditional(model, ids)
    near = conditional >= conditional.amax(-1, keepdim=True) - WINDOW
    assert torch.equal(guided.isfinite(), near)
    expected = unconditional + 3 * (conditional - unconditional)
    expected = torch.where(near, expected, -torch.inf).log_softmax(-1)
    torch.testing.assert_close(guided, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("beams", [1, 4])
def test_the_cache_follows_the_beams(beams: int):
    """Whatever beam search reorders, cached and recomputed guidance write the same tokens."""
    model = tiny_model()

    class Recomputed(PictureGuidance):
        def _unconditional(self, input_ids):
            return plain_unconditional(self.model, input_ids)

    recomputed = Recomputed(model, 2.5)
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
        for guidance in (PictureGuidance(model, 2.5), recomputed)
    ]
    assert torch.equal(*texts)


def test_guidance_keeps_banned_tokens_out():
    ids, scores = torch.tensor([[319]]), torch.zeros(1, 320)
    scores[0, 7] = -torch.inf
    with torch.inference_mode():
        guided = PictureGuidance(tiny_model(), 4.0)(ids, scores)
    assert guided[0, 7] == -torch.inf
    assert not guided.isnan().any()
