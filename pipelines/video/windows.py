"""A clip through a network, window by window, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.video_read import Frame
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.video.action_model import ActionModel
from vitapps.pipelines.video.clip_sampling import Windows

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a network says of one window: `start_s`, `end_s` seconds of its first and last frame; `logits` K and
    `embedding` D are means over the window's crops."""

    start_s: float
    end_s: float
    logits: Floats
    embedding: Floats


def look(
    frames: Iterable[Frame], model: ActionModel, *, name: str, hop: int | None = None, crops: int = 1
) -> Iterator[Seen]:
    """Every window of a clip in order (`clip_sampling`). UnreadableInputError where there is no frame."""
    rule = model.input.rule if hop is None else replace(model.input.rule, hop=hop)
    kept = ((frame.time_s, model.input.shrink(frame.pixels)) for frame in frames)
    seen = False
    for start_s, end_s, pictures in _timed(kept, Windows(rule)):
        logits, embedding = model.predict(model.input.views(pictures, crops))
        seen = True
        yield Seen(start_s=start_s, end_s=end_s, logits=logits.mean(axis=0), embedding=embedding.mean(axis=0))
    if not seen:
        raise UnreadableInputError(f"{name}: no frame in the part asked for", hint="check --start and --end")


def _timed(
    kept: Iterable[tuple[float, NDArray[np.uint8]]], windows: Windows[tuple[float, NDArray[np.uint8]]]
) -> Iterator[tuple[float, float, list[NDArray[np.uint8]]]]:
    for _, _, items in windows.over(kept):
        yield items[0][0], items[-1][0], [pixels for _, pixels in items]
