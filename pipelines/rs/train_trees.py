"""`vitapps rs train trees`: the tree-crown detector from the NEON tiles, from scratch, reproducible from a seed.

With `leave_out` one site is never seen, neither by the weights nor by the choice of the score threshold; three such
runs and `vitapps rs eval --loso` give the figures of the card.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitapps.datasets.sets.naip_trees import read_naip
from vitapps.datasets.sets.neon_trees import Tile, hold_out, leave_out, read_tiles, sites_of
from vitapps.datasets.synth.canopy import make_tile
from vitapps.errors import UsageError
from vitapps.pipelines.rs.matching import best_threshold
from vitapps.pipelines.rs.spec import DetectorSpec, spec_of
from vitapps.pipelines.rs.tile_boxes import boxes_of_tile
from vitapps.pipelines.rs.trees_data import TreeWindows, WindowConfig
from vitapps.pipelines.runtime.fit import Batch, FitConfig, fit
from vitapps.pipelines.runtime.hardware import start_training, training_hardware
from vitapps.pipelines.runtime.numbered_batches import SEED_STRIDE, numbered_batches
from vitapps.pipelines.windows.box_counts import FoundBoxes
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.heads.detect_loss import detection_loss
from vitapps.shared_backbones.models.plain_detector import (
    STRIDE,
    PlainDetector,
    PlainDetectorConfig,
    window_example,
)

NAME = "trees-neon"
TASK = "rs.detect"
NMS_IOU = 0.4
SYNTHETIC_TILES = 240
MIXED_TILES = 80
SYNTHETIC_RATE = 1.5e-3
RENDERED_SHARE = 0.25  # of the windows of the stage on real tiles, so that what the first taught is kept
POINTS_SHARE = 0.25  # of the windows, for trees that are marked by points
CONFIRM = 1.0
SCALES = (1.0, 0.8, 1.25)  # of a thorough search; the first is that of the preview
OVERLAP = 0.3125  # 80 of 256 pixels: a crown of up to 8 m lies whole in some window


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeFit:
    """`batch` windows a step, `rate` the highest learning rate on real tiles; `synthetic_steps` on rendered
    canopies come before it (0: none); `also`: a folder of NAIP pictures with trees marked by points; `threads` of a
    CPU: one seed gives one result for one number of them."""

    steps: int = 2000
    synthetic_steps: int = 2400
    batch: int = 4
    rate: float = 1e-3
    seed: int = 0
    threads: int = 1
    also: Path | None = None


def train(
    data: Path,
    out: Path,
    *,
    site_left_out: str | None = None,
    config: TreeFit | None = None,
    start: Path | None = None,
    device: str = "cpu",
    resume: bool = False,
    progress: Progress = null_progress,
) -> Path:
    """Train on the tiles of `data`, and on the NAIP pictures of `config.also`, where boxes are grown from points.

    Card, weights and graph are written to `out`; the card's path is returned.

    The stage on rendered canopies is kept as `out/synthetic.pt`; `start` is such a file of an earlier run, which saves
    that stage. Raises UsageError for fewer than one step or an unknown site, UnreadableInputError for a folder without
    tiles.
    """
    config = config or TreeFit()
    if config.steps < 1 or config.batch < 1 or config.synthetic_steps < 0:
        raise UsageError(f"steps is {config.steps}, batch is {config.batch}; both start at 1", hint="raise them")
    tiles = read_tiles(data)
    if site_left_out is not None:
        tiles = leave_out(tiles, site_left_out)[0]
    shown, held = hold_out(tiles)
    out.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    if start is None and config.synthetic_steps:
        start = out / "synthetic.pt"
        first = replace(config, steps=config.synthetic_steps, rate=SYNTHETIC_RATE)
        pretend = synthetic_tiles(min(SYNTHETIC_TILES, config.synthetic_steps * config.batch), config.seed)
        fit_detector(pretend, start, first, device=device, resume=resume, progress=progress)
    average = fit_detector(
        shown, out / "checkpoint.pt", config, start=start, mixed=_mixed(config), device=device,
        resume=resume, progress=progress,
    )  # fmt: skip
    thresholds = choose_thresholds(average.cpu(), held or shown)
    options = " --also DIR" * (config.also is not None) + (f" --leave-out {site_left_out}" if site_left_out else "")
    facts = {
        "data": f"{len(shown)} NEON tiles of {', '.join(sites_of(tiles))}, after rendered canopies (datasets/synth)"
        + ", with NAIP pictures of urban trees (points grown to boxes)" * (config.also is not None),
        "command": f"vitapps rs train trees --data DIR --out DIR --steps {config.steps} --batch {config.batch}"
        f" --synthetic-steps {config.synthetic_steps} --seed {config.seed}{options}",
        "hardware": training_hardware(device, config.threads, bf16=False),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": f"thresholds chosen on {', '.join(tile.name for tile in held) or 'the training tiles'},"
        " which no step saw" * bool(held),
    }
    return export(average, PlainDetectorConfig(), thresholds, facts, out)


def fit_detector(
    tiles: Sequence[Tile], checkpoint: Path, config: TreeFit, *, start: Path | None = None,
    mixed: Sequence[tuple[Sequence[Tile], float]] = (), device: str = "cpu", resume: bool = False,
    progress: Progress = null_progress,
) -> PlainDetector:  # fmt: skip
    """The EMA weights after `config.steps` steps on random windows of `tiles`; `start`: a checkpoint to begin from;
    `mixed`: lists of other tiles and the share of the windows that they get."""
    start_training(config.seed, device, config.threads)
    windows = TreeWindows(tiles, WindowConfig(stride=STRIDE), mixed)
    module = PlainDetector(PlainDetectorConfig()).to(device)
    if start is not None:
        module.load_state_dict(torch.load(start, map_location="cpu", weights_only=True)["average"])

    batches = numbered_batches(windows.sample, steps=config.steps, batch=config.batch, seed=config.seed)
    schedule = FitConfig(
        steps=config.steps,
        rate=config.rate,
        warmup=min(50, config.steps),
        cooldown=0.4,
        ema=0.99,
        checkpoint_every=60,
        bf16=False,
    )
    average = fit(module, batches, _loss, schedule, checkpoint=checkpoint, resume=resume, progress=progress)
    assert isinstance(average, PlainDetector)
    return average


def _mixed(config: TreeFit) -> list[tuple[Sequence[Tile], float]]:
    """What goes with the real tiles: rendered ones, if a stage on them came before, and those of `also`."""
    number = min(MIXED_TILES, config.synthetic_steps * config.batch)
    mixed: list[tuple[Sequence[Tile], float]] = []
    if number:
        mixed.append((synthetic_tiles(number, config.seed), RENDERED_SHARE))
    if config.also is not None:
        mixed.append((read_naip(config.also), POINTS_SHARE))
    return mixed


def synthetic_tiles(number: int, seed: int) -> list[Tile]:
    """Rendered canopies as tiles, with the biome in the place of the site."""
    drawn = [make_tile(seed * SEED_STRIDE + place) for place in range(number)]
    return [
        Tile(name=f"synth_{place}", site=tile.biome, image=tile.image, boxes=tile.boxes, gsd=0.1)
        for place, tile in enumerate(drawn)
    ]


def _loss(module: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(module, PlainDetector)
    image, heat, target = batch
    logits, boxes = module.forward_logits(image)
    return detection_loss(logits, boxes, heat, target)


def choose_thresholds(module: PlainDetector, tiles: Sequence[Tile]) -> dict[str, float]:
    """The score thresholds of best F1 on `tiles`: `threshold` at one scale, `thorough` at all."""
    module.eval()
    spec = spec_of(NAME, preprocess_of(module.config), [{"name": "tree"}])

    def predict(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        with torch.inference_mode():
            return tuple(part.numpy() for part in module(torch.from_numpy(windows)))

    def best(spec: DetectorSpec) -> float:
        found = []
        for tile in tiles:
            boxes, scores = boxes_of_tile(predict, tile.image, spec, 0.05)
            found.append(FoundBoxes(boxes=boxes, scores=scores, drawn=tile.boxes.astype(np.float64)))
        return best_threshold(found)

    return {"threshold": best(spec), "thorough": best(spec.thorough())}


def preprocess_of(config: PlainDetectorConfig) -> dict[str, Any]:
    """The card's word on how windows are cut, confirmed and merged."""
    return {
        "gsd": 0.1, "window": list(config.window), "overlap": OVERLAP, "nms_iou": NMS_IOU, "confirm": CONFIRM,
        "scales": list(SCALES),
    }  # fmt: skip


def export(
    module: nn.Module, config: PlainDetectorConfig, thresholds: dict[str, float], facts: dict[str, Any], out: Path
) -> Path:
    """Write `trees-neon.safetensors` (fp16), `trees-neon.onnx` and the card `trees-neon.toml` to `out`."""
    from vitapps.shared_backbones.weights.publish import publish

    card: dict[str, Any] = {
        "name": NAME,
        "task": TASK,
        "arch": "plain_detector",
        "config": asdict(config),
        "summary": "tree crowns in airborne RGB of about 0.1 m a pixel",
        "licence": "Apache-2.0 (weights); trained on NEON AOP imagery (free use, cite NEON) and DeepForest boxes (MIT)",
        "status": "core",
        "preprocess": preprocess_of(config),
        "labels": [{"value": 0, "name": "tree", **thresholds}],
        "training": facts,
        "tolerance": {"bf16": False},
        "limits": [
            "three North American sites; expect missed crowns in other forest types, seasons and sun angles",
            "closed canopy without visible gaps is split and merged arbitrarily, as human labels do",
            "crowns wider than 8 m may be cut at a window's edge",
        ],
    }
    return publish(module, card, out, example=window_example(config), output_names=["scores", "boxes"])
