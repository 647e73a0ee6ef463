"""VideoMAE and VideoMAE V2 as our ViT: `hf:OWNER/REPO[@REVISION]` (cache or network), or a folder with `config.json`.

What is no VideoMAE is refused, nothing is replaced silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from vitapps.provenance import sha256_file
from vitapps.shared_backbones.convert.videomae import config_from_hf, convert_videomae
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.weights.checkpoint_files import CheckpointFiles
from vitapps.shared_backbones.weights.load import load_state, read_checkpoint

_FILES = ("model.safetensors", "pytorch_model.bin")
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedVideo:
    """`module` in evaluation mode; `labels` by class index (empty: no classifier); `mean` and `std` of RGB in 0..1."""

    module: ViT
    config: ViTConfig
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str
    name: str


def load_published_video(spec: str, *, cache_dir: Path | None = None) -> PublishedVideo:
    """Load `hf:REPO` or a folder. Raises UsageError for another architecture, MissingError for files that are neither
    there nor reachable nor readable, or that do not fit the configuration."""
    fetch = CheckpointFiles(spec, cache_dir)
    settings = fetch.json("config.json")
    weights = fetch.first(_FILES)
    state = read_checkpoint(weights)
    classes = _classes(state)
    config = config_from_hf(settings, classes)
    module = ViT(config)
    load_state(module, convert_videomae(state, config), spec)
    preprocess = {**_IMAGENET, **fetch.json("preprocessor_config.json", optional=True)}
    names = {int(key): str(value) for key, value in settings.get("id2label", {}).items()}
    return PublishedVideo(
        module=module.eval(),
        config=config,
        labels=tuple(names.get(index, f"class {index}") for index in range(classes)),
        mean=tuple(preprocess["image_mean"]),
        std=tuple(preprocess["image_std"]),
        sha256=sha256_file(weights),
        name=spec,
    )


def _classes(state: Mapping[str, Tensor]) -> int:
    heads = [value.shape[0] for key, value in state.items() if key.endswith(("classifier.weight", "head.weight"))]
    return int(heads[0]) if heads and not any("decoder" in key for key in state) else 0
