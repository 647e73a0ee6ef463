"""Whether anything in a picture is edited: one score for the whole of it.

The highest part of a map says nothing of that: every photograph has parts that compress unlike the rest. But in an
untouched one they are what they show: bright, dark, saturated and textured things. So each trace first loses what a
regression on the picture's own colours and texture explains; the weighted sum of the rest is averaged over squares, and
the mean of its highest share is the picture's inconsistency. Copies count by the keypoints that agree on one.

    logit = inconsistency_weight * inconsistency + copy_weight * log(1 + inliers) + bias

Both weights and the bias come from generated edits, each beside the same picture without an edit
(`localize_calibrate.py`). Below `none_below` lie few of the edited, from `edited_from` few of the untouched; between
them a picture is called neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Verdict = Literal["traces of editing", "no trace found", "unsure"]
WINDOW = 25  # cells a side of the squares: 100 pixels
TOP = 0.05  # share of the cells that counts
_CLIPPED = (0.04, 0.96)  # black and white: nothing to compress


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureCurve:
    """The logistic curve of the module's formula, and the scores 0..1 at which a verdict begins."""

    inconsistency_weight: float = 0.652
    copy_weight: float = 0.649
    bias: float = -1.444
    edited_from: float = 0.508561
    none_below: float = 0.350733

    def score(self, found: float, inliers: int) -> float:
        """0..1, 1 is edited."""
        logit = self.inconsistency_weight * found + self.copy_weight * np.log1p(inliers) + self.bias
        return float(1 / (1 + np.exp(-np.clip(logit, -60, 60))))

    def verdict(self, score: float) -> Verdict:
        """By the two thresholds."""
        if score >= self.edited_from:
            return "traces of editing"
        return "no trace found" if score < self.none_below else "unsure"


def inconsistency(parts: Mapping[str, Map], weights: Mapping[str, float], guide: Map) -> float:
    """What the picture `guide` h w 3 (0..1) does not explain of its traces h w, in deviations of the traces; the
    weighted ones count."""
    content = _content(guide)  # cells K
    total = np.zeros((guide.shape[0], guide.shape[1]))
    for name, weight in weights.items():
        values = parts[name].ravel().astype(np.float64)
        solved = np.linalg.lstsq(content, values, rcond=None)[0]
        total += weight * (values - content @ solved).reshape(total.shape)
    height, width = total.shape
    side = min(WINDOW, height, width)
    flat = np.sort(cv2.blur(total, (side, side)), axis=None)
    return float(flat[-max(1, round(TOP * flat.size)) :].mean())


def _content(guide: Map) -> NDArray[np.float64]:
    """Brightness, saturation, texture and clipping of every cell, as terms of the regression: cells K."""
    light = guide.mean(axis=2)
    colour = guide.max(axis=2) - guide.min(axis=2)
    texture = cv2.blur(np.abs(cv2.Laplacian(light, cv2.CV_32F)), (5, 5))
    dark, bright = light < _CLIPPED[0], light > _CLIPPED[1]
    terms = (np.ones_like(light), light, light**2, colour, texture, np.sqrt(texture), bright, dark)
    return np.stack([term.ravel() for term in terms], axis=1).astype(np.float64)
