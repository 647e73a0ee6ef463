"""VideoMAE-S on 16 frames of 224 x 224 through the runtime's engines, beside eager PyTorch, in one run.

python benchmarks/clip_network.py --threads 1 --rounds 3

Random weights: speed and rounding do not depend on training. The bar is three times eager.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from vitapps.options import EngineName, Precision, RunOptions
from vitapps.pipelines.runtime.devices import cpu_name
from vitapps.pipelines.runtime.measure import interleaved
from vitapps.shared_backbones.engines.check_input import relative_error
from vitapps.shared_backbones.engines.load import load_model
from vitapps.shared_backbones.weights.cards import Card, load_card

EAGER = ("torch", "exact")
KINDS: tuple[tuple[EngineName, Precision], ...] = (
    EAGER, ("torch-packed", "exact"), ("openvino", "exact"), ("onnxruntime", "exact"), ("openvino", "bf16"),
)  # fmt: skip
INT8: tuple[EngineName, Precision] = ("openvino", "int8")
BAR = 3.0


def random_card(folder: Path, frames: int, size: int, *, int8: bool) -> Card:
    """A published card of VideoMAE-S with random weights and 400 classes."""
    import torch

    from vitapps.shared_backbones.models.clip_classifier import ClipClassifier, ClipClassifierConfig, clip_example
    from vitapps.shared_backbones.weights.publish import publish

    torch.manual_seed(0)
    config = ClipClassifierConfig(num_classes=400, size=(frames, size, size))
    fields: dict[str, Any] = {
        "name": "random-videomae-s", "task": "video.action", "arch": "clip_classifier", "config": asdict(config),
        "summary": "random weights", "licence": "CC0-1.0", "tolerance": {"bf16": True},
    }  # fmt: skip
    clips = np.random.default_rng(0).standard_normal((2, 3, frames, size, size), np.float32) if int8 else None
    path = publish(
        ClipClassifier(config), fields, folder, example=clip_example(config), output_names=["logits", "embedding"],
        calibration=clips,
    )  # fmt: skip
    return load_card(str(path))


def main(words: Sequence[str] | None = None) -> None:
    """Print a table on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("threads", 1), ("rounds", 3), ("frames", 16), ("size", 224)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--int8", action="store_true", help="calibrate and measure an int8 graph as well")
    chosen = parser.parse_args(words)
    kinds = [*KINDS, *([INT8] if chosen.int8 else [])]
    with tempfile.TemporaryDirectory() as folder:
        card = random_card(Path(folder), chosen.frames, chosen.size, int8=chosen.int8)
        shape = (1, 3, chosen.frames, chosen.size, chosen.size)
        clip = np.random.default_rng(1).standard_normal(shape, np.float32)
        models = {
            kind: load_model(
                card, RunOptions(device="cpu", engine=kind[0], precision=kind[1], threads=chosen.threads)
            )
            for kind in kinds
        }  # fmt: skip
        wanted = models[EAGER](clip)
        errors = {kind: relative_error(model(clip), wanted) for kind, model in models.items()}
        calls = {f"{kind[0]} {kind[1]}": (lambda model=model: model(clip)) for kind, model in models.items()}
        seconds = interleaved(calls, chosen.rounds)
    sys.stdout.write(f"{cpu_name()}, {chosen.threads} thread(s), VideoMAE-S {chosen.frames} x {chosen.size}\n")
    sys.stdout.write(f"{'engine':<12} {'precision':<9} {'CPU ms':>8} {'x eager':>8} {'error':>8}\n")
    eager = seconds[" ".join(EAGER)]
    best = 0.0
    for kind in kinds:
        own = seconds[" ".join(kind)]
        ratio = median(slow / fast for slow, fast in zip(eager, own, strict=True))
        best = max(best, ratio)
        row = f"{kind[0]:<12} {kind[1]:<9} {1000 * median(own):>8.0f} {ratio:>8.2f} {errors[kind]:>8.0e}"
        sys.stdout.write(f"{row}\n")
    sys.stdout.write(f"{'met' if best >= BAR else 'MISSED'}: {best:.2f} times eager, bar {BAR:g}\n")


if __name__ == "__main__":
    main()
