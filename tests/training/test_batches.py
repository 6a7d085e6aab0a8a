import torch

from poster2plot.training.batches import (
    Captions,
    Collator,
    Example,
    LengthBucketSampler,
    drop_conditioning,
    drop_patches,
    drop_words,
)
from poster2plot.training.dataset import Picture
from poster2plot.training.recipe import Recipe
from poster2plot.training.target_texts import IGNORE_INDEX
from support.toy_model import tiny_image_processor, tiny_tokenizer
from support.training_data import PLOTS


def test_buckets_hold_like_lengths_in_an_order_of_seed_and_epoch():
    lengths = [int(n) for n in torch.randint(10, 60, (203,))]
    sampler = LengthBucketSampler(lengths, batch=16, seed=1)
    first = list(sampler)
    assert sorted(first) == list(range(203))
    assert list(sampler) == first
    for start in range(0, 192, 16):
        rows = [lengths[i] for i in first[start : start + 16]]
        assert max(rows) - min(rows) <= 20
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_noise_hits_its_share_of_the_plots_and_spares_the_prompts():
    torch.manual_seed(0)
    inputs = torch.full((200, 50), 7)
    labels = torch.full((200, 50), 7)
    labels[:100, :9] = IGNORE_INDEX  # after the start token, a title and its separator
    noisy = drop_words(inputs, labels, 0.2, 1000) != 7
    assert not noisy[:, 0].any()
    assert not noisy[:100, :10].any()
    assert 0.18 < noisy[100:, 1:].float().mean() < 0.22


def test_a_title_comes_before_the_plot_and_is_no_target():
    tokenizer = tiny_tokenizer(titles=True)
    recipe = Recipe(encoder="", decoder="", titles=True, pad_to_longest=True)
    picture = Picture("")
    examples = [
        Example("tt1", PLOTS[0], picture, title="town"),
        Example("tt2", PLOTS[1], picture, pictured=False),
    ]

    class States(dict[str, torch.Tensor]):
        def __missing__(self, id: str) -> torch.Tensor:
            return torch.ones(3, 2)

    captions = Captions(examples, tokenizer, recipe, States())  # type: ignore[arg-type]
    found = Collator(tokenizer, tiny_image_processor(), recipe)([captions[0], captions[1]])
    end = tokenizer.eos_token_id
    prompt = [end, *tokenizer(" town")["input_ids"], tokenizer.sep_token_id]
    plot = tokenizer(PLOTS[0])["input_ids"]
    inputs, labels = found["decoder_input_ids"], found["labels"]
    assert inputs[0].tolist()[: len(prompt) + len(plot)] == [*prompt, *plot]
    targets = labels[0].tolist()
    assert targets[: len(prompt) - 1] == [IGNORE_INDEX] * (len(prompt) - 1)
    assert targets[len(prompt) - 1 :][: len(plot) + 1] == [*plot, end]
    assert inputs[1, 0] == end
    assert labels[1, 0] == tokenizer(PLOTS[1])["input_ids"][0]
    assert found["pictured"].tolist() == [True, False]
    # Dropped together: neither poster nor title.
    kept = found["decoder_input_ids"], found["labels"], found["pictured"]
    for same, was in zip(drop_conditioning(*kept, 0), kept, strict=True):
        assert torch.equal(same, was)
    inputs, labels, pictured = drop_conditioning(*kept, 1)
    assert pictured.tolist() == [False, False]
    assert inputs[0, : len(plot) + 1].tolist() == [end, *plot]
    assert labels[0, : len(plot) + 1].tolist() == [*plot, end]
    assert (labels[0, len(plot) + 1 :] == IGNORE_INDEX).all()
    assert torch.equal(labels[1], kept[1][1])


def test_names_are_read_but_no_targets():
    tokenizer = tiny_tokenizer(titles=True)
    recipe = Recipe(encoder="", decoder="", titles=True, mask_names=True, pad_to_longest=True)
    text = PLOTS[0].replace("letter", "Letter")
    assert text != PLOTS[0]

    class States(dict[str, torch.Tensor]):
        def __missing__(self, id: str) -> torch.Tensor:
            return torch.ones(3, 2)

    def targets(title: str) -> tuple[list[int], list[int]]:
        examples = [Example("tt1", text, Picture(""), title)]
        captions = Captions(examples, tokenizer, recipe, States())  # type: ignore[arg-type]
        found = Collator(tokenizer, tiny_image_processor(), recipe)([captions[0]])
        inputs, labels = found["decoder_input_ids"][0], found["labels"][0]
        following = torch.cat([inputs[1:], inputs[:1]])  # what a label is where it is one
        name = ((labels == IGNORE_INDEX) & (following != tokenizer.eos_token_id)).nonzero()
        return following[name[:, 0]].tolist(), labels[labels != IGNORE_INDEX].tolist()

    whole = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    hidden, learnt = targets("")
    assert tokenizer.decode(hidden).strip() == "Letter"
    assert sorted([*hidden, *learnt]) == sorted(whole)
    _, learnt = targets("Letter")
    assert learnt == whole


def test_a_share_loses_its_clues():
    torch.manual_seed(0)
    tokens = torch.ones(1000, 3, dtype=torch.long)
    _, _, pictured = drop_conditioning(tokens, tokens, torch.ones(1000, dtype=torch.bool), 0.3)
    assert 0.65 < pictured.float().mean() < 0.75


def test_of_the_patches_a_share_is_dropped_and_the_cls_state_never():
    encoder_states = torch.arange(21.0).repeat(4, 1)[..., None]  # (4, 21, 1)
    seen = set()
    for seed in range(10):
        torch.manual_seed(seed)
        kept = drop_patches(encoder_states, 0.6)
        assert kept.shape == (4, 9, 1)
        assert (kept == kept[:1]).all()
        assert kept[0, 0] == 0
        assert len(kept[0].unique()) == 9
        seen |= set(kept[0, :, 0].tolist())
    assert len(seen) > 15
