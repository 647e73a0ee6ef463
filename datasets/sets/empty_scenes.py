"""Pictures in which nobody stands, from clips of cameras that do not move and from clips without people.

Of the surveillance clips (`fight_surv`) the median over time is taken, and only of the cameras that were looked at by
eye and found empty then; of the others somebody stays in the median, and would be learnt as no person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.formats.video_read import open_clip
from vitapps.errors import UnreadableInputError

Pixels = NDArray[np.uint8]
# each line is one camera: the median of all its clips is empty
SHOWN = (
    ("nofi004",), ("nofi020",), ("nofi029",), ("nofi031",), ("nofi032",), ("nofi042",), ("nofi027", "fi107"),
    ("fi026", "fi027", "fi028", "fi029", "fi030", "nofi057", "nofi058", "nofi059", "nofi060"),
)  # fmt: skip
WITHOUT_PEOPLE = ("davis16/JPEGImages/480p/car-shadow", "davis16/JPEGImages/480p/libby")
_FIRST = 32  # frames of them: somebody rides into the picture later
CARTOON = "codecs/big_buck_bunny.mp4"
_FRAMES = 12  # of a clip, for its median
_BORDER = 0.09  # of the height: names and times that recorders write


def read_empty_scenes(data: Path) -> list[Pixels]:
    """The pictures H W 3 of the folder `data` of video data. Raises UnreadableInputError where none of the clips is
    there."""
    clips = {path.stem: path for path in sorted((data / "action" / "fight_surv").glob("*/*.mp4"))}
    cameras = [[clips[name] for name in names if name in clips] for names in SHOWN]
    found = [_median(paths) for paths in cameras if paths]
    for folder in WITHOUT_PEOPLE:
        found += [read_picture(path).pixels for path in sorted((data / folder).glob("*.jpg"))[:_FIRST:8]]
    if (data / CARTOON).exists():
        with open_clip(data / CARTOON) as clip:
            found += [frame.pixels for frame in clip.frames(stride=16)]
    if not found:
        raise UnreadableInputError(f"{data}: no clips to learn from", hint="action/fight_surv, davis16, codecs")
    return found


def _median(paths: list[Path]) -> Pixels:
    frames: list[Pixels] = []
    for path in paths:
        with open_clip(path) as clip:
            total = max(1, clip.meta.frames)
            frames += [frame.pixels for frame in clip.frames(stride=max(1, total // _FRAMES))]
    same = [frame for frame in frames if frame.shape == frames[0].shape]
    picture = np.median(same, axis=0).astype(np.uint8)
    border = round(_BORDER * len(picture))
    return np.ascontiguousarray(picture[border : len(picture) - border])
