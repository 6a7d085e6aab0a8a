"""Checkpoints as others publish them, with tiny seeded weights: their files and configs.

The layouts are those of the Hub's best known ViT–GPT-2 captioners. What stands here of a model is
written as it is there, but for its sizes.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    VisionEncoderDecoderModel,
    ViTImageProcessor,
)

from support.toy_model import (
    END,
    LAYERS,
    PICTURE,
    POSITIONS,
    VOCABULARY,
    WIDTH,
    save_tiny_model,
    tiny_model,
    tiny_tokenizer,
)

ADDED = "<poster>"
ASIDE = ("flax_model.msgpack", "tf_model.h5", "onnx/model.onnx", "README.md", ".gitattributes")


def compose(encoder: PreTrainedModel | None = None, **decoder: Any) -> VisionEncoderDecoderModel:
    """The tiny model with another encoder, or with other settings of its GPT-2."""
    base = tiny_model()
    torch.manual_seed(1)
    end = VOCABULARY - 1
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "n_positions": POSITIONS,
        "n_embd": WIDTH,
        "n_layer": LAYERS,
        "n_head": 2,
        "bos_token_id": end,
        "eos_token_id": end,
        "is_decoder": True,
        "add_cross_attention": True,
        "initializer_range": 0.3,
    }
    model = VisionEncoderDecoderModel(
        encoder=encoder or base.encoder, decoder=GPT2LMHeadModel(GPT2Config(**settings | decoder))
    )
    model.config.decoder_start_token_id = model.config.pad_token_id = end
    model.generation_config = GenerationConfig(
        decoder_start_token_id=end, bos_token_id=end, eos_token_id=end, pad_token_id=end
    )
    return model.eval()


def save_checkpoint(
    folder: Path, model: VisionEncoderDecoderModel, size: tuple[int, int] = (PICTURE, PICTURE)
) -> Path:
    """Save a model with the tiny tokenizer and an image processor of (height, width)."""
    model.save_pretrained(folder)
    tiny_tokenizer(folder)
    ViTImageProcessor(size={"height": size[0], "width": size[1]}).save_pretrained(folder)
    return folder


def save_sharded(folder: Path) -> Path:
    """Safetensors in shards, a whole processor's settings alone, and files for other libraries."""
    save_tiny_model(folder)
    (folder / "model.safetensors").unlink()
    tiny_model().save_pretrained(folder, max_shard_size="40KB")
    own = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    whole = {"image_processor": own, "processor_class": "AutoProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(whole))
    _add_files_for_others(folder)
    return folder


def save_nlpconnect(folder: Path) -> Path:
    """As nlpconnect/vit-gpt2-image-captioning: a pickle, and a tokenizer of GPT-2's old files."""
    save_tiny_model(folder, layout="2021", safetensors=False)
    _write_old_tokenizer(folder)
    processor = {
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "ViTFeatureExtractor",
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "size": PICTURE,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def save_ydshieh(folder: Path) -> Path:
    """As ydshieh/vit-gpt2-coco-en: made with Flax, beside which the weights for PyTorch lie.

    Its config has the lengths of its captions at the top, and its tokenizer no tokenizer.json.
    """
    save_nlpconnect(folder)
    (folder / "tokenizer.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config |= {"max_length": 16, "num_beams": 4, "no_repeat_ngram_size": 0, "min_length": 8}
    (folder / "config.json").write_text(json.dumps(config))
    _add_files_for_others(folder)
    return folder


def save_sharded_pickle(folder: Path) -> Path:
    """A pickle in shards, and a tokenizer whose last tokens were added to its vocabulary.

    Without its added_tokens.json the end would have the number of `ADDED`.
    """
    save_nlpconnect(folder)
    shard_pickle(folder)
    (folder / "tokenizer.json").unlink()
    added = {ADDED: VOCABULARY - 2, END: VOCABULARY - 1}
    learned = json.loads((folder / "vocab.json").read_text())
    kept = {token: id for token, id in learned.items() if id not in added.values()}
    (folder / "vocab.json").write_text(json.dumps(kept))
    merges = (folder / "merges.txt").read_text().splitlines(keepends=True)
    (folder / "merges.txt").write_text("".join(merges[:-1]))  # the last made the token left out
    (folder / "added_tokens.json").write_text(json.dumps(added))
    return folder


def shard_pickle(folder: Path) -> None:
    """Cut a folder's pytorch_model.bin in two, with an index."""
    whole = torch.load(folder / "pytorch_model.bin")
    names = sorted(whole)
    files = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
    parts = dict(zip(files, (names[: len(names) // 2], names[len(names) // 2 :]), strict=True))
    for file, own in parts.items():
        torch.save({name: whole[name].clone() for name in own}, folder / file)
    places = {name: file for file, own in parts.items() for name in own}
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (folder / "pytorch_model.bin").unlink()


def as_pickle(folder: Path) -> None:
    """Turn a folder's safetensors into a pickle."""
    weights = folder / "model.safetensors"
    torch.save(load(weights.read_bytes()), folder / "pytorch_model.bin")
    weights.unlink()


def _write_old_tokenizer(folder: Path) -> None:
    """vocab.json, merges.txt, special_tokens_map.json and tokenizer_config.json of 2022."""
    tiny_tokenizer(folder)
    learned = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(learned["vocab"] | {END: VOCABULARY - 1}))
    merges = "".join(f"{' '.join(pair)}\n" for pair in learned["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}")
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    special = dict.fromkeys(names, END)
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    config = special | {
        "add_prefix_space": False,
        "model_max_length": 1024,
        "name_or_path": "gpt2",
        "special_tokens_map_file": None,
        "tokenizer_class": "GPT2Tokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _add_files_for_others(folder: Path) -> None:
    for name in ASIDE:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"for another library")
