"""A decoder's layers in ONNX Runtime, whose CPU kernels are faster than those of PyTorch.

The graphs come without weights: the runtime reads those of PyTorch where they lie, and lets them go
once it has laid them out its own way. A large decoder becomes several graphs, so that few weights
are there twice at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from poster2plot.engine.cache import KeysValues
from poster2plot.engine.layers import Layer, Passed

ACTIVATIONS = {"gelu": "Gelu", "gelu_new": "FastGelu", "relu": "Relu"}  # by GPT-2's names

_MICROSOFT = "com.microsoft"
_OPERATORS = {"": 20, _MICROSOFT: 1}  # versions of the operator sets
_FUSED = {
    "FastGelu",
    "FusedMatMul",
    "MatMulIntegerToFloat",
    "MultiHeadAttention",
}  # of ONNX Runtime, not of ONNX
_KINDS = {"shape": TensorProto.INT64, "by_head": TensorProto.INT64, "guided": TensorProto.BOOL}
_LEVELS = 100  # the largest weight: AVX2 adds two products in 16 bits, which 127 overflows at times
_SMALL = 2**18  # weights up to which to round the inputs takes longer than it saves
_GRAPH_BYTES = 2**27  # of weights in one graph
_ELSEWHERE = Path(__file__)  # weights need a file to be in, though it is never read
_SPIN = "200"  # microseconds that an idle thread waits busily, in the way of all others


class _Graph:
    """An ONNX graph in the making; values go by their names."""

    def __init__(self, int8: bool) -> None:
        self._int8 = int8
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._weights: dict[str, Tensor] = {}

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        [result] = self.split(operator, *inputs, count=1, **attributes)
        return result

    def split(self, operator: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        """Apply an operator with `count` results."""
        results = [f"{operator}_{len(self._nodes)}_{i}" for i in range(count)]
        domain = _MICROSOFT if operator in _FUSED else ""
        self._nodes.append(helper.make_node(operator, inputs, results, domain=domain, **attributes))
        return results

    def constant(self, value: Tensor | Sequence[int]) -> str:
        name = f"constant_{len(self._constants)}"
        array = value.detach().numpy() if isinstance(value, Tensor) else np.array(value, np.int64)
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, value: Tensor) -> str:
        """A constant that stays where it lies."""
        name = f"weight_{len(self._weights)}"
        self._weights[name] = value = value.detach().contiguous()
        kind = helper.np_dtype_to_tensor_dtype(value.numpy().dtype)
        place = onnx.StringStringEntryProto(key="location", value=_ELSEWHERE.name)
        self._constants.append(
            TensorProto(
                name=name,
                data_type=kind,
                dims=value.shape,
                data_location=TensorProto.EXTERNAL,
                external_data=[place],
            )
        )
        return name

    def linear(self, x: str, weight: Tensor, bias: Tensor | None) -> str:
        """The product with a weight (in, out)."""
        if self._int8 and weight.numel() > _SMALL:
            product = self._int8_product(x, weight)
        else:
            product = self.apply("MatMul", x, self.weight(weight))
        return self._biased(product, bias)

    def _biased(self, product: str, bias: Tensor | None) -> str:
        return product if bias is None else self.apply("Add", product, self.constant(bias))

    def _int8_product(self, x: str, weight: Tensor) -> str:
        scales = weight.abs().amax(0).clamp(min=1e-8) / _LEVELS
        quantized = (weight / scales).round_().to(torch.int8)
        # Each row has a scale of its own, so that no poster depends on the others. A row of zeros
        # becomes not-a-number here and integers then, which the product with its scale undoes.
        largest = self.apply("ReduceMax", self.apply("Abs", x), self.constant([-1]))
        step = self.constant(torch.tensor(1 / 127))
        zero = self.constant(torch.tensor(128, dtype=torch.uint8))
        rounded = self.apply("QuantizeLinear", self.apply("Div", x, largest), step, zero)
        inputs = rounded, self.weight(quantized), step, self.constant(scales), zero
        return self.apply("Mul", self.apply("MatMulIntegerToFloat", *inputs), largest)

    def norm_linear(self, x: str, norm: nn.LayerNorm, weight: Tensor, bias: Tensor | None) -> str:
        """The product of a layer norm's result with a weight (in, out)."""
        gain, shift = norm.weight.detach(), norm.bias.detach()
        if self._int8 and weight.numel() > _SMALL:
            # Columns of the input share a row's scale: let those of weights bear half of what
            # sets them apart (SmoothQuant, Xiao et al. 2023, arXiv:2211.10438).
            typical, largest = torch.hypot(gain, shift), weight.abs().amax(1)
            columns = (typical.clamp(min=1e-4) / largest.clamp(min=1e-4)).sqrt()
            gain, shift, weight = gain / columns, shift / columns, weight * columns[:, None]
        return self.linear(self.norm(x, gain, shift, norm.eps), weight, bias)

    def norm(self, x: str, gain: Tensor, shift: Tensor, epsilon: float) -> str:
        constants = self.constant(gain), self.constant(shift)
        return self.apply("LayerNormalization", x, *constants, epsilon=epsilon)

    def shared_linear(self, x: str, weight: Tensor, bias: Tensor | None) -> str:
        """The product (R, out) of inputs (R, in) with a weight (out, in) that others use, too.

        Of a constant right factor the runtime makes a copy laid out its own way, a little faster;
        the left one it reads as it is.
        """
        product = self.apply("FusedMatMul", self.weight(weight), x, transB=1)
        return self._biased(self.apply("Transpose", product, perm=[1, 0]), bias)

    def sessions(
        self, inputs: Mapping[str, Sequence[str | int]], outputs: Sequence[str]
    ) -> list[ort.InferenceSession]:
        """Sessions of a graph with inputs of these shapes: for all threads together and for one.

        Each lays out the weights for itself. In fp32, where these are large, it is one for both.
        """
        graph = helper.make_graph(
            self._nodes,
            "graph",
            [_value(name, shape) for name, shape in inputs.items()],
            [_value(name) for name in outputs],
            self._constants,
        )
        versions = [helper.make_opsetid(*version) for version in _OPERATORS.items()]
        model = helper.make_model(graph, opset_imports=versions, ir_version=10)
        data, threads = model.SerializeToString(), torch.get_num_threads()
        together = _session(data, self._weights, threads)
        in_turn = threads == 1 or not self._int8
        return [together, together if in_turn else _session(data, self._weights, 1)]


def _session(data: bytes, weights: Mapping[str, Tensor], threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN)
    options.enable_cpu_mem_arena = False  # it would keep all that the largest batch ever took
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    # Through DLPack the runtime shares the ownership; it takes none of NumPy's arrays. The options
    # only point to them.
    shared = {name: ort.OrtValue.from_dlpack(weight) for name, weight in weights.items()}
    for name, value in shared.items():
        options.add_initializer(name, value)
    folder = "session.model_external_initializers_file_folder_path"
    options.add_session_config_entry(folder, str(_ELSEWHERE.parent))
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _value(name: str, shape: Sequence[str | int] | None = None) -> onnx.ValueInfoProto:
    kind = _KINDS.get(name, TensorProto.FLOAT)
    return helper.make_tensor_value_info(name, kind, shape)


class RuntimeBlocks:
    """Layers as an ONNX graph."""

    def __init__(self, layers: Iterable[Layer], activation: str, *, int8: bool) -> None:
        graph = _Graph(int8)
        hidden = "hidden"
        keys: list[str] = []
        values: list[str] = []
        attention: list[str] = []
        for i, layer in enumerate(layers):
            own = layer.block.attn
            passed = _add_layer(graph, layer, hidden, str(i), activation)
            hidden = passed[0]
            for results, result in zip((keys, values, attention), passed[1:], strict=True):
                results.append(result)
        self._count = len(keys)
        heads, d = own.num_heads, own.head_dim
        inputs: dict[str, list[str | int]] = {
            "hidden": ["B*G", "K", own.embed_dim],
            "unseen": ["B*G", 1, "K", "T"],
            "guided": ["B*G", 1, 1],
            "shape": [3],
            "by_head": [4],
        }
        for i in range(self._count):
            inputs |= {f"past_{name}_{i}": ["B*G", heads, "P", d] for name in ("keys", "values")}
            inputs |= {f"poster_{name}_{i}": ["B", heads, "S", d] for name in ("keys", "values")}
        self._outputs = [hidden, *keys, *values, *attention]
        self._by_head = [heads, d]
        self._session, self._session_of_one = graph.sessions(inputs, self._outputs)

    def on_one_thread(self) -> RuntimeBlocks:
        """The same layers for threads that each do their work alone, side by side."""
        blocks = copy.copy(self)
        blocks._session = self._session_of_one
        return blocks

    def __len__(self) -> int:
        return self._count

    def __call__(
        self,
        hidden: Tensor,
        past: KeysValues,
        unseen: Tensor,
        memory: KeysValues,
        *,
        with_attention: bool = False,
    ) -> Passed:
        count, (posters, streams, beams, width) = self._count, hidden.shape
        unseen = unseen[:, None].expand(-1, streams, -1, -1).flatten(0, 1)
        feed = {
            "hidden": hidden.flatten(0, 1).numpy(),
            "unseen": unseen[:, None].numpy(),
            "guided": np.tile([True, False][:streams], posters)[:, None, None],
            "shape": np.array([posters * streams, beams, width]),
            "by_head": np.array([posters, streams * beams, *self._by_head]),
        }
        for name, known in (("past", past), ("poster", memory)):
            for i, (keys, values) in enumerate(known):
                feed[f"{name}_keys_{i}"] = keys.flatten(0, 1).numpy()
                feed[f"{name}_values_{i}"] = values.flatten(0, 1).numpy()
        wanted = self._outputs if with_attention else self._outputs[: 1 + 2 * count]
        found = [torch.from_numpy(each) for each in self._session.run(wanted, feed)]
        hidden, *both = (each.unflatten(0, (posters, streams)) for each in found[: 1 + 2 * count])
        known = list(zip(both[:count], both[count:], strict=True))
        return Passed(hidden, known, found[1 + 2 * count :])


def _add_layer(graph: _Graph, layer: Layer, hidden: str, i: str, activation: str) -> list[str]:
    """Hidden states, keys and values of all slots, and attention of layer `i` of a graph."""
    block, own, cross = layer.block, layer.block.attn, layer.block.crossattention
    apply = graph.apply

    def linear(x: str, layer: Any) -> str:
        return graph.linear(x, layer.weight, layer.bias)

    def norm_linear(x: str, norm: nn.LayerNorm, layer: Any) -> str:
        return graph.norm_linear(x, norm, layer.weight, layer.bias)

    qkv = norm_linear(hidden, block.ln_1, own.c_attn)
    query, key, value = graph.split("Split", qkv, count=3, axis=-1, num_outputs=3)
    inputs = [query, key, value, "", "", "unseen", f"past_keys_{i}", f"past_values_{i}"]
    mixed, keys, values = graph.split(
        "MultiHeadAttention", *inputs, count=3, num_heads=own.num_heads, scale=own.scaling
    )
    hidden = apply("Add", hidden, linear(mixed, own.c_proj))

    query = norm_linear(hidden, block.ln_cross_attn, cross.q_attn)
    # All streams in one product, (B, heads, G * K, d).
    query = apply("Transpose", apply("Reshape", query, "by_head"), perm=[0, 2, 1, 3])
    scores = apply("FusedMatMul", query, f"poster_keys_{i}", transB=1, alpha=cross.scaling)
    attention = apply("Softmax", scores)
    mixed = apply("Transpose", apply("MatMul", attention, f"poster_values_{i}"), perm=[0, 2, 1, 3])
    seen = linear(apply("Reshape", mixed, "shape"), cross.c_proj)
    hidden = apply("Add", hidden, apply("Where", "guided", seen, graph.constant(layer.nothing)))

    wide = apply(ACTIVATIONS[activation], norm_linear(hidden, block.ln_2, block.mlp.c_fc))
    return [apply("Add", hidden, linear(wide, block.mlp.c_proj)), keys, values, attention]


class RuntimeHead:
    """The last norm and the projection to the vocabulary."""

    def __init__(self, norm: nn.LayerNorm, head: nn.Linear, *, int8: bool) -> None:
        graph = _Graph(int8)
        if int8:
            logits = graph.norm_linear("hidden", norm, head.weight.T, head.bias)
        else:
            # Tied to the embedding, which is large and must stay as it is.
            normed = graph.norm("hidden", norm.weight, norm.bias, norm.eps)
            logits = graph.shared_linear(normed, head.weight, head.bias)
        self._session, self._session_of_one = graph.sessions(
            {"hidden": ["rows", head.in_features]}, [logits]
        )

    def on_one_thread(self) -> RuntimeHead:
        """The same head for threads that each do their work alone, side by side."""
        head = copy.copy(self)
        head._session = self._session_of_one
        return head

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits (B, G, K, vocabulary) of hidden states (B, G, K, width)."""
        [logits] = self._session.run(None, {"hidden": hidden.flatten(0, -2).numpy()})
        return torch.from_numpy(logits).view(*hidden.shape[:-1], -1)


def layers_per_graph(layer_parameters: int, *, int8: bool) -> int:
    """How many layers of this size go into one graph."""
    return max(1, _GRAPH_BYTES // (layer_parameters * (1 if int8 else 4)))
