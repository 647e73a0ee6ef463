"""OpenVINO: the default engine on a CPU. The precision hint is always set, since its own default is silently bf16."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.require import require
from vitapps.shared_backbones.engines.model import Arrays, CompiledModel

_CONVERTER = "openvino.tools.ovc"  # converts models, which is never done here
HINTS = {"exact": "f32", "bf16": "bf16"}


def load_openvino() -> Any:
    """The package `openvino` without its model converter, which it treats as an optional part.

    Importing the converter starts a process that reports the import to Google Analytics and writes to ~/intel; medical
    software that promises to work offline does nothing of the kind. It also is two thirds of the import time.
    """
    if "openvino" in sys.modules or _CONVERTER in sys.modules:
        return require("openvino")
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # documented: an import of it raises ImportError
    try:
        return require("openvino")
    finally:
        del sys.modules[_CONVERTER]  # who wants the converter later may have it


def compile_graph(path: Path, *, card_name: str, precision: str, threads: int) -> CompiledModel:
    """Compile an ONNX file for the CPU. Raises MissingError when the file cannot be read as a graph."""
    core = load_openvino().Core()
    try:
        graph = core.read_model(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise MissingError(
            f"{path}: not a readable graph: {reason}", hint="reinstall vitapps, or train again"
        ) from None
    compiled = core.compile_model(graph, "CPU", _settings(precision, threads))
    names = tuple(port.get_any_name() for port in compiled.outputs)
    request = compiled.create_infer_request()

    def run(*inputs: NDArray[np.float32]) -> Arrays:
        found = request.infer([np.ascontiguousarray(x, np.float32) for x in inputs], share_inputs=True)
        return tuple(np.array(found[port]) for port in compiled.outputs)

    return CompiledModel(
        run=run, engine="openvino", precision=precision, device="cpu", threads=threads, card_name=card_name,
        output_names=names,
    )  # fmt: skip


def _settings(precision: str, threads: int) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    cache = _cache_folder()
    return settings | ({"CACHE_DIR": str(cache)} if cache else {})


def _cache_folder() -> Path | None:
    """A writable folder for compiled graphs, or None: a cache is a convenience, never a reason to fail."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(home) / "vitapps" / "openvino"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None
