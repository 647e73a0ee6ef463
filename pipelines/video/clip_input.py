"""From frames to the input of a video network: colours in tubelets, or motion descriptors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.pipelines.video.clip_sampling import ClipRule
from vitapps.pipelines.video.motion_descriptor import describe, small_grey

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
_SIZE = 224
_COLOURS = (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225)))  # of ImageNet


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipInput:
    """What a network wants to see. `kind` rgb: `size` pixels of the square crop, `mean` and `std` of RGB in 0..1;
    motion: rows of `motion_descriptor`, in which nothing is cropped."""

    kind: Literal["rgb", "motion"]
    rule: ClipRule
    size: int = _SIZE
    mean: tuple[float, ...] = _COLOURS[0][1]
    std: tuple[float, ...] = _COLOURS[1][1]

    @classmethod
    def of(cls, card: str, preprocess: Mapping[str, Any]) -> ClipInput:
        """From the `preprocess` table of a card; MissingError where it is not one of a clip network."""
        try:
            rule = ClipRule(frames=int(preprocess["frames"]), stride=int(preprocess["stride"]))
            kind = preprocess["kind"]
            if kind not in ("rgb", "motion"):
                raise KeyError(kind)
            size = int(preprocess.get("size", _SIZE))
            mean, std = (tuple(map(float, preprocess.get(key, usual))) for key, usual in _COLOURS)
        except (KeyError, TypeError, ValueError) as error:
            raise MissingError(f"weights '{card}' take no clips: {error}", hint="vitapps models list") from None
        return cls(kind=kind, rule=rule, size=size, mean=mean, std=std)

    def shrink(self, pixels: Pixels) -> Pixels:
        """What is kept of a frame H W 3: its shorter side at `size`, or small and grey."""
        if self.kind == "motion":
            return small_grey(pixels)
        height, width = pixels.shape[:2]
        scale = self.size / min(height, width)
        target = max(self.size, round(width * scale)), max(self.size, round(height * scale))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(pixels, target, interpolation=way), np.uint8)

    def views(self, frames: Sequence[Pixels], crops: int) -> Floats:
        """Inputs of one window: V C T H W for `crops` squares along the longer side, or 1 C T of motion."""
        if self.kind == "motion":
            return np.ascontiguousarray(describe(frames).T[None])  # T C -> 1 C T
        stack = np.stack(frames)  # T H W 3
        room = stack.shape[1] - self.size, stack.shape[2] - self.size
        shares = [0.5] if crops == 1 else np.linspace(0, 1, crops).tolist()
        corners = [(round(share * room[0]), round(share * room[1])) for share in shares]
        parts = [stack[:, y : y + self.size, x : x + self.size] for y, x in corners]
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        scaled = (np.stack(parts) / np.float32(255) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 4, 1, 2, 3), np.float32)  # V T H W 3 -> V 3 T H W
