"""ONNX Runtime: the engine for machines without OpenVINO; an extra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError, UsageError
from vitapps.require import require
from vitapps.shared_backbones.engines.model import Arrays, CompiledModel


def compile_graph(path: Path, *, card_name: str, precision: str, threads: int) -> CompiledModel:
    """Open an ONNX file on the CPU. MissingError for an unreadable graph, UsageError for another precision."""
    if precision != "exact":
        raise UsageError(f"onnxruntime has no {precision} on a CPU", hint="--engine openvino, or --precision exact")
    runtime = require("onnxruntime", extra="onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exception classes are not public
        raise MissingError(f"{path}: not a readable graph: {error}", hint="reinstall vitapps, or train again") from None
    inputs = [port.name for port in session.get_inputs()]
    names = tuple(port.name for port in session.get_outputs())

    def run(*arrays: NDArray[np.float32]) -> Arrays:
        feed = {name: np.ascontiguousarray(x, np.float32) for name, x in zip(inputs, arrays, strict=True)}
        return tuple(session.run(list(names), feed))

    return CompiledModel(
        run=run, engine="onnxruntime", precision=precision, device="cpu", threads=threads, card_name=card_name,
        output_names=names,
    )  # fmt: skip
