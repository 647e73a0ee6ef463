"""`vitapps bench many`: small scans through one streaming run, beside one process a scan, caches warm."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitapps.pipelines.runtime.devices import cpu_name
from vitapps.pipelines.runtime.measure import cache_at, command_in_child
from vitapps.progress import Progress, null_progress

SIDE, WINDOW = 48, (32, 32, 32)  # voxels of 2 mm


@dataclass(frozen=True, kw_only=True, slots=True)
class ManyBench:
    """Seconds for all files: CPU time of every process together, and wall time, which other work on the machine
    lengthens. Peak memory of a run over half of the files and over all of them: flat when they agree."""

    cpu: str
    files: int
    apart_cpu_s: float
    apart_wall_s: float
    streamed_cpu_s: float
    streamed_wall_s: float
    cpu_ratio: float
    wall_ratio: float
    peak_half_mb: float
    peak_mb: float
    same_output: bool


def bench_many(
    *, quick: bool = False, files: int = 20, threads: int = 0, progress: Progress = null_progress
) -> ManyBench:
    """Segment `files` small scans (`quick`: 6) with a volume network of random weights, both ways."""
    number = 6 if quick else files
    with tempfile.TemporaryDirectory() as name, cache_at(Path(name) / "cache"):
        folder = Path(name)
        options = ["--weights", str(_card(folder)), "--device", "cpu", "--threads", str(threads), "--quiet"]
        scans = [_scan(folder / f"scan{index:02d}.nii.gz", index) for index in range(number)]

        def segment(some: list[str], into: str) -> Any:
            (folder / into).mkdir(exist_ok=True)
            return command_in_child(["medical", "segment", *some, "-o", str(folder / into), *options])

        segment(scans[:1], "warm")
        with progress.task("measuring", total=number + 2) as task:
            apart = []
            for scan in scans:
                apart.append(segment([scan], "apart"))
                task.advance()
            half, streamed = segment(scans[: number // 2], "half"), segment(scans, "all")
            task.advance(2)
        same = all(_same(folder / "apart" / item.name, item) for item in sorted((folder / "all").glob("*.nii.gz")))
    cpu, wall = sum(child.cpu_s for child in apart), sum(child.wall_s for child in apart)
    return ManyBench(
        cpu=cpu_name(), files=number, apart_cpu_s=cpu, apart_wall_s=wall, streamed_cpu_s=streamed.cpu_s,
        streamed_wall_s=streamed.wall_s, cpu_ratio=cpu / streamed.cpu_s, wall_ratio=wall / streamed.wall_s,
        peak_half_mb=half.peak / 1e6, peak_mb=streamed.peak / 1e6, same_output=same,
    )  # fmt: skip


def _card(folder: Path) -> Path:
    import torch

    from vitapps.shared_backbones.models.volume_segmenter import VolumeSegmenter, VolumeSegmenterConfig
    from vitapps.shared_backbones.weights.publish import publish

    torch.manual_seed(0)
    config = VolumeSegmenterConfig(num_classes=3, window=WINDOW, place=0, stem=(16, 32), dim=96, depth=2, heads=3)
    card: dict[str, Any] = {
        "name": "random-volume", "task": "medical.segment", "arch": "volume_segmenter", "config": asdict(config),
        "summary": "random weights", "licence": "CC0-1.0",
        "preprocess": {
            "orientation": "RAS", "spacing": [2.0] * 3, "window": list(WINDOW), "overlap": 0.5,
            "normalise": {"kind": "percentile", "low": 0.5, "high": 99.5},
        },
        "labels": [
            {"value": 0, "name": "background"}, {"value": 1, "name": "left part", "mirror": 2},
            {"value": 2, "name": "right part", "mirror": 1},
        ],
    }  # fmt: skip
    example = torch.zeros(1, 1, *WINDOW)
    return publish(VolumeSegmenter(config), card, folder, example=example, output_names=["logits"])


def _scan(path: Path, seed: int) -> str:
    import nibabel

    image = np.random.default_rng(seed).random((SIDE,) * 3, np.float32)
    nibabel.save(nibabel.Nifti1Image(image, np.diag([2.0, 2.0, 2.0, 1.0])), path)
    return str(path)


def _same(one: Path, other: Path) -> bool:
    """Labels agree but for voxels where two classes are level: a batch adds numbers up in another order."""
    import nibabel

    images: list[Any] = [nibabel.load(path) for path in (one, other)]
    first, second = (np.asarray(image.dataobj) for image in images)
    return first.shape == second.shape and float((first != second).mean()) < 1e-4
