"""A BERT encoder as an ONNX file, made from its plain weights: no PyTorch, and no download, is needed for it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, NDArray[Any]]

OPSET, IR_VERSION = 20, 9
HIDDEN_BY_MASK = -1e9
TYPES: Mapping[str, Any] = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a file by name."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], TYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def random_weights(config: Mapping[str, int], seed: int = 0) -> dict[str, NDArray[Any]]:
    """Weights of an untrained encoder, large enough that different words give different vectors."""
    random = np.random.default_rng(seed)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
    }
    for layer in range(config["num_hidden_layers"]):
        inside = f"encoder.layer.{layer}."
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{inside}{name}.weight": (hidden, hidden), f"{inside}{name}.bias": (hidden,)}
        shapes |= {f"{inside}intermediate.dense.weight": (inner, hidden), f"{inside}intermediate.dense.bias": (inner,)}
        shapes |= {f"{inside}output.dense.weight": (hidden, inner), f"{inside}output.dense.bias": (hidden,)}
    weights = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        norms += [f"encoder.layer.{layer}.{name}.LayerNorm" for name in ("attention.output", "output")]
    for name in norms:
        weights |= {f"{name}.weight": np.ones(hidden, np.float32), f"{name}.bias": np.zeros(hidden, np.float32)}
    return weights


def write_encoder(config: Mapping[str, int], weights: Weights, path: Path) -> None:
    """Token vectors of texts, as sentence embedders pool them."""
    graph = _Graph(config, weights)
    graph.save(graph.encode(), "last_hidden_state", ["batch", "length", config["hidden_size"]], path)


def write_cross_encoder(config: Mapping[str, int], weights: Weights, head: NDArray[Any], path: Path) -> None:
    """One logit per pair of texts, read off the first token by a weight per dimension."""
    graph = _Graph(config, weights)
    first = graph.node("Gather", graph.encode(), graph.value(np.array(0, np.int64)), axis=1)
    logits = graph.node("MatMul", first, graph.value(head.reshape(-1, 1).astype(np.float32)))
    graph.save(logits, "logits", ["batch", 1], path)


class _Graph:
    """Nodes and weights in the order in which they are made."""

    def __init__(self, config: Mapping[str, int], weights: Weights) -> None:
        self._config = config
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._values: list[onnx.TensorProto] = []

    def value(self, array: NDArray[Any]) -> str:
        name = f"value{len(self._values)}"
        self._values.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"node{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def encode(self) -> str:
        states = self._embed()
        mask = self._mask()
        for layer in range(self._config["num_hidden_layers"]):
            inside = f"encoder.layer.{layer}."
            attended = self._linear(self._attend(states, mask, inside), f"{inside}attention.output.dense")
            states = self._norm(self.node("Add", attended, states), f"{inside}attention.output.LayerNorm")
            inner = self.node("Gelu", self._linear(states, f"{inside}intermediate.dense"))
            outer = self._linear(inner, f"{inside}output.dense")
            states = self._norm(self.node("Add", outer, states), f"{inside}output.LayerNorm")
        return states

    def save(self, output: str, name: str, shape: list[str | int], path: Path) -> None:
        self._nodes.append(helper.make_node("Identity", [output], [name]))
        inputs = [
            helper.make_tensor_value_info(tensor, TensorProto.INT64, ["batch", "length"])
            for tensor in ("input_ids", "attention_mask", "token_type_ids")
        ]
        result = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, "bert", inputs, [result], self._values)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))

    def _embed(self) -> str:
        words = self.node("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        kinds = self.node("Gather", self._weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
        one, zero = self.value(np.array([1], np.int64)), self.value(np.array([0], np.int64))
        length = self.node("Gather", self.node("Shape", "input_ids"), one)
        places = self.node("Slice", self._weight("embeddings.position_embeddings.weight"), zero, length, zero)
        return self._norm(self.node("Add", self.node("Add", words, kinds), places), "embeddings.LayerNorm")

    def _mask(self) -> str:
        mask = self.node("Cast", "attention_mask", to=TensorProto.FLOAT)
        absent = self.node("Sub", self.value(np.array(1, np.float32)), mask)
        hidden = self.node("Mul", absent, self.value(np.array(HIDDEN_BY_MASK, np.float32)))
        return self.node("Unsqueeze", hidden, self.value(np.array([1, 2], np.int64)))

    def _attend(self, states: str, mask: str, inside: str) -> str:
        heads = self._config["num_attention_heads"]
        width = self._config["hidden_size"] // heads
        split = self.value(np.array([0, 0, heads, width], np.int64))
        parts = (self._linear(states, f"{inside}attention.self.{name}") for name in ("query", "key", "value"))
        query, key, value = (self.node("Reshape", part, split) for part in parts)
        query, value = (self.node("Transpose", part, perm=[0, 2, 1, 3]) for part in (query, value))
        key = self.node("Transpose", key, perm=[0, 2, 3, 1])
        scale = self.value(np.array(width**-0.5, np.float32))
        scores = self.node("Add", self.node("Mul", self.node("MatMul", query, key), scale), mask)
        mixed = self.node("MatMul", self.node("Softmax", scores, axis=-1), value)
        joined = self.value(np.array([0, 0, heads * width], np.int64))
        return self.node("Reshape", self.node("Transpose", mixed, perm=[0, 2, 1, 3]), joined)

    def _linear(self, states: str, name: str) -> str:
        product = self.node("MatMul", states, self.value(self._weights[f"{name}.weight"].T))
        return self.node("Add", product, self._weight(f"{name}.bias"))

    def _norm(self, states: str, name: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self.node("LayerNormalization", states, scale, shift, axis=-1, epsilon=1e-12)

    def _weight(self, name: str) -> str:
        return self.value(self._weights[name])
