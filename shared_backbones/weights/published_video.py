"""VideoMAE and VideoMAE V2 as our ViT: `hf:OWNER/REPO[@REVISION]` (cache or network), or a folder with `config.json`.

Only safetensors, or pickles with `weights_only=True`. What is no VideoMAE is refused, nothing is replaced silently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vitapps.errors import MissingError, VitappsError
from vitapps.provenance import sha256_file
from vitapps.require import require
from vitapps.shared_backbones.convert.videomae import config_from_hf, convert_videomae
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.weights.load import load_state, read_checkpoint

_FILES = ("model.safetensors", "pytorch_model.bin")
_HINT = "it has to be in the Hugging Face cache (HF_HOME) or reachable over the network"
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
    fetch = _Source(spec, cache_dir)
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


class _Source:
    """The files of a repository or of a folder."""

    def __init__(self, spec: str, cache_dir: Path | None) -> None:
        self._spec, self._cache = spec, cache_dir
        self._folder = None if spec.startswith("hf:") else Path(spec)
        if self._folder is not None and not self._folder.is_dir():
            raise MissingError(f"{spec}: no such folder", hint="a folder with config.json and model.safetensors")

    def json(self, name: str, *, optional: bool = False) -> dict[str, Any]:
        try:
            found = json.loads(self._path(name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, MissingError) as error:
            if optional:
                return {}
            raise MissingError(f"{self._spec}: no readable {name}: {error}", hint=_HINT) from None
        return dict(found)

    def first(self, names: tuple[str, ...]) -> Path:
        """The first of `names` that is there."""
        problem: VitappsError | None = None
        for name in names:
            try:
                return self._path(name)
            except MissingError as error:
                problem = error
        raise MissingError(f"{self._spec}: none of {', '.join(names)}", hint=_HINT) from problem

    def _path(self, name: str) -> Path:
        if self._folder is not None:
            path = self._folder / name
            if not path.is_file():
                raise MissingError(f"{path}: no such file", hint="give the folder of a VideoMAE checkpoint")
            return path
        hub = require("huggingface_hub", extra="hub")
        repository, _, revision = self._spec.removeprefix("hf:").partition("@")
        try:
            return Path(hub.hf_hub_download(repository, name, revision=revision or None, cache_dir=self._cache))
        except Exception as error:  # the hub client's errors have no common base class
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            raise MissingError(f"{self._spec}: {name}: {reason}", hint=_HINT) from error


def _classes(state: Mapping[str, Tensor]) -> int:
    heads = [value.shape[0] for key, value in state.items() if key.endswith(("classifier.weight", "head.weight"))]
    return int(heads[0]) if heads and not any("decoder" in key for key in state) else 0
