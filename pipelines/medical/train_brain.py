"""`vitapps medical train brain`: whole-brain segmentation of any contrast, from label maps alone.

The network never sees a real scan: every step draws a new synthetic one (`datasets/synth/brain.py`: SynthSeg).
What it is scored on (`vitapps medical eval`) is therefore disjoint from what it is trained on by construction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vitapps.datasets.synth.brain import LABELS, BrainSynth, LabelMaps, SynthConfig, load_label_maps, synth_config
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.medical.soft_dice_loss import soft_dice_loss
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import training_hardware
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.volume_segmenter import VolumeSegmenter, VolumeSegmenterConfig, window_example

NAME = "brain-mr-synth"
SEED_STRIDE = 10_000_019  # samples of different seeds never coincide


class _Samples(Dataset[tuple[Tensor, Tensor]]):
    """Sample i of a run; a worker process draws it from its own seed, so the order of workers does not matter."""

    def __init__(self, maps: LabelMaps, config: SynthConfig, seed: int, number: int) -> None:
        self.synth = BrainSynth(maps, config)
        self.seed = seed
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.synth.sample(self.seed + index)


@dataclass(frozen=True, slots=True)
class Stage:
    """`steps` optimiser steps on a grid of `spacing` mm: a coarse one sees whole brains at a third of the cost."""

    spacing: float
    steps: int


STAGES = (Stage(3.0, 9000), Stage(2.0, 4000))
LAST_COOLDOWN = 0.6  # share of the last stage in which the learning rate falls; the others keep it


def parse_stages(text: str) -> tuple[Stage, ...]:
    """`3:9000,2:4000` -> stages. Raises UsageError for anything else."""
    try:
        pairs = [part.split(":") for part in text.split(",")]
        stages = tuple(Stage(float(spacing), int(steps)) for spacing, steps in pairs)
    except ValueError:
        stages = ()
    if not stages or min(min(stage.spacing, stage.steps) for stage in stages) <= 0:
        raise UsageError(f"--stages {text!r}: not understood", hint="SPACING:STEPS and commas, such as 3:9000,2:4000")
    return stages


def train(
    labelmaps: Path,
    out: Path,
    *,
    stages: Sequence[Stage] = STAGES,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    threads: int = 1,
    progress: Progress = null_progress,
) -> Path:
    """Train on every label map of `labelmaps` and write card, weights and graph to `out`; returns the card's path.

    The last stage draws milder samples (`synth_config`). Each stage leaves `stage_<number>.pt`; the model is for the
    spacing of the last one. Deterministic for one seed, thread count and device. Raises UnreadableInputError when the
    folder has no label map.
    """
    if not any(labelmaps.glob("*.nii*")):
        raise UnreadableInputError(
            f"{labelmaps}: no label map (*.nii, *.nii.gz, *.nii.bz2) here", hint="check --labelmaps"
        )
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    maps = load_label_maps(labelmaps)
    config = VolumeSegmenterConfig(num_classes=len(LABELS), head_apart=True)
    module = VolumeSegmenter(config).to(device)
    clock = time.monotonic()
    start: Path | None = None
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        before = sum(earlier.steps for earlier in stages[:number])  # no two stages see the same sample
        average = fit(
            module,
            _batches(maps, stage, synth_config(stage.spacing, mild=last), seed * SEED_STRIDE + before, device),
            _loss,
            FitConfig(
                steps=stage.steps, warmup=0 if number else 100, cooldown=LAST_COOLDOWN if last else 0.0, bf16=True
            ),
            checkpoint=out / f"stage_{number + 1}.pt",
            start=start,
            resume=resume,
            progress=progress,
        )
        start = out / f"stage_{number + 1}.pt"
    told = ",".join(f"{stage.spacing:g}:{stage.steps}" for stage in stages)
    facts = {
        "data": f"{len(maps.names)} label maps of {labelmaps.name} (SynthSeg, Apache-2.0); no image of any kind",
        "command": f"vitapps medical train brain --labelmaps DIR --out DIR --stages {told} --seed {seed}",
        "hardware": training_hardware(device, threads, generators=1),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": seed,
        "split": "trained on synthetic scans only; every real scan is evaluation",
    }
    return export(average.cpu(), config, synth_config(stages[-1].spacing), facts, out)


def _batches(
    maps: LabelMaps, stage: Stage, config: SynthConfig, seed: int, device: str
) -> Callable[[int], Iterator[Batch]]:
    def batches(first: int) -> Iterator[Batch]:
        samples = _Samples(maps, config, seed + first, stage.steps - first)
        workers = 1 if device == "cpu" else 12
        return iter(DataLoader(samples, batch_size=1, num_workers=workers, worker_init_fn=_one_thread))

    return batches


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    image, target = batch
    assert isinstance(module, VolumeSegmenter)
    return soft_dice_loss(module.logits(image), target)  # B 4 D H W -> B K D H W -> scalar


def export(
    module: nn.Module, config: VolumeSegmenterConfig, synth: SynthConfig, facts: dict[str, Any], out: Path
) -> Path:
    """Write `<NAME>.safetensors` (fp16), `<NAME>.onnx` and the card `<NAME>.toml` to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    window = list(config.window)
    card: dict[str, Any] = {
        "name": NAME,
        "task": "medical.segment",
        "arch": "volume_segmenter",
        "config": asdict(config),
        "summary": "32 brain structures in MR of any contrast (and CT-like contrast), 2 mm network grid",
        "licence": "Apache-2.0 (weights and training label maps)",
        "status": "core",
        "preprocess": {
            "orientation": "RAS",
            "spacing": [synth.spacing] * 3,
            "window": window,
            "overlap": 0.5,
            "normalise": {"kind": "percentile", "low": 0.5, "high": 99.5},
            "place": True,
            "lr_flip": True,
        },
        "labels": label_table(),
        "training": facts,
        "tolerance": {"bf16": False},
        "limits": [
            "adult brains; lesions, tumours and resections are labelled as the nearest normal tissue",
            "not a medical device: a person has to look at every result that a decision rests on",
        ],
    }
    example = window_example(config)
    return publish(module, card, out, example=example, output_names=["features"])


STRUCTURES = {
    2: "cerebral white matter", 3: "cerebral cortex", 4: "lateral ventricle", 5: "inferior lateral ventricle",
    7: "cerebellum white matter", 8: "cerebellum cortex", 10: "thalamus", 11: "caudate", 12: "putamen", 13: "pallidum",
    17: "hippocampus", 18: "amygdala", 26: "accumbens area", 28: "ventral DC",
}  # fmt: skip
RIGHT = {2: 41, 3: 42, 4: 43, 5: 44, 7: 46, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53, 18: 54, 26: 58, 28: 60}
MIDLINE = {0: "background", 14: "3rd ventricle", 15: "4th ventricle", 16: "brain-stem", 24: "CSF"}


# what is equally bright in most sequences; the others are a tissue each, both sides together
TISSUES = {
    "white matter": (2, 41, 7, 46), "grey matter": (3, 42, 11, 50, 17, 53, 18, 54, 26, 58),
    "cerebellar cortex": (8, 47), "fluid": (4, 43, 5, 44, 14, 15, 24),
}  # fmt: skip


def label_table() -> list[dict[str, Any]]:
    """Card labels in class order: FreeSurfer number, name, and the number of the mirrored structure."""
    rows: dict[int, dict[str, Any]] = {value: {"value": value, "name": name} for value, name in MIDLINE.items()}
    for left, name in STRUCTURES.items():
        right = RIGHT[left]
        rows[left] = {"value": left, "name": f"left {name}", "mirror": right}
        rows[right] = {"value": right, "name": f"right {name}", "mirror": left}
    for value, row in rows.items():
        own = str(row["name"]).removeprefix("left ").removeprefix("right ")
        row["tissue"] = next((name for name, members in TISSUES.items() if value in members), own)
    rows[24]["optional"] = True  # the fluid around the brain: a class that the network needs, no part of the brain
    return [rows[value] for value in LABELS]
