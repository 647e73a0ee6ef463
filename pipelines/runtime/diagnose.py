"""Is this installation whole? Versions, processors, engines, embedded weights; nothing heavy is imported by default."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitapps import __version__
from vitapps.errors import VitappsError
from vitapps.pipelines.runtime.devices import CudaDevice, cpu_name, cuda_devices
from vitapps.provenance import versions
from vitapps.shared_backbones.engines.cache import DiskCache, cache_folder
from vitapps.shared_backbones.engines.choose import Decision, remembered_decisions
from vitapps.shared_backbones.engines.machine import usable_cores
from vitapps.shared_backbones.weights.cards import Card, list_cards, load_card, verify

ENGINES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch": "torch"}  # engine -> module that it needs
REQUIRED = ("openvino", "torch")  # main dependencies: without them the installation is broken


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightState:
    """One embedded model: `state` is `ok`, or what is wrong with its files."""

    name: str
    task: str
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What `vitapps doctor` prints. `memory`, `free_disk` and `cached` in bytes; `decisions`: what `--engine auto`
    chose on this machine for weights as they are now, the last one first; `problems` empty when all is well."""

    vitapps: str
    python: str
    platform: str
    cpu: str
    cores: int
    memory: int
    free_disk: int
    cache: str
    cached: int
    cuda: list[CudaDevice]
    versions: dict[str, str]
    engines: dict[str, str]
    weights: list[WeightState]
    decisions: list[Decision]
    problems: list[str]


def diagnose(*, full: bool = False) -> Diagnosis:
    """Look at everything; `full` also imports each engine, which takes seconds and can find a broken library."""
    engines = {engine: _engine_state(module, full=full) for engine, module in ENGINES.items()}
    weights = [_weight_state(name) for name in list_cards()]
    broken = [f"engine {name}: {state}" for name, state in engines.items() if _is_broken(name, state)]
    broken += [f"weights {weight.name}: {weight.state}" for weight in weights if weight.state != "ok"]
    broken += [] if weights else ["no embedded model was found: the installation lacks its data files"]
    return Diagnosis(
        vitapps=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=cpu_name(),
        cores=usable_cores(),
        memory=_memory(),
        free_disk=shutil.disk_usage(Path.cwd()).free,
        cache=str(cache_folder()),
        cached=sum(DiskCache(folder).size() for folder in _folders(cache_folder())),
        cuda=cuda_devices(),
        versions=versions(),
        engines=engines,
        weights=weights,
        decisions=_in_force(remembered_decisions()),
        problems=broken,
    )


def _folders(place: Path) -> list[Path]:
    return [folder for folder in place.iterdir() if folder.is_dir()] if place.is_dir() else []


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


def _engine_state(module: str, *, full: bool) -> str:
    if importlib.util.find_spec(module) is None:
        return "not installed"
    try:
        version = importlib.metadata.version(module)
        return f"{version}, {_devices_of(_loaded(module))}" if full else version
    except Exception as error:  # a library can fail to load in any way: that is what is looked for
        return f"broken: {type(error).__name__}: {error}".splitlines()[0]


def _loaded(module: str) -> Any:
    if module == "openvino":
        from vitapps.shared_backbones.engines.openvino import load_openvino

        return load_openvino()
    return importlib.import_module(module)


def _devices_of(engine: Any) -> str:
    if engine.__name__ == "openvino":
        from vitapps.shared_backbones.engines.openvino import open_core

        return "runs on " + ", ".join(open_core().available_devices)
    if engine.__name__ == "onnxruntime":
        return "runs on " + ", ".join(engine.get_available_providers())
    return "runs on cpu" + (f", {engine.cuda.device_count()} cuda" if engine.cuda.is_available() else "")


def _is_broken(name: str, state: str) -> bool:
    return state.startswith("broken") or (state == "not installed" and name in REQUIRED)


def _in_force(decisions: Sequence[Decision]) -> list[Decision]:
    """Without what was chosen for other weights than those embedded now, or chosen again since on another processor or
    with newer engines; the last one first."""
    current = {name: card.sha256 for name in list_cards() if (card := _readable(name)) is not None}
    found: dict[tuple[str, str, int], Decision] = {}
    for decision in decisions:
        if current.get(decision.card) == decision.sha256:
            found.setdefault((decision.card, decision.asked, decision.threads), decision)
    return list(found.values())


def _readable(name: str) -> Card | None:
    try:
        return load_card(name)
    except VitappsError:
        return None


def _weight_state(name: str) -> WeightState:
    try:
        card = load_card(name)
        verify(card)
    except VitappsError as error:
        return WeightState(name=name, task="", state=error.message)
    return WeightState(name=name, task=card.task, state="ok")
