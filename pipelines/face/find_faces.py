"""Every face of a picture: box, five landmarks, score and quality, at any picture size, in any orientation of light."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.faces import Face, Floats, Pixels
from vitapps.pipelines.face.landmark_cascade import LandmarkCascade
from vitapps.pipelines.face.pyramid import View, closer_view, finest_scale, views
from vitapps.pipelines.face.quality import judge
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.windows.boxes import box_iou, decode, nms

DEFAULT_WEIGHTS = "face-finder"
# windows B 3 S S in 0..1 -> scores B 1 h w (0..1), boxes B 4 h w and landmarks B 10 h w (pixels of the window)
Predict = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]
_BATCH = 8
Candidates = tuple[Floats, Floats, Floats]  # boxes n 4, landmarks n 5 2, scores n
_SECOND_LOOK = 0.6  # of the threshold: what the second look must at least say
_LOOSE_EDGE = 2.0  # pixels by which a box may leave its window where the picture goes on


@dataclass(frozen=True, kw_only=True, slots=True)
class FinderSpec:
    """What a card says: `window` pixels a side, `overlap` 0..1, `smallest` face side in pixels that the network sees,
    `nms_iou`, the `threshold` from which a score counts, and the card of the `landmarks` cascade, "" for none."""

    window: int
    overlap: float
    smallest: float
    nms_iou: float
    threshold: float
    landmarks: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FindSettings:
    """`min_score` 0..1, None: the card's; `min_face` shorter side in pixels, None: 1/64 of the picture's longer side
    (`pyramid.finest_scale`); `most` faces kept, by score (None: all); `enlarge` small pictures, which those who have no
    use for small faces need not wait for."""

    min_score: float | None = None
    min_face: float | None = None
    most: int | None = None
    enlarge: bool = True

    def __post_init__(self) -> None:
        if self.min_score is not None and not 0 < self.min_score <= 1:
            raise UsageError(f"--min-score {self.min_score:g}: outside 0 to 1", hint="leave it out for the card's")
        if self.min_face is not None and not self.min_face >= 1:
            raise UsageError(f"--min-face {self.min_face:g}: below 1 pixel", hint="give pixels of the picture")


LARGE = FindSettings(enlarge=False)  # for those who need a face of some size


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceFinder:
    """A compiled detector: `FaceFinder.load().find(pixels)`. `cascade` brings the landmarks closer."""

    spec: FinderSpec
    predict: Predict
    facts: NetworkFacts = field(default_factory=NetworkFacts)
    cascade: LandmarkCascade | None = None

    @classmethod
    def load(cls, weights: str | None = None, options: RunOptions | None = None) -> FaceFinder:
        """Compile the network of a card (name or path) or a published `.onnx`; raises MissingError for what is no face
        detector."""
        if weights is not None and weights.lower().endswith(".onnx"):
            from vitapps.pipelines.face.published_finder import load_published_finder

            return load_published_finder(Path(weights), options or RunOptions())
        from vitapps.shared_backbones.engines.load import load_model
        from vitapps.shared_backbones.weights.cards import load_card

        card = load_card(weights or DEFAULT_WEIGHTS, "face.detect")
        spec = spec_of(card.name, card.preprocess, card.labels)
        model = load_model(card, options or RunOptions())
        cascade = LandmarkCascade.load(spec.landmarks) if spec.landmarks else None
        return cls(spec=spec, predict=model, facts=NetworkFacts.of(card, model), cascade=cascade)

    @property
    def networks(self) -> list[NetworkFacts]:
        """What a run record says of all that computed."""
        return [self.facts] if self.cascade is None else [self.facts, self.cascade.facts]

    def find(self, pixels: Pixels, settings: FindSettings | None = None) -> tuple[Face, ...]:
        """Faces of a picture H W 3 uint8 by falling score; an empty tuple where there is none."""
        settings = settings or FindSettings()
        boxes, points, scores = self._search(pixels, settings)
        closer = [self.closer(pixels, marks) for marks in points]
        return tuple(
            Face(box=box, landmarks=marks, score=float(score), quality=judge(pixels, box, marks))
            for box, marks, score in zip(boxes, closer, scores, strict=True)
        )

    def closer(self, pixels: Pixels, landmarks: Floats) -> Floats:
        """Landmarks 5 2 of a face as the cascade corrects them; as they are where there is none."""
        return landmarks if self.cascade is None else self.cascade.refine(pixels, landmarks)

    def _search(self, pixels: Pixels, settings: FindSettings) -> Candidates:
        """Each face once."""
        height, width = pixels.shape[:2]
        finest = finest_scale(width, height, self.spec.smallest, settings.min_face, enlarge=settings.enlarge)
        floor = self.spec.threshold if settings.min_score is None else settings.min_score
        looked = views(pixels, self.spec.window, self.spec.overlap, finest)
        least = settings.min_face or min(self.spec.smallest, self.spec.smallest / finest)
        boxes, _, scores = self._best(joined(self._candidates(looked, floor)), settings, least)
        return self._looked_again(pixels, boxes, scores, floor)

    def _best(self, candidates: Candidates, settings: FindSettings, least: float) -> Candidates:
        """Those of `least` pixels a side or hardly less that are not part of a better one, by falling score."""
        boxes, points, scores = candidates
        wanted = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= 0.8 * least
        boxes, points, scores = boxes[wanted], points[wanted], scores[wanted]
        kept = nms(boxes, scores, self.spec.nms_iou)
        kept = kept[~_nested(boxes[kept])][: settings.most]
        return boxes[kept], points[kept], scores[kept]

    def _candidates(self, looked: Iterable[View], floor: float) -> Iterator[Candidates]:
        """Of every window: boxes n 4 and landmarks n 5 2 in pixels of the picture, scores n."""
        for batch in _batches(looked, _BATCH):
            windows = np.stack([view.pixels for view in batch]).transpose(0, 3, 1, 2)  # b S S 3 -> b 3 S S
            score_maps, box_maps, point_maps = self.predict(windows.astype(np.float32) / np.float32(255))
            places = np.concatenate([box_maps, point_maps], axis=1)  # b 14 h w
            for number, view in enumerate(batch):
                found, scores = _peaks(score_maps[number, 0], places[number], floor)
                sound = ~_cut(found[:, :4], view, self.spec.window)
                there = view.to_picture(found[sound].reshape(-1, 7, 2))  # n 7 2: two corners, five landmarks
                yield there[:, :2].reshape(-1, 4), there[:, 2:], scores[sound]

    def _looked_again(self, pixels: Pixels, boxes: Floats, scores: Floats, floor: float) -> Candidates:
        """Every candidate once more at the size that the network sees best: box and landmarks come from there, the
        score is the geometric mean of both looks, and what is no face at the second look is dropped."""
        closer = (closer_view(pixels, box, self.spec.window) for box in boxes)
        found = [
            _nearest(again, box, score)
            for again, box, score in zip(self._candidates(closer, _SECOND_LOOK * floor), boxes, scores, strict=True)
        ]
        boxes, points, scores = joined(found)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= floor]
        return boxes[order], points[order], scores[order]


def joined(parts: Iterable[Candidates]) -> Candidates:
    """All candidates of several windows."""
    boxes, points, scores = [np.zeros((0, 4))], [np.zeros((0, 5, 2))], [np.zeros(0)]
    for part in parts:
        boxes.append(part[0])
        points.append(part[1])
        scores.append(part[2])
    return np.concatenate(boxes), np.concatenate(points), np.concatenate(scores)


def _nearest(again: Candidates, box: Floats, score: float) -> Candidates:
    """Of the second look at `box` what overlaps it most, with the mean of both scores; nothing below IoU 0.3."""
    boxes, points, scores = again
    overlap = box_iou(box[None], boxes)[0]
    best = np.argsort(-overlap, kind="stable")[:1]
    best = best[overlap[best] >= 0.3]
    return boxes[best], points[best], np.sqrt(scores[best] * score)


def spec_of(name: str, preprocess: dict[str, Any], labels: Sequence[dict[str, Any]]) -> FinderSpec:
    """Read the parts of a card; raises MissingError when one is missing or wrong."""
    try:
        return FinderSpec(
            window=int(preprocess["window"]),
            overlap=float(preprocess["overlap"]),
            smallest=float(preprocess["smallest"]),
            nms_iou=float(preprocess["nms_iou"]),
            threshold=float(labels[0]["threshold"]),
            landmarks=str(preprocess.get("landmarks", "")),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise MissingError(f"weights {name!r}: the card is not usable ({error})", hint="`vitapps doctor`") from error


def _batches(items: Iterable[View], size: int) -> Iterator[list[View]]:
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def _peaks(scores: NDArray[np.float32], places: NDArray[np.float32], floor: float) -> tuple[Floats, Floats]:
    """Places n 14 and scores n of the cells that are highest in their neighbourhood; scores h w, places 14 h w."""
    found = decode(scores[None, None], places[None, :4], floor, peaks=True, top_k=200)
    if not len(found.scores):
        return np.zeros((0, 14)), np.zeros(0)
    rows, columns = found.cells.T
    return places[:, rows, columns].T.astype(float), found.scores


def _cut(boxes: Floats, view: View, window: int) -> NDArray[np.bool_]:
    """Boxes n 4 that leave their window where the picture goes on: a neighbour or a coarser scale sees them whole."""
    low = (boxes[:, :2] < -_LOOSE_EDGE) & np.array(view.inner[:2])
    high = (boxes[:, 2:] > window + _LOOSE_EDGE) & np.array(view.inner[2:])
    return np.asarray((low | high).any(axis=1))


def _nested(boxes: Floats, share: float = 0.8) -> NDArray[np.bool_]:
    """Boxes n 4 (by falling score) of which `share` lies in a better one: eyes and mouths that pass for a face."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)  # n n
    area = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-9)
    inside = common / area[:, None] > share
    return np.asarray(np.tril(inside, -1).any(axis=1))
