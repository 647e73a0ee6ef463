"""`vitapps face train localizer`: IML-ViT with the noise branch on edits that a generator makes of untouched pictures.

It reads the local traces of the classical evidence, whose weighted sum it replaces (copies stay with self-match, so
none are among the edits), or the pixels alone, which takes a GPU's time. Every fifth picture is held out: on edits of
those the network's F1 stands beside that of the classical evidence in the card. The weights are used by `face localize
--weights`; they replace nothing unless they are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.presentation_attacks import pictures_of
from vitapps.datasets.synth.tampering import Image, Kind, tamper
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.evidence.fuse import gather, guide_of, local_traces
from vitapps.pipelines.face.evidence.network import STRIDE, TRACES, Localizer, planes_of
from vitapps.pipelines.face.localize_eval import on_grid
from vitapps.pipelines.face.scores import best_f1, f1_of
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.iml_vit import ImlViT, ImlViTConfig, localization_loss

NAME = "face-localizer"
_HELD = 5  # every fifth picture
_SEED_STRIDE = 10_000_019
_LARGEST = 512  # pixels a side of what is edited, a multiple of the JPEG block's double
_KINDS: tuple[Kind, ...] = ("splice", "retouch", "untouched")  # those of a network of traces
_SHARES = (0.45, 0.3, 0.25)
ON_TRACES = ImlViTConfig(window=(80, 80), patch=4, dim=64, local=10, decoder=32, traces=len(TRACES))  # in cells
ON_PIXELS = ImlViTConfig()
_LIMITS_OF_TRACES = (
    "knows no copies, which `face localize` finds by self-match; judges no picture as a whole",
    "pictures that were scaled down or passed a messenger have lost the traces it reads",
)
Sample = tuple[NDArray[np.float16], NDArray[np.float16]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalizerFit:
    """`batch` windows a step, `rate` the highest learning rate, `pool` edited pictures, each shown in other parts as
    often as it comes, `tests` edited pictures that are scored at the end."""

    steps: int = 2000
    batch: int = 16
    rate: float = 1e-3
    edge_weight: float = 1.0
    pool: int = 1000
    seed: int = 0
    threads: int = 1
    tests: int = 24
    model: ImlViTConfig = ON_TRACES


def train(
    data: Path, out: Path, config: LocalizerFit | None = None, *, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on the untouched pictures below `data` and write card, weights and graph to `out`; returns the card."""
    config = config or LocalizerFit()
    shown, held = _divided(data, config.model)
    out.mkdir(parents=True, exist_ok=True)
    start_training(config.seed, device, config.threads)
    clock = time.monotonic()

    pool: dict[int, Sample] = {}

    def window(number: int) -> tuple[NDArray[np.float32], ...]:
        seed = config.seed * _SEED_STRIDE + number % config.pool
        if seed not in pool:
            pool[seed] = sample_of(shown, seed, config.model)
        return window_of(pool[seed], config.model, np.random.default_rng((config.seed, number)))

    def batches(first: int) -> Iterator[Batch]:
        for step in range(first, config.steps):
            numbers = range(step * config.batch, (step + 1) * config.batch)
            parts = zip(*(window(number) for number in numbers), strict=True)
            yield tuple(torch.from_numpy(np.stack(part)) for part in parts)

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(module, ImlViT)
        return localization_loss(module.forward_logits(batch[0]).float(), batch[1], config.edge_weight)

    schedule = FitConfig(
        steps=config.steps,
        rate=config.rate,
        warmup=min(100, config.steps),
        ema=0.995,
        bf16=device != "cpu",
        checkpoint_every=120,
    )
    module = ImlViT(config.model).to(device)
    average = fit(
        module, batches, loss, schedule, checkpoint=out / "checkpoint.pt", resume=resume, progress=progress
    )  # fmt: skip
    assert isinstance(average, ImlViT)
    facts = {
        "data": f"{len(shown)} untouched pictures, edited by datasets/synth/tampering.py",
        "command": f"vitapps face train localizer --data DIR --out DIR --steps {config.steps} --seed {config.seed}"
        + ("" if config.model.traces else " --pixels"),
        "hardware": training_hardware(device, config.threads, bf16=device != "cpu"),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": f"{len(held)} pictures held out, on whose edits the scores are measured",
    }
    return _export(average.cpu().eval(), config, facts, _scores(average, held, config), out)


def sample_of(pictures: Sequence[Image], seed: int, config: ImlViTConfig) -> Sample:
    """A part of a picture, edited: the planes that the network sees, C H W, and the mask at the stride of its output,
    1 h w in 0..1."""
    rng = np.random.default_rng(seed)
    target, donor = (pictures[int(place)] for place in rng.choice(len(pictures), 2, replace=len(pictures) < 2))
    kind = _KINDS[int(rng.choice(len(_KINDS), p=_SHARES))] if config.traces else None
    edited = tamper(_part(target, rng), donor, int(rng.integers(1 << 31)), kind)
    mask = edited.mask.reshape(edited.mask.shape[0] // STRIDE, STRIDE, -1, STRIDE).mean(axis=(1, 3))  # H W -> h w
    planes = (
        planes_of(local_traces(edited.image, STRIDE), guide_of(edited.image, *mask.shape)) if config.traces
        else edited.image.transpose(2, 0, 1) / np.float32(255)
    )  # fmt: skip
    return planes.astype(np.float16), mask[None].astype(np.float16)


def window_of(sample: Sample, config: ImlViTConfig, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
    """A window of a sample's planes and mask, mirrored half of the time along each axis."""
    planes, mask = sample
    unit = planes.shape[1] // mask.shape[1]  # of the planes in a cell of the mask
    (height, width), (rows, columns) = (side // unit for side in config.window), mask.shape[1:]
    top, left = int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1))
    flips = tuple(slice(None, None, int(step)) for step in rng.choice((-1, 1), 2))
    found = (
        planes[:, top * unit : (top + height) * unit, left * unit : (left + width) * unit],
        mask[:, top : top + height, left : left + width],
    )
    return tuple(np.ascontiguousarray(part[:, *flips], np.float32) for part in found)


def _part(picture: Image, rng: np.random.Generator) -> Image:
    """At most `_LARGEST` a side, on the grid of JPEG's blocks, in whole cells."""
    sides = [min(side, _LARGEST) // STRIDE * STRIDE for side in picture.shape[:2]]
    top, left = (int(rng.integers((picture.shape[axis] - sides[axis]) // 16 + 1)) * 16 for axis in (0, 1))
    return np.ascontiguousarray(picture[top : top + sides[0], left : left + sides[1]])


def _divided(data: Path, config: ImlViTConfig) -> tuple[list[Image], list[Image]]:
    least = [side * (STRIDE if config.traces else 1) for side in config.window]
    found = [read_picture(path).pixels for path in pictures_of(data)]
    large = [pixels for pixels in found if pixels.shape[0] >= least[0] and pixels.shape[1] >= least[1]]
    if len(large) < 4:
        raise UnreadableInputError(
            f"{data}: {len(large)} pictures of {least[1]} x {least[0]} or more", hint="give four at least"
        )
    held = [pixels for number, pixels in enumerate(large) if number % _HELD == 0]
    return [pixels for number, pixels in enumerate(large) if number % _HELD], held


def _scores(module: ImlViT, held: Sequence[Image], config: LocalizerFit) -> list[dict[str, Any]]:
    """F1 at 0.5 and at the best threshold of the network and of the classical evidence on the same edits."""
    module = module.cpu().eval()

    def predict(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        with torch.inference_mode():
            return (module(torch.from_numpy(windows)).numpy(),)

    network = Localizer(predict=predict, window=config.model.window, traces=config.model.traces > 0)
    values: dict[str, list[tuple[float, float]]] = {"network": [], "classical evidence": []}
    for number in range(config.tests):
        edited = tamper(held[number % len(held)], held[(number + 1) % len(held)], number, "splice")
        maps = {"network": network.evidence(edited.image).map, "classical evidence": gather(edited.image).map}
        for name, found in maps.items():
            truth = on_grid(edited.mask.astype(np.uint8) * 255, found.shape)
            values[name].append((f1_of(found >= 0.5, truth), best_f1(found, truth)))
    return [
        {"metric": f"{metric} on simulated splices, {name}", "value": round(float(value), 3),
         "data": "edits of held-out pictures", "n": config.tests, "command": "vitapps face train localizer"}
        for name, found in values.items()
        for metric, value in zip(("F1 at 0.5", "best F1"), np.mean(found, axis=0), strict=True)
    ]  # fmt: skip


def _export(
    module: ImlViT, config: LocalizerFit, facts: dict[str, Any], scores: list[dict[str, Any]], out: Path
) -> Path:
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": NAME,
        "task": "face.localize",
        "arch": "iml_vit",
        "config": asdict(config.model),
        "summary": "edited parts of photographs, learned from simulated edits",
        "licence": "weights Apache-2.0; see the licence of the pictures that were used",
        "status": "paper",
        "preprocess": {"window": list(config.model.window)},
        "labels": [{"value": 1, "name": "edited", "threshold": 0.5}],
        "training": facts,
        "scores": scores,
        "tolerance": {"bf16": False},
        "limits": [
            "learned from simulated edits alone: what people do by hand looks different",
            *(_LIMITS_OF_TRACES if config.model.traces else ()),
            "forbidden: accusing anyone, deciding without a person, evidence in a procedure",
            "failure in pictures (the edit of a halved picture is lost): docs/img/face_localizer_failure.jpg",
        ],
    }
    example = torch.zeros(1, 3 + config.model.traces, *config.model.window)
    return publish(module, card, out, example=example, output_names=["edited"])
