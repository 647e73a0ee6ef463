"""ONNX graphs with the outputs of published face detectors, the same for every picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def write_constant_graph(path: Path, outputs: Mapping[str, NDArray[np.float32]], height: int, width: int) -> Path:
    """A graph from `input` 1 3 H W to constant outputs."""
    nodes, values = [], []
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    nodes.append(helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["mean", "zero"], ["nothing"]))
    constants = [zero]
    for name, value in outputs.items():
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), f"{name}.value"))
        nodes.append(helper.make_node("Add", [f"{name}.value", "nothing"], [name]))
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, height, width))
    graph = helper.make_graph(nodes, "detector", [image], values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path
