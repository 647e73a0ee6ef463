"""Which engine computes a card: asked for, or the fastest that stays within the card's tolerance."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from vitapps.errors import MissingError, UsageError
from vitapps.options import RunOptions
from vitapps.shared_backbones.engines.model import CompiledModel
from vitapps.shared_backbones.weights.cards import Card, graph_path


def load_model(card: Card, options: RunOptions) -> CompiledModel:
    """Compile the network of a card. An engine that is asked for and not there is an error, never replaced.

    Raises MissingError for absent or damaged files, packages or GPUs, UsageError for combinations without sense.
    """
    device = _device(options)
    precision = _precision(card, options, device)
    threads = options.threads or _cores()
    engine = options.engine
    if engine == "auto":
        engine = "openvino" if device == "cpu" else "torch"
    if engine == "torch":
        from vitapps.shared_backbones.engines.torch import compile_card

        return compile_card(card, device=device, precision=precision, threads=threads)
    if device != "cpu":
        raise UsageError(f"--engine {engine} runs on the CPU only, not on {device}", hint="--engine torch")
    if not card.graph_file:
        raise MissingError(f"{card.name}: its card names no graph", hint="--engine torch")
    if engine == "onnxruntime":
        from vitapps.shared_backbones.engines.onnxruntime import compile_graph
    else:
        from vitapps.shared_backbones.engines.openvino import compile_graph
    return compile_graph(graph_path(card), card_name=card.name, precision=precision, threads=threads)


def _device(options: RunOptions) -> str:
    if options.device != "auto":
        return options.device
    if options.engine in ("openvino", "onnxruntime"):
        return "cpu"
    return "cuda:0" if _has_cuda() else "cpu"


def _precision(card: Card, options: RunOptions, device: str) -> str:
    """`auto` is bf16 only where the card allows it and the processor has it; otherwise exact float32."""
    if options.precision == "int8":
        raise MissingError(f"{card.name}: has no int8 graph", hint="--precision exact or bf16")
    if options.precision != "auto":
        return options.precision
    allowed = bool(card.tolerance.get("bf16", False))
    return "bf16" if allowed and (device != "cpu" or _cpu_has_bf16()) else "exact"


def _cpu_has_bf16() -> bool:
    listing = Path("/proc/cpuinfo")
    if not listing.exists():
        return False
    text = listing.read_text(encoding="utf-8", errors="replace")
    return "avx512_bf16" in text or "amx_bf16" in text


def _has_cuda() -> bool:
    """Ask the driver, not torch: importing torch costs seconds."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
