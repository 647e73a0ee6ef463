"""Token reduction beside the dense model through the same engine, in one run: ratios of process CPU time.

Rounds are interleaved (dense, reduced, dense, ...), so that what else the machine does falls on both. Weights are
random: cost does not depend on them, accuracy is measured by the evaluation of a trained model.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitapps.errors import UsageError
from vitapps.pipelines.runtime.measure import cpu_seconds
from vitapps.progress import Progress, null_progress
from vitapps.require import require

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vitapps.shared_backbones.models.vit import ViTConfig

WIDTHS = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12), "large": (1024, 16)}  # dim, heads
DEPTHS = {"tiny": 12, "small": 12, "base": 12, "large": 24}
ENGINES = ("openvino", "torch")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A ViT-`model`/16 at `size` pixels, dense and with every one of `specs`."""

    model: str
    size: int
    specs: tuple[str, ...]


FULL = (
    Case(model="base", size=224, specs=("tome:r=16",)),
    Case(model="base", size=512, specs=("tome:r=45", "tome:r=65")),
)
QUICK = (Case(model="tiny", size=224, specs=("tome:r=16",)),)
# The bars: what a reduced model must gain over the dense one through OpenVINO.
BARS = {("base", 224, "tome:r=16"): 1.5, ("base", 512, "tome:r=45"): 1.4, ("base", 512, "tome:r=65"): 1.7}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """`dense_ms`, `reduced_ms`: median CPU milliseconds of an image; `ratio`: median over rounds of dense / reduced,
    `lowest` and `highest` of them; `bar`: what the ratio should reach, 0 where none is set; `tokens`: of the last
    block, prefix included."""

    model: str
    size: int
    spec: str
    engine: str
    precision: str
    threads: int
    rounds: int
    tokens: int
    dense_ms: float
    reduced_ms: float
    ratio: float
    lowest: float
    highest: float
    bar: float


def bench_reduce(
    cases: tuple[Case, ...] = FULL,
    *,
    engines: tuple[str, ...] = ENGINES,
    rounds: int = 5,
    threads: int = 1,
    seed: int = 0,
    progress: Progress = null_progress,
) -> list[Row]:
    """Measure every case with every engine, fp32, batch 1. UsageError for an engine or a model that is not known."""
    wrong = [name for name in engines if name not in ENGINES] + [c.model for c in cases if c.model not in WIDTHS]
    if wrong or rounds < 1:
        raise UsageError(f"bench reduce: {wrong[0] if wrong else rounds}", hint=f"engines {ENGINES}, rounds from 1")
    torch = require("torch")
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    rows: list[Row] = []
    for case in cases:
        for engine in engines:
            rows += _measure(case, engine, rounds, threads, progress)
    return rows


def _measure(case: Case, engine: str, rounds: int, threads: int, progress: Progress) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        calls = dict(_calls(case, engine, threads, Path(folder)))
        times: dict[str, list[float]] = {name: [] for name in calls}
        with progress.task(f"{case.model} {case.size} {engine}", total=rounds + 1) as task:
            for turn in range(rounds + 1):  # the first round warms up
                for name, (call, _) in calls.items():
                    spent = cpu_seconds(call)
                    if turn:
                        times[name].append(spent)
                task.advance()
    return [
        _row(case, spec, engine, times["none"], times[spec], threads=threads, tokens=calls[spec][1])
        for spec in case.specs
    ]


def _row(
    case: Case, spec: str, engine: str, dense: list[float], reduced: list[float], *, threads: int, tokens: int
) -> Row:
    ratios = [one / other for one, other in zip(dense, reduced, strict=True)]
    return Row(
        model=case.model, size=case.size, spec=spec, engine=engine, precision="fp32", threads=threads,
        rounds=len(ratios), tokens=tokens, dense_ms=1000 * statistics.median(dense),
        reduced_ms=1000 * statistics.median(reduced), ratio=statistics.median(ratios), lowest=min(ratios),
        highest=max(ratios), bar=BARS.get((case.model, case.size, spec), 0.0) if engine == "openvino" else 0.0,
    )  # fmt: skip


def _calls(case: Case, engine: str, threads: int, folder: Path) -> Iterator[tuple[str, tuple[Callable[[], Any], int]]]:
    """(spec, (one call on a fixed image, tokens of the last block)), the dense model first; weights are shared."""
    import torch

    from vitapps.shared_backbones.models.vit import ViT, ViTConfig
    from vitapps.shared_backbones.token_reduction.spec import reduced_config

    dim, heads = WIDTHS[case.model]
    config = ViTConfig(
        image_size=(case.size, case.size), dim=dim, heads=heads, depth=DEPTHS[case.model], num_classes=1000
    )
    image = torch.randn(1, 3, case.size, case.size)
    weights = ViT(config).eval().state_dict()
    for spec in ("none", *case.specs):
        reduced = reduced_config(config, spec)
        with torch.device("meta"):
            model = ViT(replace(reduced))
        model.load_state_dict(weights, assign=True)
        yield spec, (_call(model.eval(), image, engine, threads, folder), _tokens(reduced))


def _tokens(config: ViTConfig) -> int:
    count = config.prefix
    for size in (config.grid[0] * config.grid[1], *(-r for r in config.reduce)):
        count += size
    return count


def _call(model: nn.Module, image: Tensor, engine: str, threads: int, folder: Path) -> Callable[[], Any]:
    import torch

    if engine == "torch":

        def run_torch() -> Any:
            with torch.inference_mode():
                return model(image)

        return run_torch
    from vitapps.shared_backbones.engines.export import export_graph

    path = folder / "graph.onnx"
    export_graph(model, image, path, ["logits"], half=False)
    from vitapps.shared_backbones.engines.openvino import open_core

    core = open_core()
    graph = core.read_model(str(path))
    graph.reshape(list(image.shape))  # a static batch, as an application compiles it; never cached, it serves once
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    array = image.numpy()
    return lambda: request.infer([array])
