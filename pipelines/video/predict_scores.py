"""How near predicted frames are to those that came: MSE and MAE of Moving MNIST, SSIM, and the simple rules beside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.video.optical_flow import dense_flow, warp_back

Floats = NDArray[np.float32]
_WINDOW = 7  # pixels a side of an SSIM window
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictScore:
    """Of values in 0..1: `mse` and `mae` are sums over the pixels of a frame, means over frames, as in the published
    tables (OpenSTL, arXiv:2306.11249); `ssim` is the mean over frames."""

    mse: float
    mae: float
    ssim: float
    frames: int

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def score_frames(found: Floats, truth: Floats) -> PredictScore:
    """… H W against … H W, both clipped to 0..1."""
    found, truth = (np.clip(item, 0, 1).reshape(-1, *item.shape[-2:]) for item in (found, truth))
    gap = found - truth
    return PredictScore(
        mse=float(np.square(gap).sum(axis=(1, 2)).mean()),
        mae=float(np.abs(gap).sum(axis=(1, 2)).mean()),
        ssim=float(np.mean([ssim(a, b) for a, b in zip(found, truth, strict=True)])),
        frames=len(truth),
    )


def ssim(a: Floats, b: Floats) -> float:
    """Structural similarity of two pictures H W in 0..1 (Wang et al. 2004, eq. 13; windows of 7 x 7, all weighed alike,
    variances of samples, windows that stick out left away)."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    edge, count = _WINDOW // 2, _WINDOW**2

    def mean(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(cv2.blur(values, (_WINDOW, _WINDOW)), np.float64)[edge:-edge, edge:-edge]

    mean_a, mean_b = mean(x), mean(y)
    spread_a, spread_b, shared = (
        count / (count - 1) * (mean(first * second) - low * high)
        for first, second, low, high in ((x, x, mean_a, mean_a), (y, y, mean_b, mean_b), (x, y, mean_a, mean_b))
    )
    light = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * shared + _C2) / (spread_a + spread_b + _C2)
    return float((light * structure).mean())


def copy_last(seen: Floats, horizon: int) -> Floats:
    """The last frame of T H W again and again: horizon H W."""
    return np.repeat(seen[-1:], horizon, axis=0)


def mean_of_inputs(seen: Floats, horizon: int) -> Floats:
    """The mean of T H W: horizon H W."""
    return np.repeat(seen.mean(axis=0, keepdims=True), horizon, axis=0)


def advected(seen: Floats, horizon: int) -> Floats:
    """The last frame carried on by the optical flow of the last two: horizon H W."""
    before, last = ((255 * np.clip(item, 0, 1)).astype(np.uint8) for item in seen[-2:])
    flow = dense_flow(last, before)
    return np.stack([warp_back(seen[-1], (step + 1) * flow) for step in range(horizon)])


BASELINES: dict[str, Callable[[Floats, int], Floats]] = {
    "copy last frame": copy_last, "optical flow": advected, "mean of inputs": mean_of_inputs,
}  # fmt: skip
