"""A card and a network for volume pipelines whose right answer is known: classes by brightness and by side."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.medical.volume_model import VolumeModel
from vitapps.provenance import sha256_file
from vitapps.shared_backbones.weights.cards import Card, write_card

BRIGHT = 0.5
ROWS = [
    {"value": 0, "name": "background"},
    {"value": 17, "name": "left hippocampus", "mirror": 53},
    {"value": 53, "name": "right hippocampus", "mirror": 17},
    {"value": 16, "name": "brain-stem"},
]


def card(**preprocess: Any) -> Card:
    """Of a model that wants RAS at 2 mm."""
    table = {
        "orientation": "RAS", "spacing": [2.0, 2.0, 2.0], "window": [24, 28, 20], "overlap": 0.5,
        "normalise": {"kind": "percentile", "low": 0.0, "high": 100.0}, "lr_flip": True,
    }  # fmt: skip
    return Card(
        name="fake", task="medical.segment", arch="volume_segmenter", config={}, summary="sides", licence="CC0",
        weights_file="fake.safetensors", sha256="0" * 64, size=1, labels=ROWS, preprocess=table | preprocess,
    )  # fmt: skip


class SideNetwork:
    """Bright voxels: the brightest are brain-stem, the others left or right by the half of the window they lie in.

    The window covers the whole scan, whose RAS x axis runs from left to right.
    """

    engine, precision, device, threads = "fake", "exact", "cpu", 1

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        (x,) = inputs  # B 1 D H W
        self.calls += 1
        left = (np.arange(x.shape[2]) < x.shape[2] / 2)[None, :, None, None]
        bright, brightest = x[:, 0] > BRIGHT, x[:, 0] > 0.9
        classes = np.where(brightest, 3, np.where(bright, np.where(left, 1, 2), 0))
        return ((classes[:, None] == np.arange(4)[None, :, None, None, None]).astype(np.float32) * 20,)


def model(**preprocess: Any) -> VolumeModel:
    """The fake network behind the real model class."""
    return VolumeModel(card(**preprocess), SideNetwork())


def loader(**preprocess: Any) -> Any:
    """Stands in for `VolumeModel.load`."""
    made: list[VolumeModel] = []

    def load(weights: str | None, options: RunOptions, *, once: bool = False) -> VolumeModel:
        made.append(model(**preprocess))
        return made[-1]

    load.made = made  # type: ignore[attr-defined]
    return load


def phantom(shape: tuple[int, int, int] = (24, 28, 20)) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A RAS scan at 2 mm and its right labels: a block across the midline, its back end brightest."""
    image = np.random.default_rng(3).uniform(0.05, 0.2, shape).astype(np.float32)
    labels = np.zeros(shape, np.int64)
    labels[4:12, 6:22, 5:15], labels[12:19, 6:22, 5:15] = 17, 53
    labels[10:14, 6:10, 5:15] = 16
    image[labels > 0] = 0.7
    image[labels == 16] = 1.0
    image[0, 0, 0] = 0.0
    return image, labels


def write_graph_card(folder: Path) -> Path:
    """A card with a real ONNX graph: left hippocampus above 0.3, brain-stem above 0.9."""
    from onnx import TensorProto, helper, save

    weight = helper.make_tensor("weight", TensorProto.FLOAT, (4, 1, 1, 1, 1), [0.0, 40.0, 0.0, 120.0])
    bias = helper.make_tensor("bias", TensorProto.FLOAT, (4,), [0.0, -12.0, -100.0, -84.0])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight", "bias"], ["logits"])],
        "fake",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("batch", 1, 24, 28, 20))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("batch", 4, 24, 28, 20))],
        [weight, bias],
    )
    model_proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    save(model_proto, folder / "fake.onnx")
    (folder / "fake.safetensors").write_bytes(b"never read by a CPU run")
    made = dataclasses.replace(
        card(), sha256=sha256_file(folder / "fake.safetensors"), size=(folder / "fake.safetensors").stat().st_size,
        graph_file="fake.onnx", graph_sha256=sha256_file(folder / "fake.onnx"),
        graph_size=(folder / "fake.onnx").stat().st_size,
    )  # fmt: skip
    write_card(made, folder / "fake.toml")
    return folder / "fake.toml"
