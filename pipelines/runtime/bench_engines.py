"""`vitapps bench engines`: every engine and precision beside eager and prepacked eager PyTorch, in one run.

Random weights: speed and rounding do not depend on training, the accuracy of int8 does and is measured elsewhere.
Prepacked eager is the fair baseline on AMD processors, where eager's float32 goes through a slow library.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from vitapps.errors import VitappsError
from vitapps.options import EngineName, Precision, RunOptions
from vitapps.pipelines.runtime.devices import cpu_name
from vitapps.pipelines.runtime.measure import cache_at, in_child, interleaved
from vitapps.progress import Progress, null_progress
from vitapps.provenance import versions
from vitapps.shared_backbones.engines.check_input import made_up_input, relative_error
from vitapps.shared_backbones.engines.choose import decide
from vitapps.shared_backbones.engines.load import load_model
from vitapps.shared_backbones.engines.machine import usable_cores
from vitapps.shared_backbones.weights.cards import Card, load_card

EAGER, PACKED = "torch exact", "torch-packed exact"
KINDS: tuple[tuple[EngineName, Precision], ...] = (
    ("torch", "exact"), ("torch-packed", "exact"), ("openvino", "exact"), ("onnxruntime", "exact"), ("torch", "bf16"),
    ("openvino", "bf16"), ("openvino", "int8"), ("onnxruntime", "int8"),
)  # fmt: skip
MODELS = {"ViT-S/16": {"dim": 384, "heads": 6}, "ViT-B/16": {"dim": 768, "heads": 12}}
# precision -> ratio to eager, ratio to prepacked, relative error: what issue 3 asks for
BARS: dict[str, tuple[float, float, float]] = {
    "exact": (2.0, 1.2, 1e-5), "bf16": (3.8, 0.0, 2e-2), "int8": (5.0, 0.0, float("inf")),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One network on one input: `size` pixels a side, `batch` images a call."""

    model: str
    size: int
    batch: int


FULL = tuple(Case(model=name, size=size, batch=batch) for name in MODELS for size in (224, 512) for batch in (1, 8))
QUICK = FULL[:1]


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineRow:
    """`cpu_ms` process CPU time a call, median of the rounds; ratios are medians of paired rounds (above 1: faster);
    `error` largest difference over the largest value of eager; `peak_mb` of a process that only does this."""

    case: Case
    engine: str
    precision: str
    cpu_ms: float
    to_eager: float
    to_packed: float
    error: float
    peak_mb: float
    chosen: bool
    fault: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineBench:
    """The table, the machine, and for each case and precision whether the bar of the issue is met."""

    cpu: str
    threads: int
    versions: dict[str, str]
    rows: tuple[EngineRow, ...]
    bars: tuple[str, ...]


def bench_engines(
    cases: Sequence[Case] = FULL, *, rounds: int = 5, threads: int = 0, progress: Progress = null_progress
) -> EngineBench:  # fmt: skip
    """Measure `cases`, every call once uncounted and `rounds` times. `threads` 0: all cores."""
    threads = threads or usable_cores()
    rows: list[EngineRow] = []
    networks = dict.fromkeys((case.model, case.size) for case in cases)
    with (
        tempfile.TemporaryDirectory() as folder,
        cache_at(Path(folder) / "cache"),
        progress.task("measuring", total=len(cases)) as task,
    ):
        for name, size in networks:
            card = random_card(Path(folder), name, size)
            for case in cases:
                if (case.model, case.size) == (name, size):
                    rows += _measure(card, case, threads, rounds)
                    task.advance()
    return EngineBench(
        cpu=cpu_name(), threads=threads, versions=versions(), rows=tuple(rows), bars=tuple(_verdicts(rows))
    )


def random_card(folder: Path, name: str, size: int) -> Card:
    """A published card of a ViT with random weights and 1000 classes, int8 graph included."""
    import torch

    from vitapps.shared_backbones.models.vit import ViT, ViTConfig
    from vitapps.shared_backbones.weights.publish import publish

    torch.manual_seed(0)
    config = ViTConfig(**MODELS[name], image_size=(size, size), num_classes=1000)  # type: ignore[arg-type]
    fields: dict[str, Any] = {
        "name": f"random-{name.partition('/')[0].lower()}-{size}", "task": "classify", "arch": "vit",
        "config": {key: value for key, value in asdict(config).items() if value is not None},
        "summary": "random weights", "licence": "CC0-1.0", "tolerance": {"bf16": True, "int8": True},
    }  # fmt: skip
    images = np.random.default_rng(0).standard_normal((4, 3, size, size), np.float32)
    example = torch.zeros(1, 3, size, size)
    path = publish(ViT(config), fields, folder, example=example, output_names=["logits"], calibration=images)
    return load_card(str(path))


def load_and_call(card: str, engine: EngineName, precision: Precision, batch: int, threads: int) -> None:
    """Child process: load one engine and call it; its peak memory is what is looked at."""
    loaded = load_card(card)
    model = load_model(loaded, RunOptions(device="cpu", engine=engine, precision=precision, threads=threads))
    model(_input(loaded, batch))


def _input(card: Card, batch: int) -> Any:
    size = card.config["image_size"]
    return made_up_input((batch, 3, *size)) * 2 - 1  # B 3 H W in -1..1


def _measure(card: Card, case: Case, threads: int, rounds: int) -> list[EngineRow]:
    image = _input(card, case.batch)
    models, faults = {}, {}
    for engine, precision in KINDS:
        options = RunOptions(device="cpu", engine=engine, precision=precision, threads=threads)
        try:
            models[f"{engine} {precision}"] = load_model(card, options)
        except VitappsError as error:
            faults[f"{engine} {precision}"] = error.message
    wanted = models[EAGER](image)
    errors = {name: relative_error(model(image), wanted) for name, model in models.items()}
    chosen = {
        f"{found.engine} {found.precision}"
        for asked in ("exact", "auto")
        for found in [decide(card, RunOptions(device="cpu", precision=asked), threads)]
    }
    calls = {name: (lambda model=model: model(image)) for name, model in models.items()}
    seconds = interleaved(calls, rounds, warm=False)  # all have been called for their errors
    del models, calls
    rows = []
    for engine, precision in KINDS:
        name = f"{engine} {precision}"
        if name in faults:
            rows.append(_absent(case, engine, precision, faults[name]))
            continue
        peak = in_child(
            "vitapps.pipelines.runtime.bench_engines:load_and_call", card=str(card.folder / f"{card.name}.toml"),
            engine=engine, precision=precision, batch=case.batch, threads=threads,
        ).peak  # fmt: skip
        rows.append(EngineRow(
            case=case, engine=engine, precision=precision, cpu_ms=1e3 * median(seconds[name]),
            to_eager=_ratio(seconds[EAGER], seconds[name]), to_packed=_ratio(seconds[PACKED], seconds[name]),
            error=errors[name], peak_mb=peak / 1e6, chosen=name in chosen,
        ))  # fmt: skip
    return rows


def _absent(case: Case, engine: str, precision: str, fault: str) -> EngineRow:
    return EngineRow(
        case=case, engine=engine, precision=precision, cpu_ms=0, to_eager=0, to_packed=0, error=0, peak_mb=0,
        chosen=False, fault=fault,
    )  # fmt: skip


def _ratio(slow: list[float], fast: list[float]) -> float:
    return median(a / b for a, b in zip(slow, fast, strict=True))


def _verdicts(rows: list[EngineRow]) -> list[str]:
    """Each bar of the issue, met or not, for the best engine of a precision."""
    said = []
    for case in dict.fromkeys(row.case for row in rows):
        own = [row for row in rows if row.case == case and not row.fault]
        eager = next(row for row in own if f"{row.engine} {row.precision}" == EAGER)
        for precision, (to_eager, to_packed, error) in BARS.items():
            those = [row for row in own if row.precision == precision and not row.engine.startswith("torch")]
            if not those:
                continue
            best = max(those, key=lambda row: row.to_eager)
            kept = (
                best.to_eager >= to_eager and best.to_packed >= to_packed and best.error <= error
                and best.peak_mb <= eager.peak_mb
            )  # fmt: skip
            said.append(
                f"{'met ' if kept else 'MISS'}  {case.model} {case.size} px batch {case.batch} {precision}: "
                f"{best.engine} {best.to_eager:.2f}x eager (bar {to_eager:g}), {best.to_packed:.2f}x prepacked"
                f"{f' (bar {to_packed:g})' if to_packed else ''}, error {best.error:.0e}, "
                f"{best.peak_mb:.0f} MB (eager {eager.peak_mb:.0f})"
            )
    return said
