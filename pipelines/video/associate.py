"""Detections joined to tracks, frame by frame: motion, overlap, and appearance where there is any.

Three rounds a frame. Strong detections meet all tracks where the motion says they are; weak ones meet what is left of
the tracks seen lately (ByteTrack, Zhang et al. 2022, arXiv:2110.06864, algorithm 1); strong ones that are still free
meet the tracks where they were last seen (OC-SORT, Cao et al. 2023, arXiv:2203.14360, section 4.3). Boxes are
enlarged before they are compared (C-BIoU, Yang et al. 2023, arXiv:2211.14317), since at few frames a second a walker
leaves his own box. A track gets its number when it has been seen often enough, and then its first frames are written
as well: no row is ever without an owner, and no number is lost on a false alarm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vitapps.pipelines.video.box_motion import BoxMotion
from vitapps.pipelines.windows.boxes import box_iou

Floats = NDArray[np.float64]
_NEVER = 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class AssociateSettings:
    """`strong`, `weak`: detector scores 0..1 from which a detection counts in the first and in the second round;
    `begin`: from which it may begin a track. `overlap`: least IoU of enlarged boxes; `enlarge`: by this share of their
    sides. `confirm`: sightings until a track is real. `keep`: frames for which a lost track is waited for.
    `fill`: gaps up to this many frames get boxes between the sightings. `appearance`: weight of looks, 0..1."""

    strong: float = 0.5
    weak: float = 0.1
    begin: float = 0.6
    overlap: float = 0.2
    enlarge: float = 0.3
    confirm: int = 2
    keep: int = 15
    fill: int = 5
    appearance: float = 0.3


@dataclass(kw_only=True, slots=True)
class Track:
    """One object: `frames`, `boxes` (x0 y0 x1 y1) and `scores` of its sightings."""

    motion: BoxMotion
    id: int = 0
    frames: list[int] = field(default_factory=list)
    boxes: list[Floats] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    looks: Floats | None = None

    def see(self, frame: int, box: Floats, score: float, looks: Floats | None) -> None:
        if self.frames:
            self.motion.update(box, trust=score)
        self.frames.append(frame)
        self.boxes.append(box)
        self.scores.append(score)
        if looks is not None:
            self.looks = looks if self.looks is None else 0.9 * self.looks + 0.1 * looks


class Associator:
    """`step` once a frame, in order; `tracks` then holds those that are real."""

    def __init__(self, settings: AssociateSettings | None = None) -> None:
        self.settings = settings or AssociateSettings()
        self.tracks: list[Track] = []  # real ones, in order of their number
        self._live: list[Track] = []

    def step(self, frame: int, boxes: Floats, scores: Floats, looks: Floats | None = None) -> None:
        """Detections of frame number `frame`: boxes n 4 as x0 y0 x1 y1, scores n, looks n d of unit length."""
        settings = self.settings
        places = {id(track): track.motion.predict() for track in self._live}
        strong = np.flatnonzero(scores >= settings.strong)
        weak = np.flatnonzero((scores >= settings.weak) & (scores < settings.strong))
        tracks = list(self._live)
        pairs: list[tuple[Track, int]] = []
        for chosen, last_seen, lately in ((strong, False, False), (weak, False, True), (strong, True, False)):
            taken = {place for _, place in pairs}
            free = np.array([place for place in chosen.tolist() if place not in taken], np.int64)
            waiting = [track for track in tracks if not lately or frame - track.frames[-1] <= 1 + settings.keep // 10]
            where = [track.boxes[-1] if last_seen else places[id(track)] for track in waiting]
            found = self._match(waiting, where, free, boxes, None if lately else looks)
            pairs += found
            tracks = [track for track in tracks if track not in [owner for owner, _ in found]]
        for track, place in pairs:
            track.see(frame, boxes[place], float(scores[place]), looks[place] if looks is not None else None)
        taken = {place for _, place in pairs}
        for place in strong.tolist():
            if place not in taken and scores[place] >= settings.begin:
                track = Track(motion=BoxMotion(boxes[place]))
                track.see(frame, boxes[place], float(scores[place]), looks[place] if looks is not None else None)
                self._live.append(track)
        self._tidy(frame)

    def _match(
        self, tracks: list[Track], where: list[Floats], places: NDArray[np.int64], boxes: Floats, looks: Floats | None
    ) -> list[tuple[Track, int]]:
        """The assignment of most overlap, with looks as a second opinion."""
        if not tracks or not len(places):
            return []
        overlap = box_iou(self._enlarged(np.array(where)), self._enlarged(boxes[places]))  # tracks detections
        value = overlap.copy()
        if looks is not None and self.settings.appearance:
            for row, track in enumerate(tracks):
                if track.looks is not None:
                    value[row] += self.settings.appearance * (looks[places] @ track.looks - 1)
        value[overlap < self.settings.overlap] = -_NEVER
        rows, columns = linear_sum_assignment(-value)
        return [
            (tracks[row], int(places[column]))
            for row, column in zip(rows, columns, strict=True)
            if value[row, column] > -_NEVER / 2
        ]

    def _enlarged(self, boxes: Floats) -> Floats:
        margin = self.settings.enlarge * (boxes[:, 2:] - boxes[:, :2])
        return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)

    def _tidy(self, frame: int) -> None:
        """Number what is real now, drop what is lost: a track that is not yet real after one missed frame."""
        for track in self._live:
            if not track.id and len(track.frames) >= self.settings.confirm:
                self.tracks.append(track)
                track.id = len(self.tracks)
        self._live = [
            track
            for track in self._live
            if frame - track.frames[-1] <= (self.settings.keep if track.id else 1)
        ]  # fmt: skip


def filled(track: Track, longest: int) -> list[tuple[int, Floats, float, bool]]:
    """(frame, box, score, seen) of a track, with the straight line over gaps of up to `longest` frames."""
    rows: list[tuple[int, Floats, float, bool]] = []
    for place, (frame, box, score) in enumerate(zip(track.frames, track.boxes, track.scores, strict=True)):
        if place and 1 < frame - track.frames[place - 1] <= longest + 1:
            before, old, weak = track.frames[place - 1], track.boxes[place - 1], track.scores[place - 1]
            for between in range(before + 1, frame):
                share = (between - before) / (frame - before)
                rows.append((between, old + (box - old) * share, min(weak, score) / 2, False))
        rows.append((frame, box, score, True))
    return rows
