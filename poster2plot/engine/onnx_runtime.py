"""A decoder's layers in ONNX Runtime, whose CPU kernels are faster than those of PyTorch.

The runtime reads PyTorch's weights where they lie, and lets them go once it has laid them out its
own way. A large decoder becomes several graphs, so that few weights are there twice at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from poster2plot.engine.cache import KeysValues
from poster2plot.engine.layers import Layer, LayerOutputs
from poster2plot.engine.onnx_graph import EXTERNAL_FILE, ROW_INPUTS, Graph, add_layer
from poster2plot.engine.rows import Rows

_GRAPH_BYTES = 2**27  # of weights in one graph
_SPIN = "200"  # microseconds that an idle thread waits busily, in the way of all others


class OnnxLayers:
    """`Layers` as an ONNX graph; `activation` is one of `onnx_graph.ACTIVATIONS`."""

    def __init__(self, layers: Iterable[Layer], activation: str, *, int8: bool) -> None:
        graph = Graph(int8)
        hidden = "hidden"
        keys: list[str] = []
        values: list[str] = []
        cross_attentions: list[str] = []
        for i, layer in enumerate(layers):
            own = layer.block.attn
            hidden, *others = add_layer(graph, layer, hidden, str(i), activation)
            for results, result in zip((keys, values, cross_attentions), others, strict=True):
                results.append(result)
        self._count = len(keys)
        heads, d = own.num_heads, own.head_dim
        inputs: dict[str, list[str | int]] = {
            "hidden": ["R", own.embed_dim],
            "attention_mask": ["U", 1, "K", "P+K"],
            **ROW_INPUTS,
        }
        for i in range(self._count):
            inputs |= {f"past_{name}_{i}": ["U", heads, "P", d] for name in ("keys", "values")}
            inputs |= {f"cross_{name}_{i}": ["B", heads, "S", d] for name in ("keys", "values")}
        self._outputs = [hidden, *keys, *values, *cross_attentions]
        self._session, self._single_threaded_session = _sessions(graph, inputs, self._outputs)

    def single_threaded(self) -> OnnxLayers:
        """The same layers computed on the calling thread alone, for concurrent decoding."""
        blocks = copy.copy(self)
        blocks._session = self._single_threaded_session
        return blocks

    def __len__(self) -> int:
        return self._count

    def __call__(
        self,
        hidden: Tensor,
        rows: Rows,
        past: KeysValues,
        attention_mask: Tensor,
        cross_attention: KeysValues,
        *,
        output_attentions: bool = False,
    ) -> LayerOutputs:
        count, beams, total = self._count, attention_mask.shape[1], attention_mask.shape[2]
        feed = {
            "hidden": hidden.numpy(),
            "attention_mask": attention_mask[:, None].numpy(),
            "padded": rows.attention.padded.numpy(),
            "places": rows.attention.places.numpy(),
            "cross_padded": rows.cross_attention.padded.numpy(),
            "cross_places": rows.cross_attention.places.numpy(),
            "conditional": np.array([rows.conditional]),
            "unconditional_shape": np.array([len(hidden) - rows.conditional, hidden.shape[1]]),
            "slots": np.array([total - beams, beams]),
        }
        for name, cached in (("past", past), ("cross", cross_attention)):
            for i, (keys, values) in enumerate(cached):
                feed[f"{name}_keys_{i}"] = keys.numpy()
                feed[f"{name}_values_{i}"] = values.numpy()
        wanted = self._outputs if output_attentions else self._outputs[: 1 + 2 * count]
        hidden, *others = (torch.from_numpy(each) for each in self._session.run(wanted, feed))
        new = list(zip(others[:count], others[count : 2 * count], strict=True))
        return LayerOutputs(hidden, new, others[2 * count :])


class OnnxLMHead:
    """The final layer norm and the language-modelling head."""

    def __init__(self, norm: nn.LayerNorm, head: nn.Linear, *, int8: bool) -> None:
        graph = Graph(int8)
        if int8:
            logits = graph.norm_linear("hidden", norm, head.weight.T, head.bias)
        else:
            # Tied to the embedding, which is large and must stay as it is.
            normed = graph.norm("hidden", norm.weight, norm.bias, norm.eps)
            logits = graph.shared_linear(normed, head.weight, head.bias)
        self._session, self._single_threaded_session = _sessions(
            graph, {"hidden": ["rows", head.in_features]}, [logits]
        )

    def single_threaded(self) -> OnnxLMHead:
        """The same head computed on the calling thread alone, for concurrent decoding."""
        head = copy.copy(self)
        head._session = self._single_threaded_session
        return head

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits (R, vocabulary) of hidden states (R, width)."""
        [logits] = self._session.run(None, {"hidden": hidden.numpy()})
        return torch.from_numpy(logits)


def layers_per_graph(layer_parameters: int, *, int8: bool) -> int:
    """How many layers of this size go into one graph."""
    return max(1, _GRAPH_BYTES // (layer_parameters * (1 if int8 else 4)))


def _sessions(
    graph: Graph, inputs: Mapping[str, Sequence[str | int]], outputs: Sequence[str]
) -> list[ort.InferenceSession]:
    """Sessions of a graph with inputs of these shapes: for all threads together and for one.

    Each lays out the weights for itself. In fp32, where these are large, it is one for both.
    """
    data, threads = graph.serialized(inputs, outputs), torch.get_num_threads()
    multi_threaded = _session(data, graph.weights, threads)
    shared = threads == 1 or not graph.int8
    return [multi_threaded, multi_threaded if shared else _session(data, graph.weights, 1)]


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
    options.add_session_config_entry(folder, str(EXTERNAL_FILE.parent))
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
