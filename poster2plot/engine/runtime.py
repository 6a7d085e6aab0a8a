"""A decoder's layers in ONNX Runtime, whose CPU kernels are faster than those of PyTorch.

A large decoder becomes several graphs: while a graph is laid out, its weights are in memory more
than once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from poster2plot.engine.blocks import Layer, Passed
from poster2plot.engine.cache import KeysValues

ACTIVATIONS = {"gelu": "Gelu", "gelu_new": "FastGelu", "relu": "Relu"}  # by GPT-2's names

_MICROSOFT = "com.microsoft"
_OPERATORS = {"": 20, _MICROSOFT: 1}  # versions of the operator sets
_FUSED = {"FastGelu", "MatMulIntegerToFloat"}  # of ONNX Runtime, not of ONNX
_KINDS = {"split": TensorProto.INT64, "shape": TensorProto.INT64, "guided": TensorProto.BOOL}
_GUIDED = np.array([True, False])[:, None, None]  # which stream sees the poster
_LEVELS = 100  # the largest weight: AVX2 adds two products in 16 bits, which 127 overflows at times
_SMALL = 2**18  # weights up to which to round the inputs takes longer than it saves
_GRAPH_BYTES = 2**27  # of weights in one graph
_SPIN = "200"  # microseconds that an idle thread waits busily, in the way of all others


class _Graph:
    """An ONNX graph in the making; values go by their names."""

    def __init__(self, int8: bool) -> None:
        self._int8 = int8
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

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

    def linear(self, x: str, weight: Tensor, bias: Tensor | None) -> str:
        """The product with a weight (in, out)."""
        if self._int8 and weight.numel() > _SMALL:
            product = self._int8_product(x, weight)
        else:
            product = self.apply("MatMul", x, self.constant(weight))
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
        inputs = rounded, self.constant(quantized), step, self.constant(scales), zero
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
        constants = self.constant(gain), self.constant(shift)
        normed = self.apply("LayerNormalization", x, *constants, epsilon=norm.eps)
        return self.linear(normed, weight, bias)

    def session(
        self, inputs: Mapping[str, Sequence[str | int]], outputs: Sequence[str]
    ) -> ort.InferenceSession:
        """The session of a graph with inputs of these shapes."""
        graph = helper.make_graph(
            self._nodes,
            "graph",
            [_value(name, shape) for name, shape in inputs.items()],
            [_value(name) for name in outputs],
            self._constants,
        )
        versions = [helper.make_opsetid(*version) for version in _OPERATORS.items()]
        model = helper.make_model(graph, opset_imports=versions, ir_version=10)
        data = model.SerializeToString()
        del graph, model
        self._constants.clear()  # the weights are in `data` now
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN)
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        session._model_bytes = None  # a copy of the weights, kept to start over elsewhere
        return session


def _value(name: str, shape: Sequence[str | int] | None = None) -> onnx.ValueInfoProto:
    kind = _KINDS.get(name, TensorProto.FLOAT)
    return helper.make_tensor_value_info(name, kind, shape)


class RuntimeBlocks:
    """Layers as an ONNX graph. They leave the iterator one by one, each when it is laid out."""

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
            "hidden": ["B", "G", "K", own.embed_dim],
            "unseen": ["B", 1, 1, "K", "slots"],
            "shape": [4],
            "split": [2],
            "guided": ["G", 1, 1],
        }
        for i in range(self._count):
            inputs |= {
                f"past_keys_{i}": ["B", "G", heads, d, "P"],
                f"past_values_{i}": ["B", "G", heads, "P", d],
                f"memory_keys_{i}": ["B", 1, heads, d, "S"],
                f"memory_values_{i}": ["B", 1, heads, "S", d],
            }
        self._outputs = [hidden, *keys, *values, *attention]
        self._session = graph.session(inputs, self._outputs)

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
        count, slots = self._count, past.keys.shape[-1]
        feed = {
            "hidden": hidden.numpy(),
            "shape": np.array(hidden.shape),
            "unseen": unseen.numpy(),
            "split": np.array([slots, unseen.shape[-1] - slots]),
            "guided": _GUIDED[: hidden.shape[1]],
        }
        for name, known in (("past", past), ("memory", memory)):
            feed |= {f"{name}_keys_{i}": keys for i, keys in enumerate(known.keys.numpy())}
            feed |= {f"{name}_values_{i}": each for i, each in enumerate(known.values.numpy())}
        wanted = self._outputs if with_attention else self._outputs[: 1 + 2 * count]
        found = [torch.from_numpy(each) for each in self._session.run(wanted, feed)]
        keys, values, attention = (found[1 + i * count :][:count] for i in range(3))
        return Passed(found[0], keys, values, [each[:, 0] for each in attention])


def _add_layer(graph: _Graph, layer: Layer, hidden: str, i: str, activation: str) -> list[str]:
    """Hidden states, keys and values of the step, and attention of layer `i` of a graph."""
    block, own, cross = layer.block, layer.block.attn, layer.block.crossattention
    width, heads, d = own.embed_dim, own.num_heads, own.head_dim
    apply, constant = graph.apply, graph.constant

    def linear(x: str, layer: Any) -> str:
        return graph.linear(x, layer.weight, layer.bias)

    def by_head(x: str, heads: int) -> str:
        """(B, G, K, width) to (B, G, heads, K, d)."""
        x = apply("Reshape", x, constant([0, 0, 0, heads, d]))
        return apply("Transpose", x, perm=[0, 1, 3, 2, 4])

    def joined(x: str) -> str:
        """(B, G, heads, K, d) to (B, G, K, width)."""
        x = apply("Transpose", x, perm=[0, 1, 3, 2, 4])
        return apply("Reshape", x, constant([0, 0, 0, width]))

    scale = torch.ones(3 * width)
    scale[:width] = own.scaling
    weight, bias = own.c_attn.weight * scale, own.c_attn.bias * scale
    qkv = by_head(graph.norm_linear(hidden, block.ln_1, weight, bias), 3 * heads)
    query, key, value = graph.split("Split", qkv, count=3, axis=2, num_outputs=3)
    key = apply("Transpose", key, perm=[0, 1, 2, 4, 3])
    before, now = apply("MatMul", query, f"past_keys_{i}"), apply("MatMul", query, key)
    scores = apply("Add", apply("Concat", before, now, axis=-1), "unseen")
    before, now = graph.split("Split", apply("Softmax", scores), "split", count=2, axis=-1)
    before, now = apply("MatMul", before, f"past_values_{i}"), apply("MatMul", now, value)
    hidden = apply("Add", hidden, linear(joined(apply("Add", before, now)), own.c_proj))

    weight, bias = cross.q_attn.weight * cross.scaling, cross.q_attn.bias * cross.scaling
    query = graph.norm_linear(hidden, block.ln_cross_attn, weight, bias)
    query = apply("Reshape", query, constant([0, 1, -1, width]))  # all streams in one product
    attention = apply("Softmax", apply("MatMul", by_head(query, heads), f"memory_keys_{i}"))
    seen = linear(joined(apply("MatMul", attention, f"memory_values_{i}")), cross.c_proj)
    seen = apply("Reshape", seen, "shape")
    hidden = apply("Add", hidden, apply("Where", "guided", seen, constant(layer.nothing)))

    up = block.mlp.c_fc
    wide = apply(ACTIVATIONS[activation], graph.norm_linear(hidden, block.ln_2, up.weight, up.bias))
    return [apply("Add", hidden, linear(wide, block.mlp.c_proj)), key, value, attention]


class RuntimeHead:
    """The last norm and the projection to the vocabulary."""

    def __init__(self, norm: nn.LayerNorm, head: nn.Linear, *, int8: bool) -> None:
        count, width = head.weight.shape
        size = _GRAPH_BYTES // (width * (1 if int8 else 4))
        self._sessions = []
        for rows in (slice(start, start + size) for start in range(0, count, size)):
            graph = _Graph(int8)
            bias = None if head.bias is None else head.bias[rows]
            logits = graph.norm_linear("hidden", norm, head.weight[rows].T, bias)
            self._sessions.append(graph.session({"hidden": ["B", "G", "K", width]}, [logits]))

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits (B, G, K, vocabulary) of hidden states (B, G, K, width)."""
        feed = {"hidden": hidden.numpy()}
        found = [torch.from_numpy(session.run(None, feed)[0]) for session in self._sessions]
        return found[0] if len(found) == 1 else torch.cat(found, dim=-1)


def layers_per_graph(layer_parameters: int, *, int8: bool) -> int:
    """How many layers of this size go into one graph."""
    return max(1, _GRAPH_BYTES // (layer_parameters * (1 if int8 else 4)))
