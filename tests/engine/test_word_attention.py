"""Attention by word, against the cross-attention of the stock model."""

from pathlib import Path

import pytest
import torch

from poster2plot import GenerationSettings, Poster2Plot
from poster2plot.checkpoints.loading import load_checkpoint
from poster2plot.engine.word_attention import by_word, patch_grid
from support.drawn_posters import draw_poster
from support.toy_model import tiny_tokenizer


def test_each_word_has_the_stock_attention_of_its_tokens(tiny_folder: Path):
    p2p = Poster2Plot.from_pretrained(tiny_folder, "cpu", precision="fp32")
    image = draw_poster()
    [[candidate]] = p2p.generate([image], GenerationSettings(max_length=24))
    words = p2p.attention(image, candidate)
    assert [each.word for each in words] == candidate.text.split()
    assert all(each.weights.shape == (4, 4) for each in words)

    stock = load_checkpoint(tiny_folder, device="cpu")
    stock.model.decoder.set_attn_implementation("eager")
    pixels = stock.image_processor(image, return_tensors="pt")["pixel_values"]
    start = stock.model.generation_config.decoder_start_token_id
    ids = torch.tensor([[start, *candidate.token_ids[:-1]]])
    with torch.inference_mode():
        output = stock.model(pixel_values=pixels, decoder_input_ids=ids, output_attentions=True)
    expected = torch.stack(output.cross_attentions).mean((0, 1, 2))  # (tokens, class and patches)
    text = ""
    own: list[list[torch.Tensor]] = []
    for token, weights in zip(candidate.token_ids, expected, strict=True):
        text += stock.tokenizer.decode([token])
        if len(text.split()) > len(own):
            own.append([])
        own[-1].append(weights[1:].view(4, 4))
    for each, rows in zip(words, own, strict=True):
        torch.testing.assert_close(each.weights, torch.stack(rows).mean(0))


def test_a_cut_text_has_the_attention_of_the_words_left():
    tokenizer = tiny_tokenizer()
    ids = tokenizer.encode("A young lighthouse keeper finds a letter. The sea")
    weights = torch.rand(len(ids), 5)
    words = by_word("A young lighthouse keeper finds a letter.", ids, weights, tokenizer, (2, 2))
    assert [each.word for each in words][-2:] == ["a", "letter."]
    assert len(words) == 7
    torch.testing.assert_close(words[0].weights, weights[0, 1:].view(2, 2))


@pytest.mark.parametrize(
    ("sizes", "picture", "grid"),
    [
        ({"patch_size": 14}, (210, 140), (15, 10)),
        ({"patch_size": (16, 8)}, (224, 224), (14, 28)),
        ({"patch_size": 4, "depths": [2, 2, 6, 2]}, (224, 224), (7, 7)),
    ],
)
def test_the_grid_follows_the_encoder(sizes, picture, grid):
    config = type("Config", (), sizes)()
    assert patch_grid(config, *picture) == grid
