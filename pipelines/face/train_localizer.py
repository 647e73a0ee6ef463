"""`vitapps face train localizer`: IML-ViT with the noise branch on edits that a generator makes of untouched pictures.

Every fifth picture is held out: on edits of those the network's F1 stands beside that of the classical evidence in the
card. The weights are used by `face localize --weights`; they replace nothing unless they are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.presentation_attacks import pictures_of
from vitapps.datasets.synth.tampering import tamper
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.evidence.fuse import gather
from vitapps.pipelines.face.evidence.network import STRIDE, network_evidence
from vitapps.pipelines.face.scores import f1_of
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.models.iml_vit import ImlViT, ImlViTConfig, localization_loss

NAME = "face-localizer"
_HELD = 5  # every fifth picture
_SEED_STRIDE = 10_000_019
Pictures = list[NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalizerFit:
    """`batch` windows a step, `rate` the highest learning rate, `tests` edited pictures that are scored at the end."""

    steps: int = 2000
    batch: int = 8
    rate: float = 8e-4
    seed: int = 0
    threads: int = 1
    tests: int = 24
    model: ImlViTConfig = field(default_factory=ImlViTConfig)


def train(
    data: Path, out: Path, config: LocalizerFit | None = None, *, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on the untouched pictures below `data` and write card, weights and graph to `out`; returns the card."""
    config = config or LocalizerFit()
    shown, held = _divided(data, config.model.window)
    out.mkdir(parents=True, exist_ok=True)
    start_training(config.seed, device, config.threads)
    clock = time.monotonic()

    def batches(first: int) -> Iterator[Batch]:
        for step in range(first, config.steps):
            seeds = (config.seed * _SEED_STRIDE + step * config.batch + place for place in range(config.batch))
            parts = zip(*(window_of(shown, seed, config.model.window) for seed in seeds), strict=True)
            yield tuple(torch.from_numpy(np.stack(part)) for part in parts)

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
        module, batches, _loss, schedule, checkpoint=out / "checkpoint.pt", resume=resume, progress=progress
    )  # fmt: skip
    assert isinstance(average, ImlViT)
    facts = {
        "data": f"{len(shown)} untouched pictures, edited by datasets/synth/tampering.py",
        "command": f"vitapps face train localizer --data DIR --out DIR --steps {config.steps} --seed {config.seed}",
        "hardware": training_hardware(device, config.threads, bf16=device != "cpu"),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": f"{len(held)} pictures held out, on whose edits the scores are measured",
    }
    return _export(average.cpu().eval(), config, facts, _scores(average, held, config), out)


def window_of(pictures: Pictures, seed: int, window: tuple[int, int]) -> tuple[NDArray[np.float32], ...]:
    """A window of an edited picture, 3 H W in 0..1, and its mask at the stride of the output, 1 h w."""
    rng = np.random.default_rng(seed)
    target, donor = (pictures[int(place)] for place in rng.choice(len(pictures), 2, replace=len(pictures) < 2))
    edited = tamper(target, donor, int(rng.integers(1 << 31)))
    height, width = window
    top, left = (int(rng.integers(edited.image.shape[axis] - window[axis] + 1)) for axis in (0, 1))
    image = edited.image[top : top + height, left : left + width].transpose(2, 0, 1)  # H W 3 -> 3 H W
    mask = edited.mask[top : top + height, left : left + width].astype(np.float32)
    cells = mask.reshape(height // STRIDE, STRIDE, width // STRIDE, STRIDE).mean(axis=(1, 3))
    return (image / np.float32(255)).astype(np.float32), np.asarray(cells[None], np.float32)


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(module, ImlViT)
    return localization_loss(module.forward_logits(batch[0]).float(), batch[1])


def _divided(data: Path, window: tuple[int, int]) -> tuple[Pictures, Pictures]:
    found = [read_picture(path).pixels for path in pictures_of(data)]
    large = [pixels for pixels in found if pixels.shape[0] >= window[0] and pixels.shape[1] >= window[1]]
    if len(large) < 4:
        raise UnreadableInputError(
            f"{data}: {len(large)} pictures of {window[1]} x {window[0]} or more", hint="give four at least"
        )
    held = [pixels for number, pixels in enumerate(large) if number % _HELD == 0]
    return [pixels for number, pixels in enumerate(large) if number % _HELD], held


def _scores(module: ImlViT, held: Pictures, config: LocalizerFit) -> list[dict[str, Any]]:
    """F1 at 0.5 of the network and of the classical evidence on the same edits."""
    module = module.cpu().eval()

    def predict(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        with torch.inference_mode():
            return (module(torch.from_numpy(windows)).numpy(),)

    values: dict[str, list[float]] = {"network": [], "classical evidence": []}
    for number in range(config.tests):
        edited = tamper(held[number % len(held)], held[(number + 1) % len(held)], number, "splice")
        maps = {
            "network": network_evidence(edited.image, predict, config.model.window).map,
            "classical evidence": gather(edited.image).map,
        }
        for name, found in maps.items():
            values[name].append(f1_of(found >= 0.5, _cells(edited.mask, found.shape)))
    return [
        {"metric": f"F1 at 0.5 on simulated splices, {name}", "value": round(float(np.mean(found)), 3),
         "data": "edits of held-out pictures", "n": config.tests, "command": "vitapps face train localizer"}
        for name, found in values.items()
    ]  # fmt: skip


def _cells(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows = np.minimum(np.arange(shape[0]) * STRIDE + STRIDE // 2, mask.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1]) * STRIDE + STRIDE // 2, mask.shape[1] - 1)
    return np.asarray(mask[np.ix_(rows, columns)])


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
        "limits": ["learned from simulated edits alone: what people do by hand looks different"],
    }
    example = torch.zeros(1, 3, *config.model.window)
    return publish(module, card, out, example=example, output_names=["edited"])
