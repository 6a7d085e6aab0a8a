"""An ONNX graph of a decoder's layers, built from PyTorch's modules.

The graphs come without weights: whoever runs one hands them over as PyTorch holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from poster2plot.engine.layers import Layer
from poster2plot.engine.quantization import is_worth_quantizing, quantize_columns, smooth

ACTIVATIONS = {"gelu": "Gelu", "gelu_new": "FastGelu", "relu": "Relu"}  # by GPT-2's names
EXTERNAL_FILE = Path(__file__)  # weights need a file to be in, though it is never read

_MICROSOFT = "com.microsoft"
_OPERATOR_SETS = {"": 20, _MICROSOFT: 1}  # and their versions
_FUSED = {
    "FastGelu",
    "FusedMatMul",
    "MatMulIntegerToFloat",
}  # of ONNX Runtime, not of ONNX
# Of how the rows lie (`engine/rows.py`): which text's they are, and the shapes of what is made of
# them. `conditional` is how many have a poster, `slots` those of the past and of the step.
ROW_INPUTS: dict[str, list[str | int]] = {
    "padded": ["U", "K"],
    "places": ["R"],
    "cross_padded": ["B", "K"],
    "cross_places": ["C"],
    "conditional": [1],
    "unconditional_shape": [2],
    "slots": [2],
}


class Graph:
    """An ONNX graph in the making; values go by their names."""

    def __init__(self, int8: bool) -> None:
        self.int8 = int8
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self.weights: dict[str, Tensor] = {}

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one result, and return its name."""
        [result] = self.split(operator, *inputs, count=1, **attributes)
        return result

    def split(self, operator: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        """Add a node with `count` results, and return their names."""
        results = [f"{operator}_{len(self._nodes)}_{i}" for i in range(count)]
        domain = _MICROSOFT if operator in _FUSED else ""
        self._nodes.append(helper.make_node(operator, inputs, results, domain=domain, **attributes))
        return results

    def constant(self, value: Tensor | Sequence[int]) -> str:
        """A small initializer, copied into the graph."""
        name = f"constant_{len(self._constants)}"
        array = value.detach().numpy() if isinstance(value, Tensor) else np.array(value, np.int64)
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, value: Tensor) -> str:
        """An external initializer: the graph refers to it, and it stays in PyTorch's memory."""
        name = f"weight_{len(self.weights)}"
        self.weights[name] = value = value.detach().contiguous()
        kind = helper.np_dtype_to_tensor_dtype(value.numpy().dtype)
        place = onnx.StringStringEntryProto(key="location", value=EXTERNAL_FILE.name)
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
        if self.int8 and is_worth_quantizing(weight):
            product = self._int8_product(x, weight)
        else:
            product = self.apply("MatMul", x, self.weight(weight))
        return self._biased(product, bias)

    def _biased(self, product: str, bias: Tensor | None) -> str:
        return product if bias is None else self.apply("Add", product, self.constant(bias))

    def _int8_product(self, x: str, weight: Tensor) -> str:
        quantized, scales = quantize_columns(weight)
        # Each row has a scale of its own, so that others matter to it only through the last digits
        # of its floats, which rounding can make a step of. A row of zeros becomes not-a-number here
        # and integers then, which the product with its scale undoes.
        absmax = self.apply("ReduceMax", self.apply("Abs", x), self.constant([-1]))
        scale = self.constant(torch.tensor(1 / 127))
        zero_point = self.constant(torch.tensor(128, dtype=torch.uint8))
        quantized_x = self.apply("QuantizeLinear", self.apply("Div", x, absmax), scale, zero_point)
        inputs = quantized_x, self.weight(quantized), scale, self.constant(scales), zero_point
        return self.apply("Mul", self.apply("MatMulIntegerToFloat", *inputs), absmax)

    def norm_linear(self, x: str, norm: nn.LayerNorm, weight: Tensor, bias: Tensor | None) -> str:
        """The product of a layer norm's result with a weight (in, out)."""
        gain, shift = norm.weight.detach(), norm.bias.detach()
        if self.int8 and is_worth_quantizing(weight):
            gain, shift, weight = smooth(gain, shift, weight)
        return self.linear(self.norm(x, gain, shift, norm.eps), weight, bias)

    def norm(self, x: str, gain: Tensor, shift: Tensor, epsilon: float) -> str:
        """A layer norm."""
        constants = self.constant(gain), self.constant(shift)
        return self.apply("LayerNormalization", x, *constants, epsilon=epsilon)

    def shared_linear(self, x: str, weight: Tensor, bias: Tensor | None) -> str:
        """The product (R, out) of inputs (R, in) with a weight (out, in) that others use, too.

        Of a constant right factor the runtime makes a copy laid out its own way, a little faster;
        the left one it reads as it is.
        """
        product = self.apply("FusedMatMul", self.weight(weight), x, transB=1)
        return self._biased(self.apply("Transpose", product, perm=[1, 0]), bias)

    def serialized(
        self, inputs: Mapping[str, Sequence[str | int]], outputs: Sequence[str]
    ) -> bytes:
        """The graph with inputs of these shapes, in ONNX's format."""
        graph = helper.make_graph(
            self._nodes,
            "graph",
            [_value(name, shape) for name, shape in inputs.items()],
            [_value(name) for name in outputs],
            self._constants,
        )
        versions = [helper.make_opsetid(*version) for version in _OPERATOR_SETS.items()]
        data: bytes = helper.make_model(
            graph, opset_imports=versions, ir_version=10
        ).SerializeToString()
        return data


def add_layer(graph: Graph, layer: Layer, hidden: str, i: str, activation: str) -> list[str]:
    """Names of the results of layer `i`: hidden states, keys and values of the rows, attention."""
    block, own, cross = layer.block, layer.block.attn, layer.block.crossattention
    apply = graph.apply

    def linear(x: str, layer: Any) -> str:
        return graph.linear(x, layer.weight, layer.bias)

    def norm_linear(x: str, norm: nn.LayerNorm, layer: Any) -> str:
        return graph.norm_linear(x, norm, layer.weight, layer.bias)

    def split_heads(x: str, padded: str) -> str:
        """(R, width) to (N, heads, K, d)."""
        x = apply("Reshape", apply("Gather", x, padded, axis=0), heads)
        return apply("Transpose", x, perm=[0, 2, 1, 3])

    def merge_heads(x: str, places: str) -> str:
        """(N, heads, K, d) to (R, width)."""
        x = apply("Transpose", x, perm=[0, 2, 1, 3])
        return apply("Gather", apply("Reshape", x, rows), places, axis=0)

    rows = graph.constant([-1, own.embed_dim])
    heads = graph.constant([0, -1, own.num_heads, own.head_dim])  # 0 stays as it is
    qkv = norm_linear(hidden, block.ln_1, own.c_attn)
    query, new_key, new_value = graph.split("Split", qkv, count=3, axis=-1, num_outputs=3)
    query, key, value = (split_heads(x, "padded") for x in (query, new_key, new_value))
    # The past stays where it is: to put the step's keys and values behind it would copy all of it.
    before, now = (
        apply("FusedMatMul", query, keys, transB=1, alpha=own.scaling)
        for keys in (f"past_keys_{i}", key)
    )
    scores = apply("Add", apply("Concat", before, now, axis=-1), "attention_mask")
    before, now = graph.split("Split", apply("Softmax", scores), "slots", count=2, axis=-1)
    context = apply("Add", apply("MatMul", before, f"past_values_{i}"), apply("MatMul", now, value))
    hidden = apply("Add", hidden, linear(merge_heads(context, "places"), own.c_proj))

    conditional = apply("Slice", hidden, graph.constant([0]), "conditional")
    query = norm_linear(conditional, block.ln_cross_attn, cross.q_attn)
    query = split_heads(query, "cross_padded")
    scores = apply("FusedMatMul", query, f"cross_keys_{i}", transB=1, alpha=cross.scaling)
    attention = apply("Softmax", scores)
    context = merge_heads(apply("MatMul", attention, f"cross_values_{i}"), "cross_places")
    attended = linear(context, cross.c_proj)
    added = apply("Expand", graph.constant(layer.unconditional[None]), "unconditional_shape")
    hidden = apply("Add", hidden, apply("Concat", attended, added, axis=0))

    wide = apply(ACTIVATIONS[activation], norm_linear(hidden, block.ln_2, block.mlp.c_fc))
    hidden = apply("Add", hidden, linear(wide, block.mlp.c_proj))
    return [hidden, new_key, new_value, attention]


def _value(name: str, shape: Sequence[str | int] | None = None) -> onnx.ValueInfoProto:
    kind = TensorProto.INT64 if name in ROW_INPUTS else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, kind, shape)
