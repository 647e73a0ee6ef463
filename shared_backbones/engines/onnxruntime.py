"""ONNX Runtime: the engine for machines without OpenVINO; an extra. The optimized graph is kept in the cache."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError, UsageError
from vitapps.provenance import sha256_file
from vitapps.require import require
from vitapps.shared_backbones.engines.cache import entry_key, open_cache
from vitapps.shared_backbones.engines.machine import cpu_flags
from vitapps.shared_backbones.engines.model import Arrays, CompiledModel, in_buckets

CACHE = "onnxruntime"


def compile_graph(path: Path, *, card_name: str, precision: str, threads: int, sha256: str = "") -> CompiledModel:
    """Open an ONNX file on the CPU. MissingError for an unreadable graph, UsageError for bf16, which it has not.

    `sha256` of the file, where it is known, saves reading it again.
    """
    if precision not in ("exact", "int8"):
        raise UsageError(f"onnxruntime has no {precision} on a CPU", hint="--engine openvino, or --precision exact")
    runtime = require("onnxruntime", extra="onnxruntime")
    try:
        session = _session(runtime, path, threads, sha256)
    except Exception as error:  # its exception classes are not public
        raise MissingError(f"{path}: not a readable graph: {error}", hint="reinstall vitapps, or train again") from None
    inputs = [port.name for port in session.get_inputs()]
    names = tuple(port.name for port in session.get_outputs())

    def run(*arrays: NDArray[np.float32]) -> Arrays:
        feed = {name: np.ascontiguousarray(x, np.float32) for name, x in zip(inputs, arrays, strict=True)}
        return tuple(session.run(list(names), feed))

    return CompiledModel(
        run=in_buckets(run), engine="onnxruntime", precision=precision, device="cpu", threads=threads,
        card_name=card_name, output_names=names,
    )  # fmt: skip


def _session(runtime: Any, path: Path, threads: int, sha256: str) -> Any:
    """From the optimized graph of the cache, else from the file, whose optimized form is then put there."""
    cache, settings = open_cache(CACHE), _settings(runtime, threads)
    providers = ["CPUExecutionProvider"]
    if cache is None or not path.is_file():
        return runtime.InferenceSession(str(path), settings, providers=providers)
    key = entry_key({
        "graph": sha256 or sha256_file(path), "engine": runtime.__version__, "cpu": cpu_flags(),
        "shape": "batches in buckets",
    })  # fmt: skip
    stored = cache.get(key)
    if stored is not None:
        ready = _settings(runtime, threads)
        ready.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return runtime.InferenceSession(stored, ready, providers=providers)
        except Exception:  # whole, and yet not for this library: made again below
            cache.remove(key)
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        settings.optimized_model_filepath = str(optimized)
        session = runtime.InferenceSession(str(path), settings, providers=providers)
        if optimized.is_file():
            cache.put(key, optimized.read_bytes())
    return session


def _settings(runtime: Any, threads: int) -> Any:
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    # its threads would otherwise spin between calls, at the cost of whatever else runs on the machine
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return settings
