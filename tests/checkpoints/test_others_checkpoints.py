"""Checkpoints of others: their files, encoders, decoders, processors and tokenizers.

Each either writes, token by token, what the stock model writes of the same files, or is refused in
a sentence when it is loaded.
"""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoImageProcessor,
    BeitConfig,
    BeitModel,
    BertTokenizer,
    BitImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    DeiTConfig,
    DeiTModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    PreTrainedModel,
    SwinConfig,
    SwinModel,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTMAEConfig,
    ViTMAEModel,
    ViTModel,
)

from poster2plot import GenerationSettings, Poster2Plot
from poster2plot.checkpoints.hub import REVISIONS
from poster2plot.checkpoints.loading import load_checkpoint
from poster2plot.errors import CheckpointError
from support.drawn_posters import draw_poster
from support.hub_server import Hub, serve_hub
from support.others_checkpoints import (
    ADDED,
    ASIDE,
    compose,
    save_checkpoint,
    save_nlpconnect,
    save_sharded,
    save_sharded_pickle,
    save_ydshieh,
    shard_pickle,
)
from support.toy_model import PICTURE, VOCABULARY, save_tiny_model, tiny_tokenizer

SETTINGS = GenerationSettings(guidance=1, max_length=16)
NLPCONNECT = "nlpconnect/vit-gpt2-image-captioning"
YDSHIEH = "ydshieh/vit-gpt2-coco-en"
SHARDED = "someone/sharded"
SHARDED_PICKLE = "someone/sharded-pickle"


def plots(name: str | Path) -> Poster2Plot:
    return Poster2Plot.from_pretrained(name, "cpu", precision="fp32")


def written(p2p: Poster2Plot) -> list[int]:
    [[plot]] = p2p.generate([draw_poster()], SETTINGS)
    return list(plot.token_ids)


def stock_tokens(folder: Path) -> list[int]:
    """What the stock model of a folder writes, up to its end token."""
    model = VisionEncoderDecoderModel.from_pretrained(folder).eval()
    image_processor = AutoImageProcessor.from_pretrained(folder)
    end = VOCABULARY - 1
    with torch.inference_mode():
        [row] = model.generate(
            pixel_values=image_processor(draw_poster(), return_tensors="pt")["pixel_values"],
            max_length=SETTINGS.max_length,
            num_beams=SETTINGS.num_beams,
            length_penalty=SETTINGS.length_penalty,
            no_repeat_ngram_size=SETTINGS.no_repeat_ngram_size,
            eos_token_id=end,
            decoder_start_token_id=end,
            pad_token_id=end,
        ).tolist()
    ids: list[int] = row[1:]
    return ids[: ids.index(end) + 1] if end in ids else ids


def fails(name: str | Path) -> str:
    """The one sentence of the error that loading raises."""
    with pytest.raises(CheckpointError) as caught:
        Poster2Plot.from_pretrained(name, "cpu")
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "model")


def edit(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | changes))


# Files, on the Hub and in folders


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    repositories = {
        NLPCONNECT: save_nlpconnect(folder / "nlpconnect"),
        YDSHIEH: save_ydshieh(folder / "ydshieh"),
        SHARDED: save_sharded(folder / "sharded"),
        SHARDED_PICKLE: save_sharded_pickle(folder / "sharded-pickle"),
    }
    with serve_hub(repositories) as server:
        yield server


@pytest.mark.parametrize("name", [NLPCONNECT, YDSHIEH, SHARDED, SHARDED_PICKLE])
def test_a_public_layout_is_fetched_and_writes_as_stock(online: Hub, name: str):
    p2p = plots(name)
    assert written(p2p) == stock_tokens(online.repositories[name])
    # Nothing of other libraries, no other repository, and each file once.
    files = [request for request in online.requests if "/resolve/" in request]
    got = [request for request in files if request.startswith("GET")]
    assert len(got) == len(set(got))
    assert not [request for request in got for file in ASIDE if request.endswith(file)]
    assert [request for request in files if f"/{name}/" not in request] == []
    # The tokenizer is the repository's own, and whole.
    text = "A retired detective returns"
    own = tiny_tokenizer()
    assert p2p.tokenizer(text)["input_ids"] == own(text)["input_ids"]
    assert p2p.tokenizer.pad_token_id == VOCABULARY - 1


def test_tokens_that_were_added_are_fetched_too(online: Hub):
    tokenizer = plots(SHARDED_PICKLE).tokenizer
    assert tokenizer(f"{ADDED}{ADDED}")["input_ids"] == [VOCABULARY - 2] * 2
    assert tokenizer.eos_token_id == VOCABULARY - 1


def test_what_the_cache_knows_is_enough_while_the_hub_is_down(online: Hub):
    expected = written(plots(SHARDED))
    online.failing = 503
    online.requests.clear()
    assert written(plots(SHARDED)) == expected
    assert len(online.requests) == 1


def test_a_download_that_is_cut_off_goes_on_where_it_was(
    online: Hub, monkeypatch: pytest.MonkeyPatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 20_000)
    online.hang_up_after = 60_000
    assert written(plots(NLPCONNECT)) == stock_tokens(online.repositories[NLPCONNECT])
    assert online.ranges == ["bytes=60000-"]


@pytest.mark.parametrize("file", ["tokenizer.json", "preprocessor_config.json"])
def test_no_other_models_part_is_taken_because_the_cache_lacks_the_own(
    online: Hub, monkeypatch: pytest.MonkeyPatch, file: str
):
    """Another program had fetched the model alone."""
    from huggingface_hub import constants, hf_hub_download

    kept = {"config.json", "pytorch_model.bin", "tokenizer.json", "preprocessor_config.json"}
    for each in kept - {file}:
        hf_hub_download(NLPCONNECT, each)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = fails(NLPCONNECT)
    assert "is in the cache without its" in message
    assert not [request for request in online.requests if any(r in request for r in REVISIONS)]


def test_a_full_disk_is_one_sentence(online: Hub, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    assert "does not fit on the disk" in fails(NLPCONNECT)


def test_shards_of_a_pickle_load_from_a_folder(tmp_path: Path):
    folder = save_nlpconnect(tmp_path / "model")
    expected = written(plots(folder))
    shard_pickle(folder)
    assert written(plots(folder)) == expected


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ("{", "damaged"),
        ("{}", "damaged"),
        ('{"weight_map": {}}', "damaged"),
        ('{"weight_map": {"a": "../model.safetensors"}}', "damaged"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "damaged"),
        ('{"weight_map": {"a": 1}}', "damaged"),
        ('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}', "lacks 'model-00001-of"),
    ],
)
def test_an_index_that_leads_nowhere_is_one_sentence(new: Path, index: str, says: str):
    (new / "model.safetensors").rename(new / "of-another-name.safetensors")
    (new / "model.safetensors.index.json").write_text(index)
    assert says in fails(new)


def test_a_shard_that_is_missing_on_the_hub_is_one_sentence(tmp_path: Path, online: Hub):
    folder = save_sharded(tmp_path / "partly")
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.unlink()
    online.repositories = {**online.repositories, "someone/partly": folder}
    assert "lacks" in fails("someone/partly")


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_damaged_generation_config_is_one_sentence(new: Path, text: str):
    (new / "generation_config.json").write_bytes(text.encode("latin-1"))
    assert "The generation_config.json of" in fails(new)


# Encoders and decoders

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "patch_size": 8,
    "initializer_range": 0.3,
}
DINO = {**SMALL, "mlp_ratio": 2, "image_size": 48}
del DINO["intermediate_size"]
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2]}
ENCODERS: dict[str, tuple[Callable[[], PreTrainedModel], tuple[int, int], tuple[int, int]]] = {
    # a model, the size of its pictures, and the rows and columns of their patches
    "ViT, standing": (lambda: ViTModel(ViTConfig(**SMALL, image_size=[48, 32])), (48, 32), (6, 4)),
    "ViT, patches that lie": (
        lambda: ViTModel(ViTConfig(**{**SMALL, "patch_size": [4, 8]}, image_size=[48, 32])),
        (48, 32),
        (12, 4),
    ),
    "DeiT": (lambda: DeiTModel(DeiTConfig(**SMALL, image_size=32)), (32, 32), (4, 4)),
    "BEiT": (
        lambda: BeitModel(BeitConfig(**SMALL, image_size=32, use_relative_position_bias=True)),
        (32, 32),
        (4, 4),
    ),
    "Swin": (
        lambda: SwinModel(SwinConfig(**SWIN, window_size=2, initializer_range=0.3)),
        (32, 32),
        (8, 8),
    ),
    # Made for other sizes than its pictures have, which the stock model interpolates.
    "DINOv2": (lambda: Dinov2Model(Dinov2Config(**DINO)), (32, 24), (4, 3)),
    "DINOv2 with registers": (
        lambda: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**DINO, num_register_tokens=4)),
        (32, 32),
        (4, 4),
    ),
    "CLIP": (lambda: CLIPVisionModel(CLIPVisionConfig(**SMALL, image_size=32)), (32, 32), (4, 4)),
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_encoder_of_another_kind_writes_as_stock(tmp_path: Path, encoder: str):
    make, size, grid = ENCODERS[encoder]
    torch.manual_seed(0)
    folder = save_checkpoint(tmp_path / "model", compose(make()), size)
    p2p = plots(folder)
    assert written(p2p) == stock_tokens(folder)
    [[plot]] = p2p.generate([draw_poster()], SETTINGS)
    words = p2p.attention(draw_poster(), plot)
    assert {tuple(word.weights.shape) for word in words} == {grid}
    assert all(0 < float(word.weights.sum()) <= 1 + 1e-4 for word in words)


def test_an_encoder_that_hides_patches_at_random_is_refused(tmp_path: Path):
    model = compose(ViTMAEModel(ViTMAEConfig(**SMALL, image_size=32)))
    assert "at random" in fails(save_checkpoint(tmp_path / "model", model))


@pytest.mark.parametrize(
    "switches",
    [
        {"scale_attn_by_inverse_layer_idx": True},
        {"scale_attn_weights": False},
        {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True},
        {"tie_word_embeddings": False},
        {"n_inner": 48},
        {"activation_function": "quick_gelu"},
        {"layer_norm_epsilon": 1e-2},
        {"n_embd": 48, "n_head": 3},
    ],
    ids=str,
)
def test_gpt2_with_any_of_its_switches_writes_as_stock(tmp_path: Path, switches: dict[str, Any]):
    folder = save_checkpoint(tmp_path / "model", compose(**switches))
    assert written(plots(folder)) == stock_tokens(folder)


# Image processors


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size": {"height": 48, "width": 48}}, "image processor of another model"),
        ({"image_mean": [0.5] * 4}, "cannot prepare a picture"),
        ({"image_std": [0.0, 0.5, 0.5]}, "picture|deviation of 0"),
        ({"size": {"height": 0, "width": 32}}, "picture|another model"),
        ({"do_resize": False}, "in sizes of their own"),
        ({"image_processor_type": "NoSuchProcessor"}, "The ImageProcessor of"),
    ],
    ids=str,
)
def test_an_image_processor_that_does_not_fit_is_refused(
    new: Path, changes: dict[str, Any], says: str
):
    edit(new / "preprocessor_config.json", **changes)
    message = fails(new)
    assert any(each in message for each in says.split("|")), message


def test_a_picture_of_one_channel_is_refused(tmp_path: Path):
    model = compose(ViTModel(ViTConfig(**SMALL, image_size=32, num_channels=1)))
    assert "another model" in fails(save_checkpoint(tmp_path / "model", model))


def test_a_size_by_the_shortest_edge_needs_a_crop(new: Path):
    (new / "preprocessor_config.json").unlink()
    crop = {"height": PICTURE, "width": PICTURE}
    for cropped in (True, False):
        processor = BitImageProcessorPil(
            size={"shortest_edge": 40}, crop_size=crop, do_center_crop=cropped
        )
        processor.save_pretrained(new)
        if cropped:
            assert written(plots(new)) == stock_tokens(new)
    assert "in sizes of their own" in fails(new)


@pytest.mark.parametrize(
    "changes", [{"do_rescale": False}, {"do_normalize": False}, {"resample": 0}], ids=str
)
def test_other_ways_to_prepare_a_picture_are_the_checkpoints_own(
    new: Path, changes: dict[str, Any]
):
    edit(new / "preprocessor_config.json", **changes)
    assert written(plots(new)) == stock_tokens(new)


def test_a_damaged_whole_processor_is_one_sentence(tmp_path: Path):
    folder = save_sharded(tmp_path / "model")
    (folder / "processor_config.json").write_text("{")
    assert "The ImageProcessor of" in fails(folder)


@pytest.mark.parametrize("whole", [None, '{"processor_class": "TrOCRProcessor"}'])
@pytest.mark.parametrize("tokenizer", [True, False])
@pytest.mark.parametrize("encoder", ["deit", "dinov2", "vit"])
def test_the_layout_of_2021_alone_gets_another_models_image_processor(
    new: Path, online: Hub, encoder: str, tokenizer: bool, whole: str | None
):
    (new / "preprocessor_config.json").unlink()
    if whole is not None:
        (new / "processor_config.json").write_text(whole)
    if not tokenizer:
        for file in new.glob("*token*"):
            file.unlink()
    config = json.loads((new / "config.json").read_text())
    edit(new / "config.json", encoder=config["encoder"] | {"model_type": encoder})
    message = fails(new)
    if encoder == "vit" and not tokenizer:
        assert "takes preprocessor_config.json" in message  # which this Hub does not have
    else:
        assert "has no image processor" in message
        assert online.requests == []


# Tokenizers


def test_a_padding_token_beyond_the_embedding_is_used_as_stock_does(new: Path):
    expected = stock_tokens(new)
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(new)
    edit(new / "generation_config.json", pad_token_id=VOCABULARY)
    p2p = plots(new)
    assert p2p.tokenizer.pad_token_id == VOCABULARY
    assert written(p2p) == expected


def test_a_vocabulary_that_was_rounded_up_is_used_as_stock_does(tmp_path: Path):
    folder = save_checkpoint(tmp_path / "model", compose(vocab_size=2 * VOCABULARY - 1))
    expected = stock_tokens(folder)
    p2p = plots(folder)
    [[plot]] = p2p.generate([draw_poster()], SETTINGS)
    assert list(plot.token_ids) == expected
    assert any(token >= VOCABULARY for token in expected)
    assert p2p.generate([draw_poster()], GenerationSettings(guidance=3))


def test_a_vocabulary_of_another_model_is_refused(tmp_path: Path):
    folder = save_checkpoint(tmp_path / "model", compose(vocab_size=2 * VOCABULARY + 1))
    assert "tokenizer of another model" in fails(folder)


def test_wordpiece_and_a_config_without_an_end_write_to_the_full_length(tmp_path: Path):
    folder = save_checkpoint(tmp_path / "model", compose())
    for file in folder.glob("*token*"):
        file.unlink()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [f"word{i}" for i in range(VOCABULARY - len(words))]
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["decoder"] |= {"bos_token_id": None, "eos_token_id": None}
    config["decoder_start_token_id"] = 2
    config.pop("eos_token_id", None)
    (folder / "config.json").write_text(json.dumps(config))
    p2p = plots(folder)
    assert isinstance(p2p.tokenizer, BertTokenizer) or p2p.tokenizer.convert_ids_to_tokens(5)
    assert len(written(p2p)) == SETTINGS.max_length - 1


def test_a_tokenizer_that_needs_another_package_is_one_sentence(new: Path):
    for file in new.glob("*token*"):
        file.unlink()
    (new / "spiece.model").write_bytes(b"a model of sentencepiece")
    (new / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    assert "The Tokenizer of" in fails(new)


# Generation configs


def test_what_is_left_out_of_a_generation_config_is_told(
    new: Path, caplog: pytest.LogCaptureFixture
):
    edit(new / "generation_config.json", stop_strings=["."], num_beam_groups=2)
    with caplog.at_level(logging.WARNING, "poster2plot"):
        plots(new)
    assert "asks for num_beam_groups, stop_strings in its generation config" in caplog.text


def test_what_the_settings_decide_and_a_generation_config_asks_for_is_told(
    new: Path, bundled: Poster2Plot, caplog: pytest.LogCaptureFixture
):
    edit(new / "generation_config.json", max_length=16, num_beams=8, length_penalty=2.0)
    with caplog.at_level(logging.WARNING, "poster2plot"):
        plots(new)
    assert "asks for num_beams=8, max_length=16 in its generation config" in caplog.text
    assert "by default they are num_beams=4, max_length=64." in caplog.text
    assert bundled.engine.rules.overruled == {}


def test_a_generation_config_that_cannot_be_followed_is_one_sentence(new: Path):
    edit(new / "generation_config.json", forced_bos_token_id=VOCABULARY)
    assert "forced_bos_token_id is 320" in fails(new)


def test_the_lengths_and_ends_of_a_generation_config_are_followed(new: Path):
    edit(new / "generation_config.json", max_new_tokens=5, eos_token_id=[VOCABULARY - 1, 40])
    assert len(written(plots(new))) <= 5


def test_old_configs_that_generate_reads_settings_from_are_followed(tmp_path: Path):
    folder = save_ydshieh(tmp_path / "model")
    shutil.copy(folder / "preprocessor_config.json", tmp_path)
    edit(folder / "config.json", repetition_penalty=1.5, bad_words_ids=[[3], [4, 5]])
    assert written(plots(folder)) == stock_tokens(folder)
    assert load_checkpoint(folder, device="cpu").model.generation_config.repetition_penalty == 1.5
