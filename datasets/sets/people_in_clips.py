"""People marked by eye in frames of the surveillance clips (`fight_surv`), apart by source.

`people_boxes.csv` has a line a box: clip, frame (counted from 0), `x,y,w,h` in pixels of the frame, kind and split.
`person`: what is seen of somebody who is seen for a good part. `ignore`: crowds, people of whom little shows, who lie
or are blurred beyond an outline, mirrors; neither a hit nor a fault. `none`: nobody in that frame. The split goes by
the recording: `train` to learn from, `checked` to choose a threshold on, `kept` for evaluation alone.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.video_read import open_clip
from vitapps.errors import UnreadableInputError

Split = Literal["train", "checked", "kept"]
Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedFrame:
    """`pixels` H W 3 of frame `number` of the clip at `path`; `boxes` n 4 and `ignored` m 4, x0 y0 x1 y1 in pixels."""

    path: Path
    number: int
    pixels: Pixels
    boxes: Floats
    ignored: Floats


def read_marked_frames(data: Path, split: Split) -> list[MarkedFrame]:
    """The frames of a split, of the clips that the folder `data` of video data has.

    Raises UnreadableInputError where it has none of them.
    """
    marks: dict[str, dict[int, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    text = (files("vitapps.datasets.sets") / "people_boxes.csv").read_text(encoding="utf-8")
    for line in csv.DictReader(text.splitlines()):
        if line["split"] == split:
            marks[line["clip"]][int(line["frame"])].append(line)
    paths = {path.stem: path for path in sorted((data / "action" / "fight_surv").glob("*/*.mp4"))}
    found = [frame for name in sorted(marks.keys() & paths.keys()) for frame in _frames(paths[name], marks[name])]
    if not found:
        raise UnreadableInputError(f"{data}: none of the clips that are marked", hint="action/fight_surv/*/*.mp4")
    return found


def _frames(path: Path, marks: dict[int, list[dict[str, str]]]) -> list[MarkedFrame]:
    with open_clip(path) as clip:
        shown = [frame for frame in clip.frames() if frame.index in marks]
    return [
        MarkedFrame(
            path=path, number=frame.index, pixels=frame.pixels, boxes=_boxes(marks[frame.index], "person"),
            ignored=_boxes(marks[frame.index], "ignore"),
        )
        for frame in shown
    ]  # fmt: skip


def _boxes(lines: Sequence[dict[str, str]], kind: str) -> Floats:
    found = [[float(line[key]) for key in "xywh"] for line in lines if line["kind"] == kind]
    boxes = np.array(found, np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
