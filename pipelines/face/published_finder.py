"""Published face detectors as engine of every face command: YuNet and SCRFD files, read through OpenVINO.

The picture is looked at twice, in the whole input and in the `FAR` part of it: a face that fills its picture is larger
than what these detectors were trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.face.faces import Floats, Pixels
from vitapps.pipelines.face.find_faces import Candidates, FaceFinder, FinderSpec, FindSettings, joined
from vitapps.pipelines.face.published_layouts import Layout, layout_of
from vitapps.pipelines.face.pyramid import finest_scale
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.provenance import sha256_file
from vitapps.shared_backbones.engines.graph import graph_input
from vitapps.shared_backbones.engines.machine import usable_cores
from vitapps.shared_backbones.engines.openvino import compile_graph

FAR = 0.4
SMALLEST = 12.0  # pixels of a face that both detectors see
USUAL, LARGEST = 640, 2048  # pixels of the longer side of an input whose size is free
MULTIPLE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedFinder(FaceFinder):
    """`names` of the outputs; `height`, `width` of the input, 0 where the graph takes any."""

    layout: Layout
    names: tuple[str, ...]
    height: int
    width: int

    def _search(self, pixels: Pixels, settings: FindSettings) -> Candidates:
        floor = self.spec.threshold if settings.min_score is None else settings.min_score
        whole = self._scale(pixels, settings.min_face)
        found = joined(self._look(pixels, share * whole, whole, floor) for share in (1.0, FAR))
        return self._best(found, settings, settings.min_face or 0.0)

    def _scale(self, pixels: Pixels, min_face: float | None) -> float:
        """From the picture to the input."""
        height, width = pixels.shape[:2]
        if self.height and self.width:
            return float(min(self.height / height, self.width / width))
        usual = USUAL / max(height, width)
        finest = usual if min_face is None else finest_scale(width, height, SMALLEST, min_face)
        return float(min(max(usual, finest), LARGEST / max(height, width)))

    def _look(self, pixels: Pixels, scale: float, whole: float, floor: float) -> Candidates:
        """Candidates of the picture at `scale` in the upper left corner of an input that holds it at `whole`."""
        size = [max(1, round(side * scale)) for side in pixels.shape[:2]]
        room = [max(1, round(side * whole)) for side in pixels.shape[:2]]
        height, width = (fixed or -(-side // MULTIPLE) * MULTIPLE for fixed, side in
                         zip((self.height, self.width), room, strict=True))  # fmt: skip
        size = [min(size[0], height), min(size[1], width)]
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas = np.zeros((height, width, 3), np.float32)
        small = cast(Pixels, cv2.resize(pixels, (size[1], size[0]), interpolation=way))
        canvas[: size[0], : size[1]] = (small - np.float32(self.layout.mean)) / np.float32(self.layout.deviation)
        image = canvas[..., ::-1] if self.layout.swapped else canvas
        found = self.predict(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))  # H W 3 -> 1 3 H W
        outputs = dict(zip(self.names, found, strict=True))
        boxes, points, scores = self.layout.decode(outputs, height, width)
        ratio: Floats = np.array([pixels.shape[1] / size[1], pixels.shape[0] / size[0]])
        kept = scores >= floor
        return (boxes[kept].reshape(-1, 2, 2) * ratio).reshape(-1, 4), points[kept] * ratio, scores[kept]


def load_published_finder(path: Path, options: RunOptions) -> PublishedFinder:
    """Read a published `.onnx`; MissingError for a file that is absent, unreadable or of another layout."""
    if not path.is_file():
        raise MissingError(f"{path}: no such weights file", hint="check the path")
    shape = graph_input(path)
    if len(shape) != 4 or shape[1] not in (0, 3):
        raise MissingError(f"{path}: takes {shape}, not pictures 1 3 H W", hint="give yunet.onnx or an SCRFD file")
    threads = options.threads or usable_cores()
    sha256 = sha256_file(path)
    model = compile_graph(path, card_name=path.stem, precision="exact", threads=threads, sha256=sha256)
    layout = layout_of(model.output_names)
    spec = FinderSpec(
        window=0, overlap=0.0, smallest=SMALLEST, nms_iou=layout.nms_iou, threshold=layout.threshold
    )  # fmt: skip
    facts = NetworkFacts(
        name=path.name, sha256=sha256, engine=model.engine, precision=model.precision, device=model.device,
        threads=threads, reason=f"a published {layout.kind} graph",
    )  # fmt: skip
    return PublishedFinder(
        spec=spec, predict=model, facts=facts, layout=layout, names=model.output_names, height=shape[2], width=shape[3]
    )
