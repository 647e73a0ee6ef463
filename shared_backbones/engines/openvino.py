"""OpenVINO: the default engine on a CPU. The precision hint is always set, since its own default is silently bf16.

A compiled network is kept in the cache: reading it back costs a third of compiling it and reads no ONNX. The cache is
ours and not OpenVINO's `CACHE_DIR`, which neither bounds its size nor survives a damaged file.
"""

from __future__ import annotations

import functools
import math
import sys
from mmap import mmap
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.provenance import sha256_file
from vitapps.require import require, without
from vitapps.shared_backbones.engines.cache import CONTENT_AT, entry_key, open_cache
from vitapps.shared_backbones.engines.machine import bf16_is_fast, cpu_flags, return_free_memory
from vitapps.shared_backbones.engines.model import BUCKETS, Arrays, CompiledModel, Run, in_buckets

_CONVERTER = "openvino.tools.ovc"  # converts models, which is never done here
HINTS = {"exact": "f32", "bf16": "bf16"}
CACHE = "openvino"
LARGE = 1 << 20  # values of one input
_OPENING = Lock()
_MAPPED: list[Any] = []  # weights of networks from the cache: pages of files, which the system takes back when it likes


def load_openvino() -> Any:
    """The package `openvino` without its model converter, which it treats as an optional part.

    Importing the converter starts a process that reports the import to Google Analytics and writes to ~/intel; medical
    software that promises to work offline does nothing of the kind. It also is two thirds of the import time.
    """
    if "openvino" in sys.modules:
        return require("openvino")
    with without(_CONVERTER):
        return require("openvino")


def open_core() -> Any:
    """The one `openvino.Core` of this process, which is never given back.

    The CPU plugin gives the thread that loads it an alternate signal stack and unmaps that stack when the core goes. If
    the core goes in another thread (a garbage collection is enough), the first thread keeps a stack that is no longer
    there, and the next signal that it handles, Ctrl-C included, ends the process with SIGSEGV.
    """
    with _OPENING:  # threads that load a network each would open one each
        return _core()


@functools.cache
def _core() -> Any:
    return load_openvino().Core()


def compile_graph(
    path: Path, *, card_name: str, precision: str, threads: int, sha256: str = "", keep: bool = True, together: int = 1
) -> CompiledModel:
    """Compile an ONNX or OpenVINO file for the CPU. Raises MissingError when the file cannot be read as a graph.

    `sha256` of the file, where it is known, saves reading it again. `keep`: use the cache. `together` calls may run at
    once, from as many threads, which takes a tenth less time than all threads on one call and 20 MB more for each.
    """
    openvino = load_openvino()
    settings = {
        "INFERENCE_PRECISION_HINT": _hint(precision),
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if together > 1:
        settings["NUM_STREAMS"] = together
    if keep:
        compiled = _compiled(openvino, path, settings, precision, sha256)
    else:
        compiled = _compile(open_core(), path, settings)
    names = tuple(port.get_any_name() for port in compiled.outputs)
    run, lend = _runners(compiled) if together == 1 else (_shared_run(compiled, together), None)
    alone = any(port.get_partial_shape().is_static for port in compiled.inputs)
    return_free_memory()  # compiling leaves a fifth of the process behind

    def release() -> None:
        compiled.release_memory()
        return_free_memory()

    return CompiledModel(
        run=in_buckets(run, (1,) if alone else BUCKETS), lend=lend, release=release, engine="openvino",
        precision=precision, device="cpu", threads=threads, card_name=card_name, output_names=names, together=together,
    )  # fmt: skip


def _hint(precision: str) -> str:
    """int8 lies in the graph (quantize, dequantize pairs); what is floating there may as well be bf16, where that is
    faster: its error is far below that of int8."""
    return HINTS["bf16" if bf16_is_fast() else "exact"] if precision == "int8" else HINTS[precision]


def _runners(compiled: Any) -> tuple[Run, Run]:
    """A call whose answers are copies, and one whose answers the next call overwrites."""
    request, outputs = compiled.create_infer_request(), compiled.outputs

    def lend(*inputs: NDArray[np.float32]) -> Arrays:
        arrays = [np.ascontiguousarray(x, np.float32) for x in inputs]
        found = request.infer(arrays, share_inputs=True, share_outputs=True)
        return tuple(found[port] for port in outputs)

    def run(*inputs: NDArray[np.float32]) -> Arrays:
        return tuple(np.array(answer) for answer in lend(*inputs))

    return run, lend


def _shared_run(compiled: Any, together: int) -> Run:
    """A call for several threads, whose answers are copies: each takes a free request, or waits for one."""
    free: SimpleQueue[Run] = SimpleQueue()
    for _ in range(together):
        free.put(_runners(compiled)[0])

    def run(*inputs: NDArray[np.float32]) -> Arrays:
        own = free.get()
        try:
            return own(*inputs)
        finally:
            free.put(own)

    return run


def _compiled(openvino: Any, path: Path, settings: dict[str, Any], precision: str, sha256: str) -> Any:
    """From the cache, else compiled and put there."""
    core, cache = open_core(), open_cache(CACHE)
    key = ""
    if cache is not None and path.is_file():
        key = entry_key({
            "graph": sha256 or sha256_file(path), "engine": openvino.get_version(), "cpu": cpu_flags(),
            "precision": precision, "shape": "batches in buckets, large inputs alone", "settings": settings,
        })  # fmt: skip
        stored = cache.mapped(key)
        if stored is not None:
            try:
                return _imported(openvino, core, stored, settings)
            except RuntimeError:
                cache.remove(key)  # whole, and yet not for this library: made again below
    compiled = _compile(core, path, settings)
    if cache is not None and key:
        return_free_memory()  # what compiling has left, before as much is needed again
        cache.put(key, compiled.export_model().getbuffer())
    return compiled


def _imported(openvino: Any, core: Any, stored: mmap, settings: dict[str, Any]) -> Any:
    """The network of a cache entry. Its weights stay where the file is mapped; as a stream they would be copied three
    times (ViT-B/16: a peak of 1303 MB for 768)."""
    content = openvino.Tensor(np.frombuffer(stored, np.uint8, offset=CONTENT_AT), shared_memory=True)
    compiled = core.import_model(content, "CPU", settings)
    _MAPPED.append(content)  # the library holds no reference to what it reads from
    return compiled


def _compile(core: Any, path: Path, settings: dict[str, Any]) -> Any:
    """A free batch, but 1 for large inputs: batches of them bring nothing, and OpenVINO plans memory for fixed shapes
    only (brain-mr-synth: 35 MB less, and a tenth less time)."""
    graph = read_graph(core, path)
    shapes = [port.get_partial_shape() for port in graph.inputs]
    fixed = [() if shape.rank.is_dynamic else tuple(shape)[1:] for shape in shapes]
    if all(axes and all(axis.is_static for axis in axes) for axes in fixed):
        sizes = [[axis.get_length() for axis in axes] for axes in fixed]
        if max(map(math.prod, sizes)) > LARGE and all(shape[0].is_dynamic for shape in shapes):
            graph.reshape({port: [1, *size] for port, size in zip(graph.inputs, sizes, strict=True)})
    return core.compile_model(graph, "CPU", settings)


def read_graph(core: Any, path: Path) -> Any:
    """An ONNX or OpenVINO file as OpenVINO's model; MissingError where it is none."""
    try:
        return core.read_model(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise MissingError(
            f"{path}: not a readable graph: {reason}", hint="reinstall vitapps, or train again"
        ) from None
