import torch

from poster2plot.training.batches import (
    LengthBucketSampler,
    drop_conditioning,
    drop_patches,
    drop_words,
)


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


def test_noise_hits_its_share_and_spares_the_start():
    torch.manual_seed(0)
    inputs = torch.full((200, 50), 7)
    noisy = drop_words(inputs, 0.2, 1000)
    assert (noisy[:, 0] == 7).all()
    assert 0.18 < (noisy[:, 1:] != 7).float().mean() < 0.22


def test_pictures_are_dropped_whole():
    torch.manual_seed(0)
    kept = drop_conditioning(torch.ones(1000, 3, 2), 0.3).mean((1, 2))
    assert set(kept.tolist()) == {0.0, 1.0}
    assert 0.65 < kept.mean() < 0.75


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
