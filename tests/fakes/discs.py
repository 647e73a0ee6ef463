"""Rasters of red discs on grey, and a detector that finds exactly those: what it must answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from scipy.ndimage import find_objects, label

from vitapps.options import RunOptions
from vitapps.pipelines.rs.detector import Detector
from vitapps.pipelines.rs.spec import DetectorSpec
from vitapps.provenance import sha256_file
from vitapps.shared_backbones.weights.cards import Card, write_card

NORTH_UP = from_origin(320000.0, 4096000.0, 0.1, 0.1)
UTM = "EPSG:32611"


def draw(size: tuple[int, int], discs: list[tuple[float, float, float]]) -> NDArray[np.uint8]:
    """RGB 3 H W with a disc for each (x, y, radius), pixel-corner origin."""
    image = np.full((3, *size), 90, np.uint8)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    for cx, cy, radius in discs:
        image[:, (x - cx) ** 2 + (y - cy) ** 2 < radius**2] = np.array([[250], [10], [10]], np.uint8)
    return image


def scattered(size: tuple[int, int], number: int, seed: int = 0) -> list[tuple[float, float, float]]:
    """Discs that do not touch, whole on the raster."""
    rng = np.random.default_rng(seed)
    discs: list[tuple[float, float, float]] = []
    for _ in range(number * 20):
        radius = rng.uniform(4, 12)
        x, y = rng.uniform(radius + 2, size[1] - radius - 2), rng.uniform(radius + 2, size[0] - radius - 2)
        if all(np.hypot(x - u, y - v) > radius + r + 4 for u, v, r in discs) and len(discs) < number:
            discs.append((x, y, radius))
    return discs


def boxes_of(discs: list[tuple[float, float, float]]) -> NDArray[np.float64]:
    """True boxes n 4, sorted by x0, y0."""
    boxes = np.array([(x - r, y - r, x + r, y + r) for x, y, r in discs]).reshape(-1, 4)
    return boxes[np.lexsort((boxes[:, 1], boxes[:, 0]))]


def predict(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Score and box maps of stride 1: one cell for each connected red region, in its middle."""
    count, _, deep, wide = windows.shape
    scores, boxes = np.zeros((count, 1, deep, wide), np.float32), np.zeros((count, 4, deep, wide), np.float32)
    for index, window in enumerate(windows):
        regions, _ = label(window[0] - window[1] > 0.4)
        for rows, columns in find_objects(regions):
            y, x = (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2
            y, x = min(y, deep - 1), min(x, wide - 1)
            scores[index, 0, y, x] = 0.9
            boxes[index, :, y, x] = columns.start, rows.start, columns.stop, rows.stop
    return scores, boxes


def detector(*, overwrite: bool = False, **changes: Any) -> Detector:
    """A detector of discs with windows of 64 pixels; `changes` replace fields of its specification."""
    spec: dict[str, Any] = {
        "gsd": 0.1, "window": 64, "overlap": 0.4375, "nms_iou": 0.4, "names": ("disc",), "thresholds": (0.5,)
    }  # fmt: skip
    return Detector(
        spec=DetectorSpec(**{**spec, **changes}), predict=predict, name="discs", sha256="0" * 64,
        options=RunOptions(overwrite=overwrite),
    )  # fmt: skip


def write(path: Path, image: NDArray[Any], **profile: Any) -> Path:
    """Write C H W as a GeoTIFF (UTM, 0.1 m, north-up unless `profile` says otherwise)."""
    content = {
        "driver": "GTiff", "count": image.shape[0], "height": image.shape[1], "width": image.shape[2],
        "dtype": image.dtype.name, "crs": UTM, "transform": NORTH_UP, **profile,
    }  # fmt: skip
    with rasterio.open(path, "w", **content) as sink:
        sink.write(image)
    return path


def write_graph_card(folder: Path) -> Path:
    """A card with a real ONNX graph, stride 4, that finds red discs of about 8 pixels radius in windows of 64."""
    from onnx import TensorProto, helper, numpy_helper, save

    def constant(name: str, value: NDArray[np.floating]) -> Any:
        return numpy_helper.from_array(np.asarray(value, np.float32), name)

    size, stride, reach = 64, 4, 9
    cells = size // stride
    mean = np.zeros((1, 3, 9, 9))
    mean[0, 0], mean[0, 1] = 1 / 81, -1 / 81  # red minus green, averaged
    y, x = np.mgrid[:cells, :cells] * stride
    around = np.stack([x - reach, y - reach, x + reach, y + reach])[None]
    nodes = [
        helper.make_node("Conv", ["image", "mean"], ["raw"], pads=[4, 4, 4, 4], strides=[stride, stride]),
        helper.make_node("Clip", ["raw", "low", "high"], ["scores"]),
        helper.make_node("Mul", ["scores", "nought"], ["blank"]),
        helper.make_node("Add", ["blank", "around"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "discs",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("batch", 3, size, size))],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", 1, cells, cells)),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ("batch", 4, cells, cells)),
        ],
        [
            constant("mean", mean), constant("low", np.zeros(())), constant("high", np.ones(())),
            constant("nought", np.zeros((1, 4, 1, 1))), constant("around", around),
        ],
    )  # fmt: skip
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "discs.onnx")
    (folder / "discs.safetensors").write_bytes(b"never read by a CPU run")
    files = {name: folder / f"discs.{name}" for name in ("onnx", "safetensors", "toml")}
    card = Card(
        name="discs", task="rs.detect", arch="plain_detector", config={}, summary="red discs", licence="CC0",
        weights_file="discs.safetensors", sha256=sha256_file(files["safetensors"]),
        size=files["safetensors"].stat().st_size,
        graph_file="discs.onnx", graph_sha256=sha256_file(files["onnx"]), graph_size=files["onnx"].stat().st_size,
        preprocess={"gsd": 0.1, "window": [size, size], "overlap": 0.4375, "nms_iou": 0.3, "peaks": True},
        labels=[{"value": 0, "name": "disc", "threshold": 0.6}], folder=folder,
    )  # fmt: skip
    write_card(card, files["toml"])
    return files["toml"]
