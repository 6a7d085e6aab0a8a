"""Converted weights compute what their sources compute, on tiny ones."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from poster2plot.errors import InputError
from poster2plot.training.bundled.convert import decoder_from_ctranslate2, encoder_from_onnx
from support.toy_model import SENTENCES, tiny_tokenizer


def test_the_encoder_computes_what_dinov2_computes(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=1,
        image_size=56,
        patch_size=14,
        layerscale_value=0.3,
        initializer_range=0.2,
    )
    reference = Dinov2Model(config).eval()
    reference.save_pretrained(tmp_path)  # under the names that the export has too
    state = load((tmp_path / "model.safetensors").read_bytes())
    nodes, tensors = [], []

    def add(name: str, value: Tensor) -> None:
        tensors.append(numpy_helper.from_array(value.contiguous().numpy(), name))

    positions = state.pop("embeddings.position_embeddings")
    add("cls_position", positions[:, :1])
    add("positions", positions[:, 1:])
    nodes.append(helper.make_node("Reshape", ["positions", "shape"], ["grid"], "/backbone/r"))
    nodes.append(helper.make_node("Concat", ["cls_position", "grid"], ["all"], "/b/c", axis=1))
    for name, value in state.items():
        linear = name.endswith(".weight") and value.ndim == 2
        if not linear:
            add(f"backbone.{name}", value)
            continue
        edge = f"onnx::MatMul_{len(nodes)}"
        add(edge, value.T)
        node = "/backbone/" + name.removesuffix(".weight").replace(".", "/") + "/MatMul"
        node = node.replace("layer/", "layer.")
        nodes.append(helper.make_node("MatMul", ["x", edge], [f"y{len(nodes)}"], node))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "vit", [x], [], tensors)
    onnx.save(helper.make_model(graph), tmp_path / "vit.onnx")

    encoder = encoder_from_onnx(tmp_path / "vit.onnx", layers=2, image_size=(56, 56)).eval()
    encoder.layernorm = torch.nn.Identity()
    pixels = torch.randn(2, 3, 56, 56)
    with torch.inference_mode():
        expected = reference(pixels, output_hidden_states=True).hidden_states[2]
        torch.testing.assert_close(
            encoder(pixels).last_hidden_state, expected, atol=1e-4, rtol=1e-4
        )


def write_ctranslate2(path: Path, variables: dict[str, np.ndarray]) -> None:
    """A `model.bin` in CTranslate2's format."""

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    dtypes = {"float32": 0, "int8": 1, "float16": 4}
    parts = [struct.pack("<I", 6), string("WhisperSpec"), struct.pack("<II", 3, len(variables))]
    for name, value in variables.items():
        parts += [string(name), struct.pack("<B", value.ndim)]
        parts += [struct.pack("<I", size) for size in value.shape]
        parts += [struct.pack("<BI", dtypes[value.dtype.name], value.nbytes), value.tobytes()]
    path.write_bytes(b"".join(parts))


def test_the_decoder_is_whispers_with_a_smaller_vocabulary(tmp_path: Path):
    tokenizer = tiny_tokenizer(tmp_path)
    width, rng = 64, np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float16)

    variables = {
        "decoder/num_heads": np.array(1, np.int8),
        "decoder/embeddings/weight": random(len(tokenizer), width),
        "decoder/position_encodings/encodings": random(40, width),
        "decoder/layer_norm/gamma": random(width),
        "decoder/layer_norm/beta": random(width),
    }
    shapes = {
        "self_attention/linear_0": (3 * width, width),
        "self_attention/linear_1": (width, width),
        "attention/linear_0": (width, width),
        "attention/linear_1": (2 * width, width),
        "attention/linear_2": (width, width),
        "ffn/linear_0": (4 * width, width),
        "ffn/linear_1": (width, 4 * width),
    }
    for name, shape in shapes.items():
        variables[f"decoder/layer_0/{name}/weight"] = random(*shape)
        variables[f"decoder/layer_0/{name}/bias"] = random(shape[0])
    for name in ("self_attention", "attention", "ffn"):
        variables[f"decoder/layer_0/{name}/layer_norm/gamma"] = random(width)
        variables[f"decoder/layer_0/{name}/layer_norm/beta"] = random(width)
    write_ctranslate2(tmp_path / "model.bin", variables)
    model = (tmp_path / "model.bin").read_bytes()
    (tmp_path / "part1").write_bytes(model[:5000])
    (tmp_path / "part2").write_bytes(model[5000:])

    with pytest.raises(InputError, match=r"no whole model\.bin"):
        decoder_from_ctranslate2(
            [tmp_path / "part1"],
            tmp_path / "tokenizer.json",
            SENTENCES,
            vocab_size=20,
            n_positions=32,
        )
    decoder, cut = decoder_from_ctranslate2(
        [tmp_path / "part1", tmp_path / "part2"],
        tmp_path / "tokenizer.json",
        SENTENCES,
        vocab_size=20,
        n_positions=32,
    )
    assert 256 < len(cut) < len(tokenizer)
    assert len(cut) == decoder.config.vocab_size
    assert cut.eos_token_id == cut.pad_token_id == len(cut) - 1
    for text in (*SENTENCES, "A naïve café ☕"):
        assert cut.decode(cut(text)["input_ids"]) == text
    # Every kept token has its own row, and each part its place.
    embeddings = torch.from_numpy(variables["decoder/embeddings/weight"]).float()
    for token, i in cut.get_vocab().items():
        row = tokenizer.get_vocab()[token]
        assert torch.equal(decoder.transformer.wte.weight[i], embeddings[row])
    assert decoder.lm_head.weight is decoder.transformer.wte.weight
    fused = variables["decoder/layer_0/self_attention/linear_0/weight"].astype(np.float32)
    assert torch.equal(decoder.transformer.h[0].attn.c_attn.weight, torch.from_numpy(fused.T))


def test_other_files_are_said(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "file"
    path.write_bytes(b"broken" * 10)
    with pytest.raises(InputError, match="no ONNX file"):
        encoder_from_onnx(path, layers=2, image_size=(56, 56))
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "other", [], [])), path)
    with pytest.raises(InputError, match="another model"):
        encoder_from_onnx(path, layers=2, image_size=(56, 56))
    path.write_text("[]")
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        decoder_from_ctranslate2([path], path, [], vocab_size=9, n_positions=8)
