"""`vitapps face pretrain`: an encoder from unlabelled aligned faces, by FSFM (`shared_backbones/ssl/fsfm.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitapps.atomic import atomic_path, write_text
from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.presentation_attacks import pictures_of
from vitapps.jsonable import json_text
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training
from vitapps.progress import Progress, null_progress
from vitapps.require import require
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.ssl.fsfm import Fsfm, FsfmConfig

ENCODER = ViTConfig(
    image_size=(112, 112), patch=(8, 8), dim=128, depth=6, heads=4, class_token=False, pool="none", num_classes=0
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainFit:
    """`batch` faces a step, `rate` the highest learning rate."""

    steps: int = 2000
    batch: int = 32
    rate: float = 6e-4
    seed: int = 0
    threads: int = 1
    encoder: ViTConfig = ENCODER
    objective: FsfmConfig = field(default_factory=FsfmConfig)


def pretrain(
    data: Path, out: Path, config: PretrainFit | None = None, *, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on the aligned faces below `data`; writes `encoder.safetensors` (the state of `models/vit.py`) with its
    configuration as `encoder.json`, and returns the former. UnreadableInputError for a folder without pictures."""
    config = config or PretrainFit()
    paths = pictures_of(data)
    out.mkdir(parents=True, exist_ok=True)
    start_training(config.seed, device, config.threads)
    learner = Fsfm(ViT(config.encoder), config.objective).to(device)

    def batches(first: int) -> Iterator[Batch]:
        for step in range(first, config.steps):
            rng = np.random.default_rng((config.seed, step))
            chosen = rng.integers(len(paths), size=config.batch)
            faces = np.stack([_face(paths[place], config.encoder.image_size, rng) for place in chosen])
            yield torch.from_numpy(faces), torch.tensor([step])

    schedule = FitConfig(
        steps=config.steps, rate=config.rate, weight_decay=0.05, warmup=min(100, config.steps), bf16=True
    )
    average = fit(
        learner, batches, _loss, schedule, checkpoint=out / "checkpoint.pt", resume=resume, progress=progress
    )  # fmt: skip
    assert isinstance(average, Fsfm)
    return _save(average.encoder.cpu(), config.encoder, out)


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    """The teacher follows before each step; the masks are those of the step's number."""
    assert isinstance(module, Fsfm)
    module.update()
    return module.loss(batch[0], torch.Generator().manual_seed(int(batch[1])))


def _face(path: Path, size: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """A face 3 H W in 0..1, mirrored half of the time."""
    pixels = cv2.resize(read_picture(path).pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    turned = pixels[:, ::-1] if rng.random() < 0.5 else pixels
    return np.asarray(turned.transpose(2, 0, 1) / np.float32(255), np.float32)  # H W 3 -> 3 H W


def _save(encoder: ViT, config: ViTConfig, out: Path) -> Path:
    files = require("safetensors.torch", package="safetensors")
    path = out / "encoder.safetensors"
    with atomic_path(path, overwrite=True) as temporary:
        files.save_file({key: value.contiguous() for key, value in encoder.state_dict().items()}, str(temporary))
    write_text(path.with_suffix(".json"), json_text(asdict(config)), overwrite=True)
    return path
