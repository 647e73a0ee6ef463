"""An int8 graph by calibration: ONNX Runtime's static quantization, in a form that OpenVINO runs as well.

Chosen over nncf because one file serves both engines and the package is the `onnxruntime` extra that we have anyway
(nncf adds ten more). Weights are quantized per output channel, activations symmetrically per tensor from their range on
the calibration inputs; symmetric ones run 1.3x faster in OpenVINO than asymmetric ones (no zero point to correct for).
Products of two activations, queries by keys and scores by values, stay floating but where they are much of the work and
their rounding does little (`int8_attention`).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UsageError
from vitapps.require import require
from vitapps.shared_backbones.engines.int8_attention import Attention, finish, fit_for_int8

log = logging.getLogger("vitapps.engines.int8")
Layers = Literal["all", "linear", "conv"]
_KINDS: dict[Layers, tuple[str, ...]] = {
    "all": ("MatMul", "Gemm", "Conv"), "linear": ("MatMul", "Gemm"), "conv": ("Conv",)
}  # fmt: skip


def quantize_graph(source: Path, out: Path, inputs: Iterable[NDArray[np.float32]], *, layers: Layers = "all") -> None:
    """Write the int8 form of the float32 ONNX file `source` to `out`; `inputs` B C *spatial are typical ones.

    `layers` that get int8: products with weights, convolutions or both. The weights of `source` may be stored as halves
    (`export.halve_graph`). Raises UsageError without inputs, MissingError without the packages of the extras
    `onnxruntime` and `train`.
    """
    onnx = require("onnx", extra="train")
    require("onnxruntime", extra="onnxruntime")
    tools = require("onnxruntime.quantization", extra="onnxruntime")
    batches = [np.ascontiguousarray(batch, np.float32) for batch in inputs]
    if not batches:
        raise UsageError("an int8 graph needs calibration inputs", hint="give some that the model was made for")
    model = onnx.load(str(source))
    _whole_weights(onnx, model)
    graph = model.graph
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # the quantizer warns through the root logger of a step that does not apply here
    try:
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            made, whole = Path(folder) / out.name, Path(folder) / "float32.onnx"
            onnx.save(model, str(whole))
            chosen = [] if layers == "conv" else fit_for_int8(onnx, model, whole, batches[0][:1])
            unsigned = [{"quant_type": tools.QuantType.QUInt8, "symmetric": False}]
            tools.quantize_static(
                str(whole), str(made), _reader(tools, graph.input[0].name, batches),
                quant_format=tools.QuantFormat.QDQ, op_types_to_quantize=list(_KINDS[layers]),
                nodes_to_exclude=_floating_products(graph, chosen), per_channel=True,
                activation_type=tools.QuantType.QInt8, weight_type=tools.QuantType.QInt8,
                extra_options={
                    "ActivationSymmetric": True, "WeightSymmetric": True,
                    "TensorQuantOverrides": {one.probabilities: unsigned for one in chosen},
                },
            )  # fmt: skip
            rounded = onnx.load(str(made))
            finish(onnx, rounded.graph, chosen)
            onnx.save(rounded, str(made))
            made.replace(out)
    finally:
        root.setLevel(level)
    log.info("%s: %.1f MB, %d attentions in int8", out.name, out.stat().st_size / 1e6, len(chosen))


def _whole_weights(onnx: Any, model: Any) -> None:
    """Weights stored as halves behind a cast become float32: the quantizer folds no casts."""
    graph = model.graph
    halves = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast" and node.input[0] in halves}
    weights = {
        name: onnx.numpy_helper.to_array(halves[node.input[0]]).astype("float32") for name, node in casts.items()
    }
    kept = [tensor for tensor in graph.initializer if tensor.name not in {node.input[0] for node in casts.values()}]
    kept += [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    nodes = [node for node in graph.node if node.output[0] not in casts]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)


def _floating_products(graph: Any, chosen: Sequence[Attention]) -> list[str]:
    """Names of the products without a constant side, but for those of the `chosen` attentions."""
    constants = {tensor.name for tensor in graph.initializer}
    rounded = {name for one in chosen for name in (one.score, one.mix)}
    products = [node for node in graph.node if node.op_type == "MatMul" and not constants & set(node.input)]
    return [node.name for node in products if node.name not in rounded]


def _reader(tools: Any, name: str, batches: list[NDArray[np.float32]]) -> Any:
    waiting: Iterator[NDArray[np.float32]] = iter(batches)

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]  # the package publishes no types
        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(waiting, None)
            return None if batch is None else {name: batch}

    return Reader()
