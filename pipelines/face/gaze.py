"""`vitapps face gaze`: where the people of a picture look, by the published ViTGaze weights that a user brings.

No gaze data with a licence was found, so nothing was trained or measured here: what the map is worth is what the
weights are worth (status "paper").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.errors import MissingError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.faces import Pixels
from vitapps.pipelines.face.find_faces import LARGE, FaceFinder
from vitapps.pipelines.face.heat_map import overlay
from vitapps.pipelines.face.judged import check_judgement, write_judgement
from vitapps.pipelines.runtime.network_facts import NetworkFacts, new_record
from vitapps.progress import Progress, null_progress
from vitapps.provenance import sha256_file
from vitapps.require import require
from vitapps.shared_backbones.engines.machine import usable_cores

if TYPE_CHECKING:
    from vitapps.shared_backbones.heads.gaze import GazeFollower

HEAD = 1.5  # side of a head over that of the finder's box of its face
LIMITS = (
    "no gaze data was at hand: nothing was measured here, and the weights are somebody else's",
    "a place in the picture, not a direction; a person who looks at the camera or out of the picture has none",
    "never evidence of attention, intent or interest of a person",
)
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gaze:
    """`head` x0 y0 x1 y1 and `target` x y in pixels of the upright picture; `inside` 0..1 that the target lies in it;
    `map` h w, 0..1 of its highest value."""

    head: Box
    target: tuple[float, float]
    inside: float
    map: NDArray[np.float32]

    def to_json(self) -> dict[str, Any]:
        """Without the map."""
        return {"head": self.head, "target": self.target, "inside": round(self.inside, 4)}


@dataclass(frozen=True, kw_only=True, slots=True)
class GazeResult:
    """`people` in the order of the heads that were given, else of the found faces."""

    input: Path
    out: Path | None
    preview: Path | None
    people: list[Gaze]
    model: str
    limits: tuple[str, ...] = LIMITS

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"people": [person.to_json() for person in self.people]}


class GazeReader:
    """A checkpoint of ViTGaze, loaded once: `people(pixels, heads)` for one picture after another."""

    def __init__(self, weights: str | None, threads: int | None = None) -> None:
        """MissingError without weights, torch, or for a file that is not ViTGaze's."""
        if weights is None:
            raise MissingError(
                "face gaze has no weights of its own: no gaze data with a licence was found to train on",
                hint="give ViTGaze's published checkpoint (huggingface.co/yhsong/ViTGaze): --weights FILE.pth",
            )
        require("torch", extra="train")
        self._threads = threads or usable_cores()
        path = Path(weights)
        self.module = _load(path)
        self.facts = NetworkFacts(
            name=path.name, sha256=sha256_file(path), engine="torch", precision="exact", device="cpu",
            threads=self._threads, reason="a published checkpoint",
        )  # fmt: skip

    def people(self, pixels: Pixels, heads: Sequence[Box]) -> list[Gaze]:
        """The gaze of every head x0 y0 x1 y1 of RGB H W 3: the picture passes the ViT once."""
        import torch

        from vitapps.shared_backbones.convert.vitgaze import MEAN, STD

        torch.set_num_threads(self._threads)
        height, width = pixels.shape[:2]
        side = self.module.config.vit.image_size[0]
        small = np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), np.float32) / 255
        image = torch.from_numpy(
            ((small - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).transpose(2, 0, 1)[None].copy()
        )
        shares = torch.tensor(heads, dtype=torch.float32) / torch.tensor([width, height, width, height])
        with torch.inference_mode():
            scene = self.module.scene(image)
            found = [self.module.follow(scene, self.module.guidance(image, share[None])) for share in shares]
        return [
            _gaze(head, heat[0].numpy(), float(inside.sigmoid()), (height, width))
            for head, (heat, inside) in zip(heads, found, strict=True)
        ]


def follow_gazes(
    path: Path, out: Path | None = None, *, weights: str | None = None, heads: Sequence[Box] = (),
    preview: bool = False, options: RunOptions | None = None, progress: Progress = null_progress, command: str = "",
) -> GazeResult:  # fmt: skip
    """Where the people of a picture look: `heads` x0 y0 x1 y1 in its pixels, else around the faces that are found.

    Raises MissingError as `GazeReader` does, UsageError for a head outside of the picture."""
    options = options or RunOptions()
    drawn = check_judgement(path, out, options, preview=preview)
    reader = GazeReader(weights, options.threads)
    pixels = read_picture(path).pixels
    height, width = pixels.shape[:2]
    for head in heads:
        if not (0 <= head[0] < head[2] <= width and 0 <= head[1] < head[3] <= height):
            raise UsageError(f"head {head} of a picture of {width} x {height}", hint="give x,y,width,height in it")
    record = new_record([reader.facts], options=options, settings={"heads": heads}, command=command, inputs=[path])
    with progress.task("gaze", total=1) as task:
        with record.timed("faces"):
            boxes = list(heads) or _found_heads(pixels, options)
        with record.timed("gaze"):
            people = reader.people(pixels, boxes) if boxes else []
        task.advance()
    result = GazeResult(input=path, out=out, preview=drawn, people=people, model=reader.facts.name)
    if out is not None:
        picture = _drawn(pixels, people) if drawn else None
        write_judgement(out, result.to_json(), picture, record, overwrite=options.overwrite)
    return result


def head_box(text: str) -> Box:
    """x,y,width,height in pixels -> x0 y0 x1 y1; UsageError."""
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--head {text}: not x,y,width,height", hint="--head 120,40,64,80") from None
    return x, y, x + width, y + height


def _load(path: Path) -> GazeFollower:
    from vitapps.shared_backbones.convert.vitgaze import config_from_vitgaze, convert_vitgaze
    from vitapps.shared_backbones.heads.gaze import GazeFollower
    from vitapps.shared_backbones.weights.load import load_state, read_checkpoint

    state = read_checkpoint(path)
    module = GazeFollower(config_from_vitgaze(state))
    load_state(module, convert_vitgaze(state), str(path))
    return module.eval().requires_grad_(False)


def _found_heads(pixels: Pixels, options: RunOptions) -> list[Box]:
    """Around every face that is found, grown to the head and cut at the picture's edge."""
    height, width = pixels.shape[:2]
    found = []
    for face in FaceFinder.load(None, options).find(pixels, LARGE):
        x0, y0, x1, y1 = (float(value) for value in face.box)
        x, y, half_width, half_height = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) * HEAD / 2, (y1 - y0) * HEAD / 2
        left, top, right, bottom = x - half_width, y - half_height, x + half_width, y + half_height
        found.append((max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)))
    return found


def _gaze(head: Box, heat: NDArray[np.float32], inside: float, size: tuple[int, int]) -> Gaze:
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    x = (float(column) + 0.5) / heat.shape[1] * size[1]
    y = (float(row) + 0.5) / heat.shape[0] * size[0]
    spread = max(float(np.ptp(heat)), 1e-9)
    scaled = np.asarray((heat - heat.min()) / spread, np.float32)
    box = (round(head[0], 1), round(head[1], 1), round(head[2], 1), round(head[3], 1))
    return Gaze(head=box, target=(round(x, 1), round(y, 1)), inside=inside, map=scaled)


def _drawn(pixels: Pixels, people: Sequence[Gaze]) -> Pixels:
    """The highest map of all people over the picture, with heads and lines to what they look at."""
    heat = np.max([person.map * person.inside for person in people] or [np.zeros((2, 2))], axis=0)
    picture = np.ascontiguousarray(overlay(pixels, heat.astype(np.float32)))
    scale = picture.shape[1] / pixels.shape[1]
    for person in people:
        x0, y0, x1, y1 = (round(value * scale) for value in person.head)
        goal = (round(person.target[0] * scale), round(person.target[1] * scale))
        cv2.rectangle(picture, (x0, y0), (x1, y1), (64, 224, 96), 2)
        cv2.line(picture, ((x0 + x1) // 2, (y0 + y1) // 2), goal, (255, 64, 32), 2)
    return picture
