"""The face that a command is to judge: from a picture or some frames of a clip, cut out with a margin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES, count_frames, read_picture
from vitapps.datasets.formats.video_read import open_clip
from vitapps.errors import MissingError, UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.face.align import align, template
from vitapps.pipelines.face.find_faces import LARGE, FaceFinder
from vitapps.pipelines.face.landmark_cascade import LandmarkCascade

FRAMES = 16  # of a clip, evenly spread
NO_FACE = "no face was found; a picture that is a face already takes --crop"
_USUAL_MARGIN = 1.2  # side of a data set's face crop over that of the aligned template
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceView:
    """`pixels` H W 3 uint8 of the face with its margin; `box` x0 y0 x1 y1 in the picture, None where the whole picture
    is the face; `landmarks` 5 2 in `pixels`, None where none were looked for or found, `closer` as `face-points`
    corrects them; `frame` and `time_s` in a clip, 0 for a picture; `faces` how many the finder saw, `missed` that it
    saw none in a picture that need not be a face."""

    pixels: NDArray[np.uint8]
    box: Box | None = None
    landmarks: NDArray[np.float64] | None = None
    closer: NDArray[np.float64] | None = None
    frame: int = 0
    time_s: float = 0.0
    faces: int = 0
    missed: bool = False

    def side(self) -> float:
        """The shorter side of the face in pixels."""
        x0, y0, x1, y1 = self.box or (0, 0, self.pixels.shape[1], self.pixels.shape[0])
        return float(min(x1 - x0, y1 - y0))

    def rounded_box(self) -> Box | None:
        """`box` to a tenth of a pixel, as results state it."""
        if self.box is None:
            return None
        x0, y0, x1, y1 = (round(value, 1) for value in self.box)
        return x0, y0, x1, y1

    def aligned(self, size: int) -> NDArray[np.uint8]:
        """The face on the template, size size 3; without landmarks they are taken to lie where most crops have them."""
        height, width = self.pixels.shape[:2]
        usual = (template(1) - 0.5) / _USUAL_MARGIN + 0.5
        return align(self.pixels, usual * (width, height) if self.landmarks is None else self.landmarks, size)

    def alignments(self, size: int) -> list[NDArray[np.uint8]]:
        """The face on the template by each of its landmarks, size size 3 each."""
        both = [self.aligned(size)]
        return both if self.closer is None else [*both, align(self.pixels, self.closer, size)]


class FaceReader:
    """Reads inputs for a command, the face finder loaded once."""

    def __init__(
        self, options: RunOptions, *, crop: bool, margin: float = 1.0, frames: int = FRAMES, marks: bool = False
    ) -> None:
        """`crop`: every picture is a face already. `margin` side of the cut-out over that of the box; `marks`: find
        landmarks in a crop as well."""
        self.margin, self.frames, self._crop = margin, frames, crop
        self._absent = ""  # why there is no finder
        self._cascade: LandmarkCascade | None = None
        self._finder = None if crop and not marks else self._load(options, marks)

    def views(self, path: Path) -> tuple[list[FaceView], list[str]]:
        """The largest face of a picture, or of up to `frames` frames of a clip, and what a user must know of it.

        Raises UnreadableInputError."""
        found = [self.view(pixels, frame, time_s) for frame, time_s, pixels in self._pictures(path)]
        notes = _later_frames(path)
        if self._crop or self._absent:
            return found, notes + ([self._absent] if self._absent else self._unmarked(found))
        seen = [view for view in found if not view.missed]
        notes += ["several faces: the largest is judged"] if any(view.faces > 1 for view in seen) else []
        if not seen:
            return found, [*notes, "the whole picture was scored"]
        if len(seen) < len(found):
            notes.append(f"no face in {len(found) - len(seen)} of {len(found)} frames: they are left out")
        return seen, notes

    def _pictures(self, path: Path) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        if _is_still(path):
            yield 0, 0.0, read_picture(path).pixels
            return
        with open_clip(path) as clip:
            count = clip.meta.frames or round(clip.meta.duration_s * clip.meta.rate)
            wanted = np.unique(np.linspace(0, max(0, count - 1), self.frames).round().astype(int)).tolist()
            read = 0
            for frame in clip.frames_at(wanted) if count else clip.frames():
                read += 1
                yield frame.index, frame.time_s, frame.pixels
                if read == self.frames:
                    break
        if not read:
            raise UnreadableInputError(f"{path}: holds no frame that can be read", hint="does a player show it?")

    def view(self, pixels: NDArray[np.uint8], frame: int = 0, time_s: float = 0.0) -> FaceView:
        """The largest face of a picture H W 3; all of it, without landmarks, where none is found."""
        faces = self._finder.find(pixels, LARGE) if self._finder is not None else ()
        if not faces:
            missed = self._finder is not None and not self._crop
            return FaceView(pixels=pixels, frame=frame, time_s=time_s, missed=missed)
        largest = max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))
        closer = None if self._cascade is None else self._cascade.refine(pixels, largest.landmarks)
        if self._crop:
            return FaceView(pixels=pixels, landmarks=largest.landmarks, closer=closer, frame=frame, time_s=time_s)
        x0, y0, x1, y1 = (float(value) for value in largest.box)
        cut, corner = cut_with_corner(pixels, (x0, y0, x1, y1), self.margin)
        return FaceView(
            pixels=cut, box=(x0, y0, x1, y1), landmarks=largest.landmarks - corner,
            closer=None if closer is None else closer - corner, frame=frame, time_s=time_s, faces=len(faces),
        )  # fmt: skip

    def _unmarked(self, found: list[FaceView]) -> list[str]:
        """What to say of crops in which the finder saw no face."""
        missed = self._finder is not None and any(view.landmarks is None for view in found)
        return ["no landmarks were found in the crop: the usual places are assumed"] if missed else []

    def _load(self, options: RunOptions, marks: bool) -> FaceFinder | None:
        try:
            finder = FaceFinder.load(None, options)
            self._cascade = finder.cascade if marks else None
            return replace(finder, cascade=None)  # which landmarks count is for the views to say
        except MissingError as error:
            self._absent = f"the face finder is missing ({error.message}): whole pictures are taken as faces"
            return None


def _is_still(path: Path) -> bool:
    """Read as one picture; a GIF is a clip."""
    return path.suffix.lower() in PICTURE_SUFFIXES and path.suffix.lower() != ".gif"


def _later_frames(path: Path) -> list[str]:
    """What to say of a picture file with several frames (WebP animations, TIFF pages)."""
    frames = count_frames(path) if _is_still(path) else 1
    return [f"the first of {frames} frames is judged"] if frames > 1 else []


def cut_out(pixels: NDArray[np.uint8], box: Box, margin: float = 1.0) -> NDArray[np.uint8]:
    """The part of H W 3 in a box grown about its centre to `margin` times its sides, borders repeated beyond."""
    return cut_with_corner(pixels, box, margin)[0]


def cut_with_corner(
    pixels: NDArray[np.uint8], box: Box, margin: float = 1.0, border: int = cv2.BORDER_REPLICATE
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """As `cut_out`, with another `border` of OpenCV's, and the place x y of the part's corner in the picture."""
    x0, y0, x1, y1 = box
    centre, half = ((x0 + x1) / 2, (y0 + y1) / 2), ((x1 - x0) * margin / 2, (y1 - y0) * margin / 2)
    left, top = round(centre[0] - half[0]), round(centre[1] - half[1])
    right, bottom = max(left + 1, round(centre[0] + half[0])), max(top + 1, round(centre[1] + half[1]))
    height, width = pixels.shape[:2]
    inner = pixels[max(0, top) : max(0, min(bottom, height)), max(0, left) : max(0, min(right, width))]
    if not inner.size:
        raise UnreadableInputError(f"box {box} lies outside of the picture", hint="check the boxes of the data")
    beyond = max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width)
    if max(beyond) >= min(inner.shape[:2]):  # a mirror image of more than there is
        border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.copyMakeBorder(inner, *beyond, border), np.uint8), (left, top)
