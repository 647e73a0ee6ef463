"""Which attentions of an ONNX graph may compute in int8, and their rounding inside a calibrated graph.

Queries by keys and probabilities by values take `N / (N + 6 C)` of a block's work for N tokens of width C: little for a
crop, two fifths for a clip of 1,568 tokens, where floating products leave int8 at 2.3 times eager instead of 3. Their
ranges follow the input, and one peaked row sets the step of all, so every attention is judged by itself: on a typical
input, rounded as the graph would round it, its output may change by 2 % (of its norm). Probabilities are rounded to 8
bits without sign; the quantizer's own rounding of the scores, for which Softmax has no use, is taken out again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from vitapps.require import require

Floats = NDArray[np.float32]
_LEAST_SHARE = 0.1  # of a block's work: below, rounding gains less than it risks
_LARGEST_CHANGE = 0.02
_HEADROOM = 1.25  # of probabilities: inputs in use have sharper rows than those that calibrate


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """Names in the graph: the products `score` and `mix` (nodes), their operands and `scores`, `logits` (what Softmax
    gets: scores by `factor`, plus a mask) and `probabilities` (tensors)."""

    score: str
    mix: str
    queries: str
    keys: str
    scores: str
    factor: float
    logits: str
    probabilities: str
    values: str

    @property
    def operands(self) -> list[str]:
        """The four tensors that are judged by."""
        return [self.queries, self.keys, self.logits, self.values]


def attentions(onnx: Any, graph: Any) -> list[Attention]:
    """Every softmax between two products of activations, in the graph's order."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = []
    for node in graph.node:
        after = readers.get(node.output[0], []) if node.op_type == "Softmax" else []
        if len(after) != 1 or after[0].op_type != "MatMul" or after[0].input[0] != node.output[0]:
            continue
        product, factor = _product_before(onnx, node.input[0], made_by, constants)
        if product is not None and not constants.keys() & {*product.input, *after[0].input}:
            found.append(Attention(
                score=product.name, mix=after[0].name, queries=product.input[0], keys=product.input[1],
                scores=product.output[0], factor=factor, logits=node.input[0], probabilities=node.output[0],
                values=after[0].input[1],
            ))  # fmt: skip
    return found


def _product_before(onnx: Any, name: str, made_by: dict[str, Any], constants: dict[str, Any]) -> tuple[Any, float]:
    """The product that the tensor is, scaled and masked; None where something else comes between."""
    node = made_by.get(name)
    if node is None or node.op_type == "MatMul":
        return node, 1.0
    if node.op_type not in {"Add", "Mul"}:
        return None, 1.0
    for side, other in (tuple(node.input), tuple(node.input)[::-1]):
        scale = onnx.numpy_helper.to_array(constants[other]) if other in constants else None
        if node.op_type == "Mul" and (scale is None or scale.size != 1):
            continue
        product, factor = _product_before(onnx, side, made_by, constants)
        if product is not None:
            return product, factor if node.op_type == "Add" or scale is None else factor * float(scale.item())
    return None, 1.0


def fit_for_int8(onnx: Any, model: Any, path: Path, image: Floats) -> list[Attention]:
    """The attentions of `model`, saved at `path`, that matter and may be rounded, judged on `image` 1 C *spatial."""
    every = attentions(onnx, model.graph)
    if not every:
        return []
    named = onnx.load(str(path))
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for one in every for name in dict.fromkeys(one.operands)]
    named.graph.output.extend({output.name: output for output in outputs}.values())
    runtime = require("onnxruntime", extra="onnxruntime")
    session = runtime.InferenceSession(named.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {model.graph.input[0].name: image}
    return [one for one in every if _fits(session.run(one.operands, feed), one.factor)]  # one at a time: N x N each


def _fits(operands: Sequence[Floats], factor: float) -> bool:
    """Whether it is worth it, and near enough: queries B H N D, keys B H D M, logits B H N M, values B H M D."""
    queries, keys, logits, values = operands
    if not queries.ndim == keys.ndim == values.ndim == logits.ndim == 4:
        return False
    tokens, width = values.shape[2], values.shape[1] * values.shape[3]
    if tokens < _LEAST_SHARE * (tokens + 6 * width):
        return False
    rough_queries, rough_keys, rough_values = (_rounded(part) for part in (queries, keys, values))
    step = max(float(softmax(row, axis=-1).max()) for row in logits.reshape(-1, *logits.shape[2:])) * _HEADROOM / 255
    wanted = change = 0.0
    for b, h in np.ndindex(logits.shape[:2]):
        exact = softmax(logits[b, h], axis=-1) @ values[b, h]  # N D
        rough = rough_queries[b, h] @ rough_keys[b, h] - queries[b, h] @ keys[b, h]  # N M
        weights = np.rint(softmax(logits[b, h] + factor * rough, axis=-1) / step).clip(0, 255) * step
        wanted += float(np.square(exact).sum())
        change += float(np.square(weights @ rough_values[b, h] - exact).sum())
    return change <= _LARGEST_CHANGE**2 * wanted


def _rounded(part: Floats) -> Floats:
    """To 8 bits over its range, as the graph will."""
    step = np.float32(max(float(np.abs(part).max()), 1e-12) / 127)
    return np.asarray(np.rint(part / step) * step, np.float32)


def finish(onnx: Any, graph: Any, chosen: Sequence[Attention]) -> None:
    """In the calibrated `graph`: scores reach Softmax unrounded, and probabilities get headroom (none passes 1)."""
    steps = {tensor.name: tensor for tensor in graph.initializer}
    dropped = {node.name for one in chosen for node in _unrounded(graph, one.scores)}
    for one in chosen:
        step = steps[f"{one.probabilities}_scale"]
        wider = np.minimum(onnx.numpy_helper.to_array(step) * _HEADROOM, 1 / 255).astype(np.float32)
        step.CopyFrom(onnx.numpy_helper.from_array(wider, step.name))
    nodes = [node for node in graph.node if node.name not in dropped]
    read = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)


def _unrounded(graph: Any, name: str) -> list[Any]:
    """Let what reads the rounded tensor read it as it was; the two nodes of the rounding, which nothing reads now."""
    readers = {node.input[0]: node for node in graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}}
    rounding = readers[name]
    back = readers[rounding.output[0]]
    for node in graph.node:
        for place, read in enumerate(node.input):
            if read == back.output[0]:
                node.input[place] = name
    return [rounding, back]
