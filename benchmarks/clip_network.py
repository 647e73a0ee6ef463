"""VideoMAE-S on 16 frames of 224 x 224 through the runtime's engines, beside eager PyTorch, in one run.

python benchmarks/clip_network.py --threads 1 --rounds 3 --int8 --reduce tome:r=65 tome:r=130

Random weights: speed and rounding do not depend on training. The bar is three times eager. The last line says how long
the network's products would take at the speed of one large product on this machine: no exact engine comes below it.
`--reduce` computes less, and its error says only what merging does to random weights. With `--int8` as well there is a
row of both: the network with the reduction in its ViT is published and calibrated as a card of its own. ToMe's r = 65
for clips is that of a ViT-L (Bolya et al. 2023, video experiments); 130 takes as many tokens away in half the blocks.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
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
from vitapps.shared_backbones.engines.model import CompiledModel
from vitapps.shared_backbones.weights.cards import Card, load_card

Kind = tuple[EngineName, Precision, str]  # the last: a reduction of tokens
EAGER: Kind = ("torch", "exact", "none")
KINDS: tuple[Kind, ...] = (
    EAGER, ("torch-packed", "exact", "none"), ("openvino", "exact", "none"), ("onnxruntime", "exact", "none"),
    ("openvino", "bf16", "none"),
)  # fmt: skip
INT8: Kind = ("openvino", "int8", "none")
BAR = 3.0
_DIM, _DEPTH, _HIDDEN = 384, 12, 4  # VideoMAE-S: width, blocks, hidden width of an MLP in widths


def random_card(folder: Path, frames: int, size: int, *, int8: bool, reduction: str = "") -> Card:
    """A published card of VideoMAE-S with random weights and 400 classes; `reduction` of tokens inside its ViT."""
    import torch

    from vitapps.shared_backbones.models import build
    from vitapps.shared_backbones.models.clip_classifier import ClipClassifierConfig, clip_example
    from vitapps.shared_backbones.weights.publish import publish

    torch.manual_seed(0)  # the reduction has no weights: both networks draw the same ones
    config = ClipClassifierConfig(num_classes=400, size=(frames, size, size))
    described = asdict(config) | ({"reduction": reduction} if reduction else {})
    fields: dict[str, Any] = {
        "name": "random-videomae-s", "task": "video.action", "arch": "clip_classifier", "config": described,
        "summary": "random weights", "licence": "CC0-1.0", "tolerance": {"bf16": True},
    }  # fmt: skip
    clips = np.random.default_rng(0).standard_normal((2, 3, frames, size, size), np.float32) if int8 else None
    path = publish(
        build("clip_classifier", described), fields, folder, example=clip_example(config),
        output_names=["logits", "embedding"], calibration=clips,
    )  # fmt: skip
    return load_card(str(path))


def products_s(frames: int, size: int, threads: int) -> float:
    """CPU seconds of the network's multiplications at the speed of a product of 1536 x 1536 matrices."""
    import torch

    torch.set_num_threads(threads)
    tokens = frames // 2 * (size // 16) ** 2
    block = (4 + 2 * _HIDDEN) * tokens * _DIM**2 + 2 * tokens**2 * _DIM
    side = _HIDDEN * _DIM
    one, other = torch.rand(side, side), torch.rand(side, side)
    spent = []
    for _ in range(8):
        clock = time.process_time()
        one @ other
        spent.append(time.process_time() - clock)
    return _DEPTH * block / side**3 * min(spent)


def _model(folder: Path, kind: Kind, chosen: argparse.Namespace) -> CompiledModel:
    """The network by one engine; its cards lie in `folder`. A graph in int8 is calibrated with its reduction in it."""
    engine, precision, reduction = kind
    inside = reduction if precision == "int8" else "none"
    place = folder / re.sub(r"\W", "_", inside)
    if not place.is_dir():
        random_card(place, chosen.frames, chosen.size, int8=chosen.int8, reduction="" if inside == "none" else inside)
    left = "none" if precision == "int8" else reduction
    run = RunOptions(device="cpu", engine=engine, precision=precision, reduce=left, threads=chosen.threads)
    return load_model(load_card(str(next(place.glob("*.toml")))), run)


def main(words: Sequence[str] | None = None) -> None:
    """Print a table on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("threads", 1), ("rounds", 3), ("frames", 16), ("size", 224)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--int8", action="store_true", help="calibrate and measure an int8 graph as well")
    parser.add_argument("--reduce", nargs="*", default=[], help="measure OpenVINO with these reductions of tokens too")
    chosen = parser.parse_args(words)
    kinds = [*KINDS, *([INT8] if chosen.int8 else [])]
    precisions: tuple[Precision, ...] = ("exact", "int8") if chosen.int8 else ("exact",)
    kinds += [("openvino", precision, reduction) for reduction in chosen.reduce for precision in precisions]
    with tempfile.TemporaryDirectory() as folder:
        models = {kind: _model(Path(folder), kind, chosen) for kind in kinds}
        shape = (1, 3, chosen.frames, chosen.size, chosen.size)
        clip = np.random.default_rng(1).standard_normal(shape, np.float32)
        wanted = models[EAGER](clip)
        errors = {kind: relative_error(model(clip), wanted) for kind, model in models.items()}
        calls = {" ".join(kind): (lambda model=model: model(clip)) for kind, model in models.items()}
        seconds = interleaved(calls, chosen.rounds)
    sys.stdout.write(f"{cpu_name()}, {chosen.threads} thread(s), VideoMAE-S {chosen.frames} x {chosen.size}\n")
    sys.stdout.write(f"{'engine':<12} {'precision':<9} {'reduce':<11} {'CPU ms':>8} {'x eager':>8} {'error':>8}\n")
    eager = seconds[" ".join(EAGER)]
    ratios = {}
    for kind in kinds:
        own = seconds[" ".join(kind)]
        ratio = ratios[kind] = median(slow / fast for slow, fast in zip(eager, own, strict=True))
        row = f"{kind[0]:<12} {kind[1]:<9} {kind[2]:<11} {1000 * median(own):>8.0f} {ratio:>8.2f} {errors[kind]:>8.0e}"
        sys.stdout.write(f"{row}\n")
    bound = products_s(chosen.frames, chosen.size, chosen.threads)
    sys.stdout.write(
        f"its products alone at the speed of one large product: {1000 * bound:.0f} CPU ms, "
        f"{median(eager) / bound:.2f} times as fast as eager\n"
    )
    best = max(ratio for (_, _, reduction), ratio in ratios.items() if reduction == "none")
    sys.stdout.write(f"{'met' if best >= BAR else 'MISSED'}: {best:.2f} times eager with all tokens, bar {BAR:g}\n")


if __name__ == "__main__":
    main()
