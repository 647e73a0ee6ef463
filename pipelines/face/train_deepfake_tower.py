"""`vitapps face train deepfake-tower`: a published CLIP or DINO tower whose LayerNorms and head learn fakes (S104).

The tower comes from `timm:NAME`, `hf:OWNER/REPO` or a folder with transformers' `config.json` and `model.safetensors`;
nothing but the scales and shifts of its normalisations and the head is trained, on pairs of untouched and blended
faces drawn anew each step. Thresholds and scores come from people that were held out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitapps.datasets.sets.face_fakes import read_marked
from vitapps.errors import MissingError, UnreadableInputError
from vitapps.pipelines.face.deepfake_band import SMALLEST
from vitapps.pipelines.face.deepfake_faces import Cut, cuts_of, drawn
from vitapps.pipelines.face.deepfake_fit import (
    UNTESTED,
    export,
    fake_logits,
    hypersphere_loss,
    on_people_held_out,
    on_swaps,
)
from vitapps.pipelines.face.deepfake_model import DeepfakeModel, colours
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.progress import Progress, null_progress
from vitapps.require import require
from vitapps.shared_backbones.convert.hf_clip_vision import MEAN, STD, config_from_hf_clip, convert_hf_clip_vision
from vitapps.shared_backbones.models.hypersphere_vit import HypersphereViT, HypersphereViTConfig
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.peft.ln_tuning import tune_norms

NAME = "face-deepfake-tower"


@dataclass(frozen=True, kw_only=True, slots=True)
class TowerFit:
    """`batch` pairs a step, `tests` held-out pairs that choose the thresholds."""

    steps: int = 1000
    batch: int = 16
    rate: float = 3e-4
    seed: int = 0
    threads: int = 1
    tests: int = 200


def train(
    data: Sequence[Path], tower: str, out: Path, config: TowerFit | None = None, *, swaps: Path | None = None,
    device: str = "cpu", resume: bool = False, progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Tune the norms of `tower` on the faces of `data` and write card, weights and graph to `out`; returns the card's
    path. Raises MissingError or UsageError for what is no tower, UnreadableInputError for too few people."""
    config = config or TowerFit()
    clock = time.monotonic()
    module = load_tower(tower)
    side = module.config.tower().image_size[0]
    sources = [[face for face in read_marked(source) if face.side >= SMALLEST] for source in data]
    cuts = cuts_of([face for source in sources for face in source], progress)
    if len({cut.held for cut in cuts}) < 2:
        raise UnreadableInputError(f"{len(cuts)} faces of too few people", hint="give faces of several people")
    out.mkdir(parents=True, exist_ok=True)
    start_training(config.seed, device, config.threads)
    tune_norms(module.vit)
    schedule = FitConfig(steps=config.steps, rate=config.rate, weight_decay=0.0, warmup=min(50, config.steps), ema=0.99)
    average = fit(
        module.to(device), _batches([cut for cut in cuts if not cut.held], side, config), hypersphere_loss, schedule,
        checkpoint=out / "checkpoint.pt", resume=resume, progress=progress,
    )  # fmt: skip
    assert isinstance(average, HypersphereViT)
    average = average.cpu().eval()
    facts = NetworkFacts(name=NAME)
    model = DeepfakeModel(logits=lambda faces: _logits(average, faces), size=side, tested=UNTESTED, facts=facts)
    model, scores = on_people_held_out(model, sources, pairs=config.tests, seed=config.seed, progress=progress)
    tested = model.tested
    if swaps is not None:
        tested, found = on_swaps(model, swaps)
        scores += found
    words: dict[str, Any] = {
        "name": NAME,
        "summary": "traces of a blended-in face, by a published tower with tuned norms",
        "licence": f"that of {tower}; see also the licence of the faces that were used",
        "training": {
            "data": f"{len(cuts)} real faces of {len({cut.person for cut in cuts})} people",
            "command": f"vitapps face train deepfake-tower --tower {tower} --data DIR --out DIR --steps {config.steps}",
            "hardware": training_hardware(device, config.threads),
            "minutes": round((time.monotonic() - clock) / 60, 1),
            "seed": config.seed,
            "split": "a third of the people held out for the thresholds; real swaps never trained on",
        },
        "scores": scores,
    }
    return export(average, words, {"input": "face", "size": side}, tested, out)


def load_tower(spec: str) -> HypersphereViT:
    """A published tower with a new head: `timm:NAME`, `hf:OWNER/REPO`, or a folder of transformers' CLIP."""
    if spec.startswith(("timm:", "hf:")):
        from vitapps.shared_backbones.weights.published import load_published

        found = load_published(spec)
        mean, std = (tuple(found.preprocess[key]) for key in ("mean", "std"))
        return _with_head(found.config, found.module.state_dict(), mean, std)
    folder = Path(spec)
    try:
        config = config_from_hf_clip(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        state = require("safetensors.torch", package="safetensors").load_file(str(folder / "model.safetensors"))
    except (OSError, ValueError, KeyError) as error:
        raise MissingError(
            f"{spec}: no tower ({error})", hint="timm:NAME, hf:OWNER/REPO, or a folder with config.json"
        ) from None
    return _with_head(config, convert_hf_clip_vision(state), MEAN, STD)


def _with_head(
    config: ViTConfig, state: dict[str, torch.Tensor], mean: tuple[float, ...], std: tuple[float, ...]
) -> HypersphereViT:
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
    kept = {key: value for key, value in fields.items() if value is not None}
    module = HypersphereViT(HypersphereViTConfig(vit=kept, mean=mean, std=std))
    wanted = set(ViT(module.config.tower()).state_dict())
    module.vit.load_state_dict({key: value for key, value in state.items() if key in wanted})
    return module.eval()


def _batches(cuts: Sequence[Cut], side: int, config: TowerFit) -> Callable[[int], Iterator[Batch]]:
    draw = drawn(cuts, config.seed, side)

    def source(first: int) -> Iterator[Batch]:
        for step in range(first, config.steps):
            faces = []
            for place in range(config.batch):
                plain, blended, _ = draw(step * config.batch + place)
                faces += [colours(plain), colours(blended)]
            yield torch.from_numpy(np.stack(faces)), torch.tensor([0, 1] * config.batch)

    return source


def _logits(module: HypersphereViT, faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return np.concatenate([fake_logits(module, colours(face)[None].astype(np.float64)) for face in faces])
