"""`vitapps bench video-4k`: the two passes of `video detect` beside plain tiling, where objects are few or many."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from vitapps.datasets.samples import read_faces
from vitapps.datasets.synth.large_scene import LargeScene
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.devices import cpu_name
from vitapps.pipelines.video.detect import Detector, DetectSettings, load_detector
from vitapps.pipelines.video.two_pass import FrameFound, TwoPassDetector
from vitapps.pipelines.windows.boxes import Floats, match
from vitapps.progress import Progress, Task, null_progress

DEFAULT_WEIGHTS = "face-finder"
SCENES = {"sparse": 6, "dense": 120}  # objects
WAYS = (("tiling", True, 1), ("two passes", False, 1), ("two passes, packed", False, 3))  # name, everywhere, together
_QUICK_AREA = 0.25  # of a 4K frame
_HIT = 0.3  # IoU: boxes of the finder follow another habit than those of the cut-outs
_SMALLEST = 36.0  # pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Row4K:
    """One way through one scene: windows a frame, share of tiling's, recall and precision at IoU 0.3, CPU milliseconds
    a frame and how many times fewer than tiling's. The first frame, which every way searches whole, does not count."""

    scene: str
    way: str
    windows: float
    work: float
    recall: float
    precision: float
    cpu_ms: float
    speedup: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench4K:
    """`rows` by scene and way, the first way of each being tiling."""

    cpu: str
    weights: str
    size: tuple[int, int]
    frames: int
    rows: list[Row4K]


def bench_video_4k(
    *, weights: str = DEFAULT_WEIGHTS, frames: int = 6, quick: bool = False, options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> Bench4K:  # fmt: skip
    """Search `frames` generated frames (3840 x 2160; `quick`: a quarter of that, 3 frames) of each scene in each way.

    The objects are faces of the bundled portraits, 36 to 80 pixels high, so `weights` is a finder of faces."""
    frames = min(frames, 3) if quick else frames
    size = (1080, 1920) if quick else (2160, 3840)
    settings = DetectSettings(smallest=_SMALLEST)
    detector = load_detector(weights, settings, options or RunOptions())
    rows = []
    with progress.task("searching", total=len(WAYS) * len(SCENES) * frames) as task:
        for name, number in SCENES.items():
            count = round(number * (_QUICK_AREA if quick else 1))
            scene = LargeScene(cutouts=read_faces(), number=max(2, count), size=size, sides=(_SMALLEST, 80.0))
            rows += _ways(f"{name}, {len(scene.objects)} objects", scene, detector, frames, task)
    return Bench4K(cpu=cpu_name(), weights=weights, size=size, frames=frames, rows=rows)


def _ways(name: str, scene: LargeScene, detector: Detector, frames: int, task: Task) -> list[Row4K]:
    rows: list[Row4K] = []
    for way, everywhere, together in WAYS:
        search = TwoPassDetector(detector.predict, detector.config, everywhere=everywhere)
        search.step(scene.frame(0)[0])
        found: list[tuple[FrameFound, Floats]] = []
        seconds = 0.0
        for first in range(1, frames + 1, together):
            group = [scene.frame(number) for number in range(first, min(first + together, frames + 1))]
            clock = time.process_time()
            answers = search.steps([pixels for pixels, _ in group])
            seconds += time.process_time() - clock
            found += zip(answers, (truth for _, truth in group), strict=True)
            task.advance(len(group))
        rows.append(_row(name, way, found, seconds, rows[0].cpu_ms if rows else None))
    return rows


def _row(scene: str, way: str, found: Sequence[tuple[FrameFound, Floats]], seconds: float, base: float | None) -> Row4K:
    hits = sum(int(match(one.boxes, one.scores, truth, _HIT).sum()) for one, truth in found)
    calls, tiles = sum(one.calls for one, _ in found), sum(one.tiles for one, _ in found)
    cpu_ms = 1000 * seconds / len(found)
    return Row4K(
        scene=scene, way=way, windows=calls / len(found), work=calls / tiles,
        recall=hits / max(1, sum(len(truth) for _, truth in found)),
        precision=hits / max(1, sum(len(one.boxes) for one, _ in found)),
        cpu_ms=cpu_ms, speedup=(base or cpu_ms) / cpu_ms,
    )  # fmt: skip
