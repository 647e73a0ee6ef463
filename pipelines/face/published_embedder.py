"""Published recognisers as engine of verify, index and search.

    ARCFACE.onnx             an InsightFace graph from aligned faces 1 3 S S to one vector, read through OpenVINO
    ARCFACE.pt, .safetensors the state of InsightFace's ViT (An et al. 2022, arXiv:2203.15565), by torch
    timm:NAME, hf:REPO       a ViT of timm, CLIP's image tower above all: zero-shot recognition (Bhat and Jain 2023,
                             arXiv:2301.07315, section 3: cosine of image embeddings of aligned faces), by torch
    CLIP.safetensors         the same tower as transformers stores it, its config.json beside it

None of them states at which similarity two faces are one person's: until that is measured (`vitapps face calibrate
verify`) every decision is "unsure".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vitapps.errors import MissingError
from vitapps.pipelines.face.embedder import Embedder, Rows, unit
from vitapps.pipelines.face.faces import Pixels
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.provenance import sha256_file
from vitapps.require import require
from vitapps.shared_backbones.engines.machine import usable_cores

if TYPE_CHECKING:
    from torch import Tensor, nn

CARD = {
    "id": "S012",
    "name": "clip_recogniser",
    "family": "face",
    "paper": "Bhat and Jain 2023, arXiv:2301.07315",
    "equation": "section 3 (zero-shot face verification)",
    "deviations": "face and mirror image are averaged; ArcFace's template aligns the face at the tower's own size",
    "slots": [],
    "cost": "that of the tower, twice a face",
    "status": "paper",
}
_HALF = (0.5, 0.5, 0.5)
_BATCH = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedEmbedder(Embedder):
    """`run` takes B 3 S S, S = `crop_size`, RGB with `mean` and `std` of values in 0..1 taken out, and gives B `width`
    vectors."""

    run: Callable[[Rows], Rows]
    mean: Sequence[float]
    std: Sequence[float]
    width: int

    @property
    def dim(self) -> int:
        """Length of a template."""
        return self.width

    def embed(self, crops: Sequence[Pixels]) -> Rows:
        """Templates n dim of aligned crops; those of another size than `crop_size` are resampled."""
        found = [np.zeros((0, self.width), np.float32)]
        for first in range(0, len(crops), _BATCH):
            images = np.stack([self._image(crop) for crop in crops[first : first + _BATCH]])
            mirrored = np.ascontiguousarray(images[..., ::-1])
            found.append(unit(unit(self.run(images)) + unit(self.run(mirrored))))
        return np.concatenate(found)

    def _image(self, crop: Pixels) -> Rows:
        side = self.crop_size
        way = cv2.INTER_AREA if crop.shape[0] > side else cv2.INTER_CUBIC
        sized = crop if crop.shape[0] == side else cv2.resize(crop, (side, side), interpolation=way)
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        values = (sized.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1), np.float32)  # S S 3 -> 3 S S


def load_published_embedder(weights: str, threads: int | None = None) -> PublishedEmbedder:
    """By the kind of `weights`; MissingError for a file that is absent, unreadable or another model's."""
    threads = threads or usable_cores()
    path = Path(weights)
    if path.suffix == ".onnx":
        return _of_graph(_there(path), threads)
    require("torch", extra="train")
    if weights.startswith(("timm:", "hf:")):
        from vitapps.shared_backbones.weights.published import load_published

        found = load_published(weights)
        words = found.preprocess
        return _of_module(weights, found.module, words["mean"], words["std"], int(words["size"][0]), threads)
    return _of_state(_there(path), threads)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise MissingError(f"{path}: no such weights file", hint="check the path")
    return path


def _of_graph(path: Path, threads: int) -> PublishedEmbedder:
    from vitapps.shared_backbones.engines.graph import graph_input
    from vitapps.shared_backbones.engines.openvino import compile_graph

    shape = graph_input(path)
    if len(shape) != 4 or shape[1] not in (0, 3) or shape[2] != shape[3] or not shape[2]:
        raise MissingError(f"{path}: takes {shape}, not aligned faces 1 3 S S", hint="give an ArcFace graph")
    sha256 = sha256_file(path)
    model = compile_graph(path, card_name=path.stem, precision="exact", threads=threads, sha256=sha256)
    side = shape[2]

    def run(images: Rows) -> Rows:
        return np.concatenate([model(image[None])[0].reshape(1, -1) for image in images])  # mostly of fixed batch 1

    facts = NetworkFacts(
        name=path.name, sha256=sha256, engine=model.engine, precision="exact", device="cpu", threads=threads,
        reason="a published graph",
    )  # fmt: skip
    return _embedder(run, facts, _HALF, _HALF, side)


def _of_state(path: Path, threads: int) -> PublishedEmbedder:
    state = _read_state(path)
    if "feature.0.weight" in state:
        from vitapps.shared_backbones.convert.insightface_vit import (
            config_from_insightface_vit,
            convert_insightface_vit,
        )
        from vitapps.shared_backbones.models.vit_embedder import ViTEmbedder
        from vitapps.shared_backbones.weights.load import load_state

        config = config_from_insightface_vit(state)
        module = ViTEmbedder(config)
        load_state(module, convert_insightface_vit(state), str(path))
        return _of_module(path.name, module, _HALF, _HALF, config.size, threads)
    if any("embeddings.patch_embedding" in key for key in state):
        return _of_module(path.name, *_clip_tower(path, state), threads)
    raise MissingError(
        f"{path}: neither InsightFace's ViT nor CLIP's image tower", hint="give one of the published files"
    )


def _clip_tower(path: Path, state: Mapping[str, Tensor]) -> tuple[nn.Module, Sequence[float], Sequence[float], int]:
    """CLIP's image tower with its projection where the file has it, mean and std of its input, and its side."""
    import torch

    from vitapps.shared_backbones.convert.hf_clip_vision import MEAN, STD, config_from_hf_clip, convert_hf_clip_vision
    from vitapps.shared_backbones.models.vit import ViT
    from vitapps.shared_backbones.weights.load import load_state

    beside = path.with_name("config.json")
    try:
        words = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingError(f"{beside}: not readable: {error}", hint="it belongs beside CLIP's weights") from None
    projection = state.get("visual_projection.weight")  # P C
    config = replace(config_from_hf_clip(words), pool="cls", num_classes=0 if projection is None else len(projection))
    found = convert_hf_clip_vision(state)
    if projection is not None:
        found |= {"head.weight": projection, "head.bias": torch.zeros(len(projection))}
    module = ViT(config)
    load_state(module, found, str(path))
    return module, MEAN, STD, config.image_size[0]


def _read_state(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name, of a file or of the `state_dict` in it; never by unpickling objects."""
    from vitapps.shared_backbones.weights.load import read_state

    if path.suffix == ".safetensors":
        return read_state(path)
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        found = found.get("state_dict", found)
        return {str(key).removeprefix("module."): value for key, value in found.items()}
    except Exception as error:  # pickle, zip and torch have errors of their own
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise MissingError(f"{path}: not a readable checkpoint: {reason}", hint="restore the file") from None


def _of_module(
    name: str, module: nn.Module, mean: Sequence[float], std: Sequence[float], side: int, threads: int
) -> PublishedEmbedder:  # fmt: skip
    import torch

    module = module.eval()
    digest = hashlib.sha256()
    for key, value in module.state_dict().items():
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())

    def run(images: Rows) -> Rows:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            found = module(torch.from_numpy(images))
        if found.ndim == 3:  # the model itself pools nothing
            found = found.mean(dim=1)  # B N C -> B C
        return np.asarray(found.numpy(), np.float32)

    facts = NetworkFacts(
        name=name, sha256=digest.hexdigest(), engine="torch", precision="exact", device="cpu", threads=threads,
        reason="a published checkpoint",
    )  # fmt: skip
    return _embedder(run, facts, mean, std, side)


def _embedder(
    run: Callable[[Rows], Rows], facts: NetworkFacts, mean: Sequence[float], std: Sequence[float], side: int
) -> PublishedEmbedder:  # fmt: skip
    width = run(np.zeros((1, 3, side, side), np.float32)).shape[1]
    return PublishedEmbedder(
        axes={}, slope=float("nan"), offset=float("nan"), points=(), facts=facts, crop_size=side, run=run,
        mean=tuple(mean), std=tuple(std), width=width,
    )  # fmt: skip
