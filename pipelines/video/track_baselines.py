"""What follows one object and needs no training: baselines of `vitapps video eval track`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.video.flow import follow
from vitapps.pipelines.video.track_filter_baselines import kcf, mosse
from vitapps.pipelines.video.window import crop

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
BoxStep = Callable[[Picture], Floats]
BoxMaker = Callable[[Picture, Floats], BoxStep]  # the first frame and the box x0 y0 x1 y1 in it


def baselines() -> dict[str, BoxMaker]:
    """By name; of OpenCV what the installed one has without further files."""
    found: dict[str, BoxMaker] = {
        "static": _static, "template": _template, "flow": _flow, "mosse": mosse, "kcf": kcf,
    }  # fmt: skip
    for name in ("CSRT", "KCF", "MIL"):
        creator = getattr(cv2, f"Tracker{name}_create", None)
        if creator is not None:
            found[f"cv2-{name}"] = _of_opencv(creator)
    return found


def _static(frame: Picture, box: Floats) -> BoxStep:
    """The box never moves."""
    return lambda picture: box


def _template(frame: Picture, box: Floats) -> BoxStep:
    """Normalised cross-correlation with the first look, at three sizes, within twice the box."""
    middle, size, extent = (box[:2] + box[2:]) / 2, box[2:] - box[:2], float(max(box[2:] - box[:2]))
    look = crop(frame, middle, extent, 48)
    state = {"middle": middle, "size": size}

    def step(picture: Picture) -> Floats:
        best: tuple[float, Any, float] = (-2.0, state["middle"], 1.0)
        for growth in (0.97, 1.0, 1.03):
            reach = float(max(state["size"])) * growth
            answer = cv2.matchTemplate(crop(picture, state["middle"], 2.5 * reach, 120), look, cv2.TM_CCOEFF_NORMED)
            _, value, _, place = cv2.minMaxLoc(answer)
            if value > best[0]:
                best = (value, state["middle"] + (np.array(place) - 36) * reach / 48, growth)
        state["middle"], state["size"] = best[1], state["size"] * best[2]
        return np.concatenate([state["middle"] - state["size"] / 2, state["middle"] + state["size"] / 2])

    return step


def _flow(frame: Picture, box: Floats) -> BoxStep:
    """Points followed by optical flow alone."""
    state: dict[str, Any] = {"grey": cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), "box": box}

    def step(picture: Picture) -> Floats:
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        state["box"], state["grey"] = follow(state["grey"], grey, state["box"]).box, grey
        return np.asarray(state["box"])

    return step


def _of_opencv(creator: Callable[[], Any]) -> BoxMaker:
    def make(frame: Picture, box: Floats) -> BoxStep:
        tracker = creator()
        tracker.init(frame[..., ::-1].copy(), tuple(round(float(v)) for v in (*box[:2], *(box[2:] - box[:2]))))
        last = {"box": box}

        def step(picture: Picture) -> Floats:
            seen, (x, y, w, h) = tracker.update(picture[..., ::-1].copy())
            if seen:
                last["box"] = np.array([x, y, x + w, y + h], np.float64)
            return last["box"]

        return step

    return make
