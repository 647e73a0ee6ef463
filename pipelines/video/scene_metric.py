"""The F1 of a finder of faces on generated scenes: a metric that needs no data set (`vitapps bench reduce`,
`models quantize`). The faces are the bundled portraits', so it tells networks apart, not how good one is."""

from __future__ import annotations

from vitapps.datasets.samples import read_faces
from vitapps.datasets.synth.large_scene import LargeScene
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.own_metric import Judge, Metric
from vitapps.pipelines.video.detect import DetectSettings, load_detector
from vitapps.pipelines.video.two_pass import TwoPassDetector
from vitapps.pipelines.windows.boxes import match

SIZE = (540, 960)  # pixels H W of a scene
OBJECTS = 14
SIDES = (26.0, 70.0)  # pixels
HIT = 0.3  # IoU
SCENES = 6
_OTHER = 1000  # first seed of the scenes that calibrate


def scene_judge(weights: str, *, scenes: int = SCENES) -> Judge:
    """For a card of task face.detect."""
    return Judge(
        weights=weights, score=lambda options: scene_f1(weights, options, scenes=scenes),
        calibrate=lambda options: scene_f1(weights, options, scenes=scenes, first=_OTHER),
    )  # fmt: skip


def scene_f1(weights: str, options: RunOptions, *, scenes: int = SCENES, first: int = 0) -> Metric:
    """F1 at IoU 0.3 over all faces of the scenes with the seeds `first`, `first` + 1, ..."""
    detector = load_detector(weights, DetectSettings(smallest=SIDES[0]), options)
    hits = found = drawn = 0
    for seed in range(first, first + scenes):
        scene = LargeScene(cutouts=read_faces(), number=OBJECTS, size=SIZE, sides=SIDES, seed=seed)
        pixels, truth = scene.frame(0)
        one = TwoPassDetector(detector.predict, detector.config, everywhere=True).step(pixels)
        hits += int(match(one.boxes, one.scores, truth, HIT).sum())
        found, drawn = found + len(one.boxes), drawn + len(truth)
    return Metric(name=f"F1 at IoU {HIT}, {drawn} faces in generated scenes", value=2 * hits / max(1, found + drawn))
