"""`vitapps face train liveness-net`: the ViT with central-difference adapters, domain after domain, without rehearsal.

Each source is a domain. The first trains the whole network (or, on a pre-trained encoder, what follows too); from the
second on only adapters, last norm and head learn, no picture of an earlier domain is shown again, and the rows of the
earlier classifiers pull and push the new features (S098, PPCR). A stage's checkpoint at its last step is its result:
`--resume` passes over finished stages and goes on within the one that was cut.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.datasets.sets.presentation_attacks import Presentation, read_presentations
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.liveness import LIMITS
from vitapps.pipelines.face.liveness_batches import batches_of, domains_of
from vitapps.pipelines.face.liveness_data import as_input, crop_of, face_of, smooth
from vitapps.pipelines.face.liveness_model import OperatingPoint, fit_point
from vitapps.pipelines.face.scores import Bools, Floats, auc
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.progress import Progress, null_progress
from vitapps.require import require
from vitapps.shared_backbones.models import tuples
from vitapps.shared_backbones.models.liveness_vit import LivenessViT, LivenessViTConfig, proxies_of
from vitapps.shared_backbones.models.vit import ViTConfig
from vitapps.shared_backbones.peft.ppcr import proxy_loss

NAME = "face-liveness-net"
_PULL = 0.1  # weight of the proxies' loss
_HELD = 5  # every fifth picture of a domain chooses the operating point


@dataclass(frozen=True, kw_only=True, slots=True)
class LivenessFit:
    """`steps` of each domain, `batch` faces a step. `encoder`: a file of `face pretrain` to start from."""

    steps: int = 600
    batch: int = 32
    rate: float = 6e-4
    seed: int = 0
    threads: int = 1
    encoder: Path | None = None
    model: LivenessViTConfig = field(default_factory=LivenessViTConfig)


def train(
    data: Path, out: Path, config: LivenessFit | None = None, *, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Train on all sources of `data`, a fifth of each held out, and write card, weights and graph to `out`; returns
    the card's path."""
    config = config or LivenessFit()
    clock = time.monotonic()
    items = read_presentations(data)
    held = [item for number, item in enumerate(items) if number % _HELD == 0]
    shown = [item for number, item in enumerate(items) if number % _HELD]
    module = learn(shown, out, config, device=device, resume=resume, progress=progress)
    logits, live = logits_of(module, held)[0], np.array([item.live for item in held])
    names = sorted({item.source for item in items})
    point = fit_point(logits, live, f"{', '.join(names)}: pictures held out, of known cameras")
    facts = {
        "data": f"{len(shown)} pictures of {', '.join(names)}, one source after the other; simulated spoofs",
        "command": f"vitapps face train liveness-net --data DIR --out DIR --steps {config.steps} --seed {config.seed}",
        "hardware": training_hardware(device, config.threads),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": "a fifth of each source held out for the operating point; no source was left out",
    }
    score = {
        "metric": "AUC on held-out pictures of the trained sources", "value": round(auc(logits, live), 3),
        "data": ", ".join(names), "n": len(held), "command": "vitapps face train liveness-net --data DIR --out DIR",
    }  # fmt: skip
    return _export(module, point, facts, [score], out)


def learn(
    items: Sequence[Presentation], out: Path, config: LivenessFit, *, device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> LivenessViT:  # fmt: skip
    """The network after every source in turn; checkpoints `stage-N.pt` in `out`. UnreadableInputError for a folder in
    which no source holds both live faces and attacks, or for an encoder of another shape."""
    shape = config.model if config.encoder is None else shaped_like(config.encoder, config.model)
    domains = domains_of(items, shape.size)
    if not domains:
        raise UnreadableInputError("no source with live faces and attacks", hint="SOURCE/real and SOURCE/print")
    out.mkdir(parents=True, exist_ok=True)
    start_training(config.seed, device, config.threads)
    module = LivenessViT(shape).to(device)
    if config.encoder is not None:
        load_encoder(module, config.encoder)
    proxies: list[Tensor] = []
    for number, domain in enumerate(domains):
        if number or config.encoder is not None:
            module.train_adapters()
        else:
            module.train_whole()
        schedule = FitConfig(steps=config.steps, rate=config.rate, warmup=min(50, config.steps), ema=0.99)
        average = fit(
            module, batches_of(domain, config.batch, config.steps, config.seed + number), _loss(proxies), schedule,
            checkpoint=out / f"stage-{number}.pt", resume=resume, progress=progress,
        )  # fmt: skip
        assert isinstance(average, LivenessViT)
        module.load_state_dict(average.state_dict())
        proxies.append(proxies_of(module))
    return module.cpu().eval()


def shaped_like(path: Path, config: LivenessViTConfig) -> LivenessViTConfig:
    """`config` with the sizes of an encoder of `face pretrain`; UnreadableInputError for what is none."""
    try:
        words: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        shaped = replace(
            config, size=words["image_size"][0], patch=words["patch"][0], dim=words["dim"], depth=words["depth"],
            heads=words["heads"],
        )  # fmt: skip
        if ViTConfig(**{key: tuples(value) for key, value in words.items()}) != shaped.vit():
            raise ValueError("not a plain ViT of square faces")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UnreadableInputError(f"{path}: no encoder ({error})", hint="`vitapps face pretrain` writes one") from None
    return shaped


def load_encoder(module: LivenessViT, path: Path) -> None:
    """The weights of `face pretrain` for the ViT; adapters, norm and head stay as they are."""
    state = require("safetensors.torch", package="safetensors").load_file(str(path))
    named = {_adapted(key) if module.config.adapter else key: value for key, value in state.items()}
    missing, unknown = module.vit.load_state_dict(named, strict=False)
    if unknown or any(".adapter." not in key for key in missing):
        raise UnreadableInputError(f"{path}: other weights than its .json says", hint="`vitapps face pretrain` again")


def logits_of(module: nn.Module, items: Sequence[Presentation]) -> Floats:
    """Live minus attack, 2 N: of each picture's face, and of the same `smooth`."""
    assert isinstance(module, LivenessViT)
    found = []
    with torch.inference_mode():
        for item in items:
            crop = crop_of(item)
            faces = [face_of(face, module.config.size) for face in (crop, smooth(crop))]
            pairs = module(torch.from_numpy(as_input(faces)))  # 2 2: attack, live
            found.append((pairs[:, 1] - pairs[:, 0]).tolist())
    return np.array(found, np.float64).T


def unseen_net_logits(
    items: Sequence[Presentation], out: Path, config: LivenessFit, progress: Progress = null_progress
) -> Floats:
    """Logits 2 N, as `logits_of`, of every picture from a network that was trained here on all other sources."""
    logits = np.zeros((2, len(items)))
    for name in sorted({item.source for item in items}):
        held: Bools = np.array([item.source == name for item in items])
        others = [item for item, left in zip(items, held, strict=True) if not left]
        module = learn(others, out / name, config, progress=progress)
        logits[:, held] = logits_of(module, [item for item, left in zip(items, held, strict=True) if left])
    return logits


def _loss(proxies: Sequence[Tensor]) -> Callable[[nn.Module, Batch], Tensor]:
    """Cross-entropy, and with earlier domains the loss of their proxies."""
    earlier = torch.cat(list(proxies)) if proxies else None
    classes = torch.arange(2).repeat(len(proxies))

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(module, LivenessViT)
        pooled = module.pooled(batch[0])
        value = functional.cross_entropy(module.head(pooled), batch[1], label_smoothing=0.05)
        if earlier is None:
            return value
        return value + _PULL * proxy_loss(pooled, batch[1], earlier.to(pooled.device), classes.to(pooled.device))

    return loss


def _adapted(key: str) -> str:
    """`blocks.0.norm1.weight` -> `blocks.0.block.norm1.weight`."""
    if not key.startswith("blocks."):
        return key
    _, number, rest = key.split(".", 2)
    return f"blocks.{number}.block.{rest}"


def _export(
    module: LivenessViT, point: OperatingPoint, facts: dict[str, Any], scores: list[dict[str, Any]], out: Path
) -> Path:
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": NAME,
        "task": "face.liveness",
        "arch": "liveness_vit",
        "config": asdict(module.config),
        "summary": "live face or print/screen, by a small ViT with central-difference adapters",
        "licence": "weights Apache-2.0; see the licence of the pictures that were used",
        "status": "paper",
        "preprocess": {"size": module.config.size, "operating_point": asdict(point)},
        "labels": [{"value": 1, "name": "live", "threshold": point.live_from}],
        "training": facts,
        "scores": scores,
        "tolerance": {"bf16": False},
        "limits": [
            *LIMITS[1:],
            "forbidden: deciding alone over people's access to money, work, borders or services",
            "failures in pictures (another camera is a spoof, a good print live): "
            "docs/img/face_liveness_net_failure.jpg",
        ],
    }
    size = module.config.size
    return publish(module, card, out, example=torch.zeros(1, 3, size, size), output_names=["logits"])
