"""SORT, ByteTrack and OC-SORT, written anew from their papers at the authors' settings, for `video eval mot`.

Each takes the detections of every frame and gives the rows of every frame as they are known in that frame: nothing is
filled in or smoothed afterwards, as the published trackers do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vitapps.pipelines.video.box_kalman import AreaKalman, HeightKalman
from vitapps.pipelines.video.mot_detections import Detections
from vitapps.pipelines.windows.boxes import box_iou

Floats = NDArray[np.float64]
Sighted = list[tuple[int, Floats]]  # of one frame: number and box x0 y0 x1 y1 of every track
Pairs = list[tuple[int, int]]
_NEAR = 0.3  # least IoU of SORT and OC-SORT
_HITS = 3  # sightings on end until SORT and OC-SORT write a track
_LOOK_BACK, _INERTIA = 3, 0.2  # frames, and weight, of OC-SORT's direction
_HIGH, _LOW, _BEGIN = 0.5, 0.1, 0.6  # scores of ByteTrack: first round, second round, new tracks
_FIRST, _SECOND, _UNSURE = 0.8, 0.5, 0.7  # most cost in ByteTrack's rounds
_SAME = 0.85  # IoU of two ByteTracks that are one
_BUFFER = 30  # frames that ByteTrack and OC-SORT wait for a lost track


@dataclass(kw_only=True, slots=True)
class _Track:
    motion: AreaKalman
    id: int
    streak: int = 0  # sightings on end, the first not counted
    blind: int = 0  # frames since the last sighting
    born: int = 0
    seen: dict[int, Floats] = field(default_factory=dict)  # boxes by frame
    kept: tuple[Floats, Floats] | None = None  # the filter at the last sighting

    def predict(self) -> Floats:
        if self.blind:
            self.streak = 0
        self.blind += 1
        return self.motion.predict()

    def update(self, frame: int, box: Floats, *, lead: bool) -> None:
        if lead and self.blind > 1 and self.kept is not None:
            self._lead(box)
        self.motion.update(box)
        self.streak, self.blind = self.streak + 1, 0
        self.seen[frame] = box
        self.kept = (self.motion.state, self.motion.spread)

    def _lead(self, box: Floats) -> None:
        """The filter again through evenly spaced boxes since the last sighting (OC-SORT, section 4.1)."""
        assert self.kept is not None
        before, gap = self.last, self.blind
        self.motion.state, self.motion.spread = (part.copy() for part in self.kept)
        for step in range(1, gap):
            self.motion.predict()
            self.motion.update(before + (box - before) * step / gap)
        self.motion.predict()

    @property
    def last(self) -> Floats:
        return self.seen[max(self.seen)]

    def earlier(self, frame: int) -> Floats:
        """The sighting `_LOOK_BACK` frames before `frame`, else the next one after it, else the last of all."""
        near = [self.seen[at] for at in range(frame - _LOOK_BACK, frame) if at in self.seen]
        return near[0] if near else self.last


def sort(frames: Sequence[Detections]) -> list[Sighted]:
    """SORT (Bewley et al. 2016, arXiv:1602.00763): predicted boxes meet detections of any score by IoU; a track is
    dropped after one frame without."""
    return _observed(frames, keep=1, match=lambda tracks, where, found, frame: _near(where, found.boxes))


def oc_sort(frames: Sequence[Detections]) -> list[Sighted]:
    """OC-SORT (Cao et al. 2023, arXiv:2203.14360): the direction of sightings has a say (section 4.2), the rest meets
    where it was last seen (4.3), a track that is found again is led anew (4.1). Detections above 0.5 of their score."""
    strong = [Detections(boxes=item.boxes[keep], scores=item.scores[keep])
              for item in frames for keep in [item.scores > _HIGH]]  # fmt: skip
    return _observed(strong, keep=_BUFFER, match=_by_direction, lead=True)


def _observed(
    frames: Sequence[Detections], *, keep: int, match: Callable[[list[_Track], Floats, Detections, int], Pairs],
    lead: bool = False,
) -> list[Sighted]:  # fmt: skip
    """The frame loop that SORT and OC-SORT share; `lead`: as OC-SORT does it, which also writes what it observed."""
    tracks: list[_Track] = []
    number, rows = 0, []
    for frame, found in enumerate(frames):
        where = np.array([track.predict() for track in tracks]).reshape(-1, 4)
        pairs = match(tracks, where, found, frame)
        for place, index in pairs:
            tracks[place].update(frame, found.boxes[index], lead=lead)
        for index in sorted(set(range(len(found.scores))) - {index for _, index in pairs}):
            number += 1
            track = _Track(motion=AreaKalman(found.boxes[index]), id=number, born=frame)
            track.seen[frame], track.kept = found.boxes[index], (track.motion.state, track.motion.spread)
            tracks.append(track)
        rows.append([
            (track.id, track.last if lead else track.motion.box)
            for track in tracks if not track.blind and (track.streak >= _HITS or frame < _HITS)
        ])  # fmt: skip
        tracks = [track for track in tracks if track.blind <= keep]
    return rows


def _by_direction(tracks: list[_Track], where: Floats, found: Detections, frame: int) -> Pairs:
    if not tracks or not len(found.scores):
        return []
    overlap = box_iou(where, found.boxes)  # tracks detections
    pairs = _assigned(overlap + _INERTIA * _turns(tracks, found.boxes, frame) * found.scores, overlap >= _NEAR)
    rest = sorted(set(range(len(tracks))) - {place for place, _ in pairs})
    free = sorted(set(range(len(found.scores))) - {index for _, index in pairs})
    if rest and free:
        again = _near(np.array([tracks[place].last for place in rest]), found.boxes[free])
        pairs += [(rest[place], free[index]) for place, index in again]
    return pairs


def _turns(tracks: list[_Track], boxes: Floats, frame: int) -> Floats:
    """Tracks x detections, -0.5 to 0.5: how straight on a detection lies (paper, eq. 5-8); 0 for a new track."""
    value = np.zeros((len(tracks), len(boxes)))
    for row, track in enumerate(tracks):
        if len(track.seen) < 2:
            continue
        last = max(track.seen)
        way = _direction(track.earlier(last), track.last[None])
        turn = _direction(track.earlier(frame), boxes) @ way[0]
        value[row] = (np.pi / 2 - np.arccos(np.clip(turn, -1, 1))) / np.pi
    return value


def _direction(start: Floats, boxes: Floats) -> Floats:
    """n 2 of unit length, from the middle of `start` to those of `boxes`."""
    away = (boxes[:, :2] + boxes[:, 2:] - start[:2] - start[2:]) / 2
    return np.asarray(away / (np.linalg.norm(away, axis=1, keepdims=True) + 1e-6))


def _near(where: Floats, boxes: Floats) -> Pairs:
    if not len(where) or not len(boxes):
        return []
    overlap = box_iou(where, boxes)
    return _assigned(overlap, overlap >= _NEAR)


def _assigned(value: Floats, allowed: NDArray[np.bool_]) -> Pairs:
    """The pairs of the assignment of most value that are allowed."""
    rows, columns = linear_sum_assignment(-value)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]


@dataclass(kw_only=True, slots=True)
class _Byte:
    motion: HeightKalman
    id: int
    born: int
    frame: int  # of the last sighting
    sure: bool  # seen twice, or in the first frame


def byte_track(frames: Sequence[Detections]) -> list[Sighted]:
    """ByteTrack (Zhang et al. 2022, arXiv:2110.06864, algorithm 1): detections above 0.5 meet all tracks, those down to
    0.1 the tracks of the last frame; new tracks from 0.6 on, which count when they are seen again."""
    tracks: list[_Byte] = []
    number, rows = 0, []
    for frame, found in enumerate(frames):
        for track in tracks:
            track.motion.predict(seen=track.frame == frame - 1)
        high = np.flatnonzero(found.scores > _HIGH).tolist()
        low = np.flatnonzero((found.scores > _LOW) & (found.scores <= _HIGH)).tolist()
        known, fresh = [track for track in tracks if track.sure], [track for track in tracks if not track.sure]
        left, high = _round(known, high, found, frame, least=1 - _FIRST)
        lately = [track for track in left if track.frame == frame - 1]
        _round(lately, low, found, frame, least=1 - _SECOND, by_score=False)
        _, high = _round(fresh, high, found, frame, least=1 - _UNSURE)
        for index in high:
            if found.scores[index] >= _BEGIN:
                number += 1
                motion = HeightKalman(found.boxes[index])
                tracks.append(_Byte(motion=motion, id=number, born=frame, frame=frame, sure=not frame))
        tracks = _living(tracks, frame)
        rows.append([(track.id, track.motion.box) for track in tracks if track.sure and track.frame == frame])
    return rows


def _round(
    tracks: list[_Byte], places: list[int], found: Detections, frame: int, *, least: float, by_score: bool = True
) -> tuple[list[_Byte], list[int]]:
    """Match detections `places` with tracks, whose filters take them; the tracks and places that are left."""
    if not tracks or not places:
        return tracks, places
    value = box_iou(np.array([track.motion.box for track in tracks]), found.boxes[places])  # tracks detections
    if by_score:
        value = value * found.scores[places]
    pairs = _assigned(np.where(value >= least, value, -len(places)), value >= least)
    for row, column in pairs:
        track = tracks[row]
        track.motion.update(found.boxes[places[column]])
        track.frame, track.sure = frame, True
    rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
    return (
        [track for row, track in enumerate(tracks) if row not in rows],
        [place for column, place in enumerate(places) if column not in columns],
    )


def _living(tracks: list[_Byte], frame: int) -> list[_Byte]:
    """Without those that were never seen again or are lost for too long, and, of a seen and a lost track in one place,
    without the younger."""
    tracks = [
        track for track in tracks if track.frame == frame or (track.sure and frame - track.frame <= _BUFFER)
    ]  # fmt: skip
    seen, lost = ([track for track in tracks if (track.frame == frame) == now] for now in (True, False))
    if not seen or not lost:
        return tracks
    overlap = box_iou(np.array([a.motion.box for a in seen]), np.array([b.motion.box for b in lost]))
    gone = set()
    for row, column in np.argwhere(overlap > _SAME):
        one, other = seen[row], lost[column]
        gone.add(id(other if one.frame - one.born >= other.frame - other.born else one))
    return [track for track in tracks if id(track) not in gone]


BASELINES: Mapping[str, Callable[[Sequence[Detections]], list[Sighted]]] = {
    "SORT": sort, "ByteTrack": byte_track, "OC-SORT": oc_sort,
}  # fmt: skip
