"""`vitapps face train deepfake`: a small ViT on cells of blending cues, from real faces alone.

Pairs of an untouched and a blended face (`datasets/synth/swapped_faces.py`) are drawn from every source of faces alike,
within it from every person alike; their cues are computed once and kept in `cues.npz`. A third of the people (by name)
is held out: their pairs choose the thresholds. Real swaps are never trained on; where a folder of them is given, their
AUC and its interval go into the card, which decides whether the model speaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitapps.atomic import atomic_path
from vitapps.datasets.sets.face_fakes import MarkedFace, read_marked
from vitapps.errors import UnreadableInputError
from vitapps.jsonable import json_text
from vitapps.pipelines.face.blend_cues import CELLS, CHANNELS, SIZE, blend_cues
from vitapps.pipelines.face.deepfake_band import SMALLEST
from vitapps.pipelines.face.deepfake_faces import cuts_of, drawn
from vitapps.pipelines.face.deepfake_fit import (
    UNTESTED,
    export,
    fake_logits,
    hypersphere_loss,
    on_people_held_out,
    on_swaps,
)
from vitapps.pipelines.face.deepfake_model import DeepfakeModel
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.hypersphere_vit import HypersphereViT, HypersphereViTConfig

NAME = "face-deepfake"
_NOISE = 0.1  # of a cue's deviation, added while training
_DROPPED = 0.1  # of the channels, while training
Halves = NDArray[np.float16]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepfakeFit:
    """`pairs` of all faces together, `tests` more of people held out for the thresholds, `batch` pairs a step; width
    and depth of the ViT."""

    pairs: int = 3600
    tests: int = 400
    steps: int = 2200
    batch: int = 32
    rate: float = 1e-3
    seed: int = 0
    threads: int = 1
    dim: int = 32
    depth: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Cues:
    """`values` N 2 K h w: untouched and blended; `held` N."""

    values: Halves
    held: NDArray[np.bool_]


def train(
    data: Sequence[Path], out: Path, config: DeepfakeFit | None = None, *, swaps: Path | None = None,
    device: str = "cpu", resume: bool = False, progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on the faces of all folders or tables of `data` and write card, weights and graph to `out`; returns the
    card's path."""
    config = config or DeepfakeFit()
    clock = time.monotonic()
    sources = [[face for face in read_marked(source) if face.side >= SMALLEST] for source in data]
    out.mkdir(parents=True, exist_ok=True)
    cues = cues_of(sources, config, out / "cues.npz", resume=resume, progress=progress)
    module = _learn(cues, config, out, device=device, resume=resume, progress=progress)
    facts = NetworkFacts(name=NAME)
    model = DeepfakeModel(logits=lambda crops: _logits(module, crops), size=SIZE, tested=UNTESTED, facts=facts)
    model, scores = on_people_held_out(model, sources, pairs=config.tests, seed=config.seed, progress=progress)
    tested = model.tested
    if swaps is not None:
        tested, found = on_swaps(model, swaps)
        scores += found
    words = _words(
        [face for source in sources for face in source],
        config,
        device,
        round((time.monotonic() - clock) / 60, 1),
        scores,
    )
    preprocess = {"input": "cues", "features": "pipelines/face/blend_cues.py", "size": SIZE}
    return export(module, words, preprocess, tested, out)


def cues_of(
    sources: Sequence[Sequence[MarkedFace]], config: DeepfakeFit, kept: Path, *, resume: bool,
    progress: Progress = null_progress,
) -> Cues:  # fmt: skip
    """The cues of `pairs` pairs, or with `resume` those in the file `kept`. UnreadableInputError for faces of too few
    people."""
    faces = [face for source in sources for face in source]
    key = json_text({"pairs": config.pairs, "seed": config.seed, "files": [str(face.path) for face in faces]})
    if resume and kept.is_file():
        with np.load(kept) as stored:
            if str(stored["key"]) == key:
                return Cues(values=stored["values"], held=stored["held"])
    cuts = [cuts_of(source, progress) for source in sources]
    held = {cut.held for source in cuts for cut in source}
    if len(held) < 2 or not all(cuts):
        raise UnreadableInputError(f"{len(faces)} faces of too few people", hint="give faces of several people")
    draws = [drawn(source, config.seed) for source in cuts]
    found = []
    with progress.task("blends", total=config.pairs) as task:
        for number in range(config.pairs):
            plain, blended, away = draws[number % len(draws)](number)
            found.append((np.stack([blend_cues(plain), blend_cues(blended)]).astype(np.float16), away))
            task.advance()
    cues = Cues(values=np.stack([pair for pair, _ in found]), held=np.array([away for _, away in found]))
    with atomic_path(kept, overwrite=True) as temporary, temporary.open("wb") as stream:
        np.savez(stream, values=cues.values, held=cues.held, key=key)
    return cues


def _learn(
    cues: Cues, config: DeepfakeFit, out: Path, *, device: str, resume: bool, progress: Progress
) -> HypersphereViT:
    start_training(config.seed, device, config.threads)
    shown = cues.values[~cues.held]
    spread = shown.astype(np.float32).std(axis=(0, 1, 3, 4)) + 1e-3
    vit = {
        "in_chans": CHANNELS, "image_size": [CELLS, CELLS], "patch": [2, 2], "dim": config.dim, "depth": config.depth,
        "heads": 4, "mlp_ratio": 2.0,
    }  # fmt: skip
    std = tuple(round(float(value), 4) for value in spread)
    module = HypersphereViT(HypersphereViTConfig(vit=vit, mean=(0.0,) * CHANNELS, std=std)).to(device)
    schedule = FitConfig(
        steps=config.steps, rate=config.rate, weight_decay=0.05, warmup=min(100, config.steps), cooldown=0.5, ema=0.995
    )
    average = fit(
        module, _batches(shown, np.array(std, np.float32), config), hypersphere_loss, schedule,
        checkpoint=out / "checkpoint.pt", resume=resume, progress=progress,
    )  # fmt: skip
    assert isinstance(average, HypersphereViT)
    return average.cpu().eval()


def _batches(shown: Halves, spread: NDArray[np.float32], config: DeepfakeFit) -> Callable[[int], Iterator[Batch]]:
    """Both of a pair stand in one batch; mirrored, with noise and without some channels, drawn for each alone."""

    def source(first: int) -> Iterator[Batch]:
        for step in range(first, config.steps):
            rng = np.random.default_rng((config.seed, step))
            chosen = shown[rng.integers(len(shown), size=config.batch)].astype(np.float32)
            values = chosen.reshape(-1, *chosen.shape[2:])  # B 2 K h w -> 2B K h w
            turned = rng.random(len(values)) < 0.5
            values[turned] = values[turned][..., ::-1]
            noise = rng.standard_normal(values.shape, dtype=np.float32) * spread[:, None, None]
            kept = rng.random((*values.shape[:2], 1, 1)) >= _DROPPED
            labels = np.tile([0, 1], config.batch)
            yield torch.from_numpy((values + _NOISE * noise) * kept.astype(np.float32)), torch.from_numpy(labels)

    return source


def _logits(module: HypersphereViT, faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return fake_logits(module, np.stack([blend_cues(face) for face in faces]))


def _words(
    faces: Sequence[MarkedFace], config: DeepfakeFit, device: str, minutes: float, scores: list[dict[str, Any]]
) -> dict[str, Any]:
    people = {face.person for face in faces}
    words = f"--pairs {config.pairs} --steps {config.steps} --seed {config.seed}"
    return {
        "name": NAME,
        "summary": "traces of a blended-in face: a small ViT on blending cues, learned from real faces alone",
        "licence": "weights Apache-2.0; trained on LFW, NUAA (research) and scraped faces (RMFD, rights unclear)",
        "training": {
            "data": f"{config.pairs} pairs of {len(faces)} real faces of {len(people)} people",
            "command": f"vitapps face train deepfake --data DIR --swaps DIR --out DIR {words}",
            "hardware": training_hardware(device, config.threads),
            "minutes": minutes,
            "seed": config.seed,
            "split": "a third of the people held out for the thresholds; real swaps never trained on",
            "settings": asdict(config),
        },
        "scores": scores,
    }
