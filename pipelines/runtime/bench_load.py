"""`vitapps bench load`: from a weights file to a network that can run, and from process start to the first answer."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitapps.errors import VitappsError
from vitapps.options import EngineName, Precision, RunOptions
from vitapps.pipelines.runtime.devices import cpu_name
from vitapps.pipelines.runtime.measure import cache_at, in_child
from vitapps.pipelines.runtime.random_card import MODELS, random_card
from vitapps.progress import Progress, null_progress
from vitapps.provenance import versions

TIMM_NAMES = {"ViT-S/16": "vit_small_patch16_224", "ViT-B/16": "vit_base_patch16_224"}
EMBEDDED = ("trees-neon", "line-latin")  # a detector and a reader, by the engine that a user gets
FIRST_BAR = 1.5  # seconds: what the issue asks of an embedded model
META, CHECKED, RANDOM, TIMM = "mapped onto meta", "the same, sha256 checked", "random, then copied", "timm, torch.load"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadRow:
    """`cpu_ms` least CPU time over the runs, imports not counted; `grown_mb` resident memory that it took."""

    way: str
    cpu_ms: float
    grown_mb: float
    fault: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstRow:
    """A whole process from start to its first answer with a warm cache: CPU and wall seconds; `bar`: wall seconds that
    it may take, 0 where none is set."""

    model: str
    engine: str
    precision: str
    cpu_s: float
    wall_s: float
    torch_imported: bool
    bar: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadBench:
    """Both tables for one model."""

    cpu: str
    model: str
    versions: dict[str, str]
    load: tuple[LoadRow, ...]
    first: tuple[FirstRow, ...]


def bench_load(*, quick: bool = False, threads: int = 0, progress: Progress = null_progress) -> LoadBench:
    """Measure with ViT-B/16 (`quick`: ViT-S/16), each way in its own processes."""
    name, runs = ("ViT-S/16", 2) if quick else ("ViT-B/16", 5)
    with tempfile.TemporaryDirectory() as folder, cache_at(Path(folder) / "cache"):
        card = random_card(Path(folder), name, 224)
        files = _files(Path(folder), name)
        ways = (META, CHECKED, RANDOM, TIMM)
        with progress.task("measuring", total=len(ways) + len(EMBEDDED) + 3) as task:
            rows = []
            for way in ways:
                rows.append(_row(way, name, files, runs))
                task.advance()
            first = []
            kinds: tuple[tuple[EngineName, Precision], ...] = (
                ("auto", "auto"),
                ("openvino", "exact"),
                ("torch", "exact"),
            )
            for own in EMBEDDED:
                first.append(_first(own, ("auto", "auto"), threads, runs, bar=FIRST_BAR))
                task.advance()
            for kind in kinds:
                first.append(_first(str(card.folder / f"{card.name}.toml"), kind, threads, runs))
                task.advance()
    return LoadBench(cpu=cpu_name(), model=name, versions=versions(), load=tuple(rows), first=tuple(first))


def load_once(way: str, model: str, weights: str, pickle: str, sha256: str) -> tuple[float, float]:
    """Child process: CPU seconds and bytes grown of one way of loading."""
    prepare = {META: _meta, CHECKED: _meta, RANDOM: _random, TIMM: _timm}[way]
    load = prepare(model, weights, pickle)
    before, start = _resident(), time.process_time()
    if way == CHECKED:
        from vitapps.provenance import sha256_file

        assert sha256_file(Path(weights)) == sha256
    kept = load()
    seconds = time.process_time() - start
    grown = _resident() - before
    del kept
    return seconds, grown


def first_answer(card: str, engine: EngineName, precision: Precision, threads: int) -> bool:
    """Child process: load and answer once; returns whether torch was imported."""
    import sys

    import numpy as np

    from vitapps.shared_backbones.engines.graph import input_shape
    from vitapps.shared_backbones.engines.load import load_model
    from vitapps.shared_backbones.weights.cards import load_card

    loaded = load_card(card)
    options = RunOptions(device="cpu", engine=engine, precision=precision, threads=threads)
    load_model(loaded, options)(np.zeros(input_shape(loaded), np.float32))
    return "torch" in sys.modules


def _files(folder: Path, name: str) -> dict[str, str]:
    """Float32 weights of one model as safetensors and as a torch checkpoint in timm's names."""
    import torch

    from vitapps.provenance import sha256_file
    from vitapps.require import require

    state = {key: value.contiguous() for key, value in _built(name).state_dict().items()}
    weights, pickle = folder / "float32.safetensors", folder / "float32.pth"
    require("safetensors.torch", package="safetensors").save_file(state, str(weights))
    renamed = {key.replace("pos.learned.weight", "pos_embed"): value for key, value in state.items()}
    torch.save(renamed, pickle)
    return {"weights": str(weights), "pickle": str(pickle), "sha256": sha256_file(weights)}


def _row(way: str, model: str, files: dict[str, str], runs: int) -> LoadRow:
    if way == TIMM and importlib.util.find_spec("timm") is None:
        return LoadRow(way=way, cpu_ms=0, grown_mb=0, fault="timm is not installed")
    try:
        found = [
            in_child("vitapps.pipelines.runtime.bench_load:load_once", way=way, model=model, **files).value
            for _ in range(runs)
        ]
    except VitappsError as error:
        return LoadRow(way=way, cpu_ms=0, grown_mb=0, fault=error.message)
    return LoadRow(way=way, cpu_ms=1e3 * min(row[0] for row in found), grown_mb=min(row[1] for row in found) / 1e6)


def _first(
    card: str, kind: tuple[EngineName, Precision], threads: int, runs: int, *, bar: float = 0.0
) -> FirstRow:  # fmt: skip
    engine, precision = kind
    arguments: dict[str, Any] = {"card": card, "engine": engine, "precision": precision, "threads": threads}
    function = "vitapps.pipelines.runtime.bench_load:first_answer"
    in_child(function, **arguments)  # warms the cache
    found = [in_child(function, **arguments) for _ in range(runs)]
    return FirstRow(
        model=Path(card).stem, engine=engine, precision=precision, bar=bar, cpu_s=min(child.cpu_s for child in found),
        wall_s=min(child.wall_s for child in found), torch_imported=bool(found[0].value),
    )  # fmt: skip


def _config(name: str) -> dict[str, Any]:
    from vitapps.shared_backbones.models.vit import ViTConfig

    config = asdict(ViTConfig(**MODELS[name], num_classes=1000))  # type: ignore[arg-type]
    return {key: value for key, value in config.items() if value is not None}


def _built(name: str) -> Any:
    from vitapps.shared_backbones.models import build

    return build("vit", _config(name))


def _meta(name: str, weights: str, pickle: str) -> Callable[[], Any]:
    from vitapps.shared_backbones.models import build
    from vitapps.shared_backbones.weights.load import load_weights, parameters_on_meta

    build("vit", {"dim": 8, "depth": 1, "heads": 1, "image_size": [16, 16]})  # imports are not what is measured

    def load() -> Any:
        with parameters_on_meta():
            module = build("vit", _config(name))
        load_weights(module, weights)
        return module

    return load


def _random(name: str, weights: str, pickle: str) -> Callable[[], Any]:
    from vitapps.shared_backbones.models import build
    from vitapps.shared_backbones.weights.load import read_state

    build("vit", {"dim": 8, "depth": 1, "heads": 1, "image_size": [16, 16]})

    def load() -> Any:
        module = _built(name)
        module.load_state_dict(read_state(Path(weights)))
        return module

    return load


def _timm(name: str, weights: str, pickle: str) -> Callable[[], Any]:
    import timm
    import torch

    def load() -> Any:
        module = timm.create_model(TIMM_NAMES[name])
        module.load_state_dict(torch.load(pickle, map_location="cpu", weights_only=True))
        return module

    return load


def _resident() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmRSS:")]
    return int(lines[0].split()[1]) * 1024
