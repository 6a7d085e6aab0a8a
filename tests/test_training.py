"""The steps that made the bundled model, on tiny parts."""

import csv
import io
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model, VisionEncoderDecoderModel

from poster2plot import Poster2Plot
from poster2plot.training import data
from poster2plot.training.convert import decoder_from_ctranslate2, encoder_from_onnx
from poster2plot.training.data import IGNORED, Features, Pair
from poster2plot.training.evaluate import Diversity, losses
from poster2plot.training.loop import Schedule, optimise
from poster2plot.training.losses import caption_loss
from poster2plot.training.phases import train_captioner
from tests.conftest import draw_poster, encode
from tests.tiny import SENTENCES, tiny_model, tiny_tokenizer

COLORS = ("navy", "darkred", "white", "green", "orange")
PAIRS = [Pair(f"tt{i:07}", text) for i, text in enumerate(SENTENCES)]


# Texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "A cop returns to his home town after many years.  He finds it gone.",
            "A cop returns to his home town after many years. He finds it gone.",
        ),
        (
            "A cop returns to the town he left as a boy. He waits. He waits. He waits. He waits.",
            "A cop returns to the town he left as a boy. He waits. He waits. He waits.",
        ),
        ("Too short.", None),
        ("A cop returns to his home town after many years and finds", None),
        ("Heat is a 1995 American crime film about a cop who hunts a thief.", None),
        ("With Tom Jones, Ann Miller, Bob Stone and many other people you know.", None),
        ("Полицейский возвращается в родной город через много лет.", None),
        ("One day young Jack meets old Rose, and Rose meets the great Cal of Boston.", None),
    ],
)
def test_premise(text: str, expected: str | None):
    assert data.premise(text, longest=80) == expected


# Converted weights


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

    decoder, cut = decoder_from_ctranslate2(
        tmp_path / "model.bin",
        tmp_path / "tokenizer.json",
        SENTENCES,
        vocabulary=20,
        positions=32,
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


# Batches


def test_blocks_hold_every_text_between_end_tokens():
    tokenizer = tiny_tokenizer()
    blocks = data.packed_blocks(tokenizer, SENTENCES, length=8, seed=0)
    text = tokenizer.decode(blocks.flatten())
    assert blocks.shape[1] == 8
    assert text.startswith(tokenizer.eos_token)
    assert sum(sentence in text for sentence in SENTENCES) >= len(SENTENCES) - 1


def test_labels_end_in_one_end_token():
    tokenizer = tiny_tokenizer()
    batches = list(data.pair_batches(tokenizer, PAIRS, batch=2, longest=128, seed=0))
    assert len(batches) == 2
    for ids, labels in batches:
        assert labels.shape[1] % 8 == 0
        for id, row in zip(ids, labels, strict=True):
            kept = row[row != IGNORED]
            assert kept[-1] == tokenizer.eos_token_id
            [text] = [pair.text for pair in PAIRS if pair.id == id]
            assert tokenizer.decode(kept[:-1]) == text


def test_the_caption_loss_is_the_stock_models():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    _, labels = next(data.pair_batches(tokenizer, PAIRS, batch=2, longest=128, seed=0))
    labels = labels[:, :56]
    pixels = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        states = model.encoder(pixels).last_hidden_state
        expected = model(pixel_values=pixels, labels=labels).loss
        assert caption_loss(model.decoder, states, labels) == pytest.approx(float(expected))


# Training


class KilledError(Exception):
    """Stands for the end of the process."""


def linear_run(state: Path, *, killed_at: int | None = None) -> Tensor:
    """A little regression with random noise; its weights in the end."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    steps = 0

    def batches(number: int) -> Iterator[Tensor]:
        yield from torch.randn(5, 8, 4, generator=torch.Generator().manual_seed(number))

    def loss(x: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        if steps == killed_at:
            raise KilledError
        return (model(x + 0.1 * torch.randn(x.shape)) - x.sum(1, keepdim=True)).square().mean()

    schedule = Schedule(steps=23, warmup=3, evaluate_every=10, save_every=4)
    groups = [(list(model.parameters()), 0.05)]
    optimise(model, groups, batches, loss, lambda: "", schedule, state)
    return model.weight.detach().clone()


@pytest.mark.parametrize("killed_at", [3, 5, 11, 18])
def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path, killed_at: int):
    expected = linear_run(tmp_path / "whole.pt")
    with pytest.raises(KilledError):
        linear_run(tmp_path / "killed.pt", killed_at=killed_at)
    assert torch.equal(linear_run(tmp_path / "killed.pt"), expected)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """The five pairs, their posters in a tar, and the corpus of nothing."""
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "split", "text"])
        writer.writerows([pair.id, "train", pair.text] for pair in PAIRS)
    with tarfile.open(tmp_path / "posters-00.tar", "w") as tar:
        for pair, color in zip(PAIRS, COLORS, strict=True):
            poster = encode(draw_poster(color), "WEBP")
            member = tarfile.TarInfo(f"posters/{pair.id}.webp")
            member.size = len(poster)
            tar.addfile(member, io.BytesIO(poster))
    return tmp_path


def test_a_captioner_learns_to_tell_posters_apart(
    dataset: Path, tiny: Poster2Plot, capsys: pytest.CaptureFixture[str]
):
    pairs = data.read_pairs(dataset, "train", longest=200)
    assert pairs == PAIRS
    posters = dict(data.read_posters(dataset, {pair.id for pair in pairs}))
    model = tiny_model(seed=1)
    data.compute_features(
        model.encoder,
        tiny.image_processor,
        iter(posters.items()),
        dataset / "features.npy",
        count=len(posters),
        batch=2,
    )
    train_captioner(
        model,
        tiny.tokenizer,
        Features(dataset / "features.npy"),
        pairs,
        pairs,
        schedule=Schedule(steps=120, warmup=10, evaluate_every=120, save_every=120),
        state=dataset / "train.pt",
        rate=3e-3,
        cross_rate=3e-3,
        batch=5,
    )
    assert "picture gain" in capsys.readouterr().out
    p2p = Poster2Plot.from_pretrained(save_checkpoint(model, tiny, dataset / "captioner"), "cpu")
    assert losses(p2p, pairs, posters, batch=5).picture_gain > 0.1


def save_checkpoint(model: VisionEncoderDecoderModel, tiny: Poster2Plot, folder: Path) -> Path:
    model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    tiny.image_processor.save_pretrained(folder)
    return folder


def test_diversity():
    plots = ["A man in a hat walks.", "A man in a hat runs.", "Dogs bark", "Dogs bark"]
    diversity = Diversity.of(plots)
    assert diversity == Diversity(0.75, 0.5, "A man in a", 0.5)
