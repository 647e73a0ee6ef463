"""What a task gives its network: windows of real files, taken where the pipeline calls the network.

A quantizer needs typical inputs, prepared as the pipeline prepares them. No second description of that preparation
exists: the task runs over sample files, and a share of what its network was given is kept.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.batch.task import Item, TaskSpec, find_task, task_names
from vitapps.pipelines.runtime.measure import cache_at
from vitapps.pipelines.runtime.own_metric import Judge
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.engines.load import load_elsewhere, load_here
from vitapps.shared_backbones.engines.model import Arrays, CompiledModel
from vitapps.shared_backbones.weights.cards import Card, load_card

_TASKS = {"doc.read": "doc.ocr"}  # the card's task -> the task of files that uses its network, where names differ
Inputs = list[NDArray[np.float32]]


def record_inputs(
    card: Card, folder: Path, *, limit: int, options: RunOptions, progress: Progress = null_progress
) -> Inputs:
    """At most `limit` inputs, 1 C *spatial each, that the network of `card` gets from the files of `folder`.

    Every window of every file has the same chance to be kept. Raises UsageError where no task of files uses the card,
    UnreadableInputError where the folder has no file for it or the network is never called.
    """
    name = _TASKS.get(card.task, card.task)
    if name not in task_names():
        raise UsageError(f"{card.name}: no task reads files for {card.task}", hint="give a folder of .npy inputs")
    task = find_task(name)
    files = sorted({path for pattern in task.patterns for path in folder.glob(pattern) if path.is_file()})
    if not files:
        raise UnreadableInputError(f"{folder}: no file of {', '.join(task.patterns)}", hint="give a folder of samples")
    spec = TaskSpec(
        weights=str(card.folder / f"{card.name}.toml"), options=replace(options, overwrite=True),
        settings=task.Settings(),
    )  # fmt: skip

    def run() -> None:
        with tempfile.TemporaryDirectory() as out, cache_at(Path(out) / "cache"):  # nothing is read from a page cache
            ready = task(spec)
            with progress.task("sampling", total=len(files)) as bar:
                for file in files:
                    ready(Item(input=file, out=Path(out) / f"{task.stem(file)}{task.extension(spec)}"))
                    bar.advance()

    inputs = inputs_during(card, run, limit=limit, seed=options.seed)
    if not inputs:
        raise UnreadableInputError(f"{folder}: no file brought anything to {card.name}", hint="give other samples")
    return inputs


def calibration_inputs(
    name: str, calib: Path | None, judge: Judge | None, *, limit: int, options: RunOptions,
    progress: Progress = null_progress,
) -> Path | Inputs:  # fmt: skip
    """What the card `name` calibrates on: the folder `calib` itself where it holds `.npy` files, else what the card's
    task makes of the files in it; without a folder, what `judge` calibrates on. UsageError where there is nothing."""
    card = load_card(name)
    if calib is not None:
        saved = any(calib.glob("*.npy")) or not any(calib.glob("*"))
        return calib if saved else record_inputs(card, calib, limit=limit, options=options, progress=progress)
    run = judge.calibrate if judge is not None else None
    if run is None:
        raise UsageError(f"{card.name}: nothing to calibrate on", hint="--calib DIR")
    return inputs_during(card, lambda: run(options), limit=limit, seed=options.seed)


def inputs_during(card: Card, run: Callable[[], object], *, limit: int, seed: int) -> Inputs:
    """At most `limit` of the inputs, 1 C *spatial each, that the network of `card` gets while `run` runs."""
    kept = _Reservoir(card, limit, seed)
    load_elsewhere(kept.load)
    try:
        run()
    finally:
        load_elsewhere(None)
    return kept.inputs


class _Reservoir:
    """Keeps a uniform sample of all windows that one network is given (Vitter 1985, algorithm R)."""

    def __init__(self, card: Card, limit: int, seed: int) -> None:
        self.inputs: Inputs = []
        self._card, self._limit, self._seen = card, limit, 0
        self._random = random.Random(seed)

    def load(self, card: Card, options: RunOptions) -> CompiledModel:
        """`load_model`, whose calls are looked at where the network is the one of the card."""
        model = load_here(card, options)
        if card.sha256 != self._card.sha256:
            return model
        inner = model.run

        def run(*inputs: NDArray[np.float32]) -> Arrays:
            self._take(inputs)
            return inner(*inputs)

        model.run, model.lend = run, None
        return model

    def _take(self, inputs: Sequence[NDArray[np.float32]]) -> None:
        (batch,) = inputs
        for window in np.asarray(batch, np.float32):
            place = len(self.inputs) if len(self.inputs) < self._limit else self._random.randrange(self._seen + 1)
            self._seen += 1
            if place < self._limit:
                self.inputs[place : place + 1] = [window[None].copy()]  # C *spatial -> 1 C *spatial
