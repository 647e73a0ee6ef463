"""Objects of the last frame as queries of the next: open-vocabulary detections that hold together over time.

Video OWL-ViT (Heigold et al. 2023, section 3.2) hands the outputs of a frame's object queries on as the next frame's
queries. Here the query of an object is the embedding that its candidate had (OWL-ViT's image-conditioned query, which
needs no further weights): a candidate of the next frame that looks like it and lies near it keeps its name, its number
and a share of its score, so that an object does not blink where the words alone just miss it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CARD = {
    "id": "S035",
    "name": "carried_queries",
    "family": "video",
    "paper": "Heigold et al. 2023, arXiv:2308.11093",
    "equation": "section 3.2 (the outputs for one frame are the object queries of the next)",
    "deviations": "no decoder is trained: a carried query is the class embedding of the object's candidate, compared "
    "by cosine and by place; numbers by Hungarian matching of the same affinity",
    "slots": [],
    "cost": "O(M N D) a frame, M objects carried, N candidates",
    "status": "paper",
}
_REACH = 0.75  # shares of the object's sides by which it moves from frame to frame: deviation of the place's weight
_STRETCH = 0.35  # the same of its sides, as natural logarithms
_SAME = 0.3  # least affinity at which a number is kept
_PATIENCE = 5  # frames for which an object that is not seen is carried on


class CarriedQueries:
    """Per frame: `raised` before boxes are chosen, `numbered` with those that were. `strength` 0..1: share of its score
    that an object carries into the next frame; at 0 scores stay as they are, bit for bit."""

    def __init__(self, strength: float) -> None:
        self._strength = strength
        self._boxes, self._queries = np.zeros((0, 4)), np.zeros((0, 0))
        self._scores, self._labels, self._ids = np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._unseen = np.zeros(0, np.int64)
        self._next = 1

    def raised(self, scores: Floats, boxes: Floats, embeddings: Floats) -> Floats:
        """Scores N K of candidates (boxes N 4, embeddings N D of length 1) with what the last frame's objects give."""
        if self._strength == 0 or not len(self._boxes):
            return scores
        given = self._strength * self._scores[:, None] * self._affinity(boxes, embeddings)  # M N
        raised = scores.copy()
        for label in np.unique(self._labels):
            raised[:, label] = np.maximum(raised[:, label], given[self._labels == label].max(axis=0))
        return raised

    def numbered(self, boxes: Floats, scores: Floats, labels: Ints, embeddings: Floats) -> Ints:
        """Numbers n from 1 on, one an object over time, of the chosen boxes n 4; they are the queries to come."""
        ids = np.zeros(len(boxes), np.int64)
        if len(self._boxes) and len(boxes):
            likely = self._affinity(boxes, embeddings) * (self._labels[:, None] == labels[None])  # M n
            old, new = linear_sum_assignment(-likely)
            kept = likely[old, new] >= _SAME
            ids[new[kept]] = self._ids[old[kept]]
        fresh = ids == 0
        ids[fresh] = self._next + np.arange(fresh.sum())
        self._next += int(fresh.sum())
        self._remember(boxes, scores, labels, embeddings, ids)
        return ids

    def _affinity(self, boxes: Floats, embeddings: Floats) -> Floats:
        """M N in 0..1: cosine of what is carried and each candidate, weighted by how near and how alike in size."""
        alike = np.maximum(self._queries @ embeddings.T, 0)
        own, other = self._boxes[:, None], boxes[None]
        sides = np.maximum(own[..., 2:] - own[..., :2], 1.0)
        away = (other[..., :2] + other[..., 2:] - own[..., :2] - own[..., 2:]) / 2 / sides
        grown = np.log(np.maximum(other[..., 2:] - other[..., :2], 1.0) / sides)
        far = ((away / _REACH) ** 2 + (grown / _STRETCH) ** 2).sum(axis=-1)
        return np.asarray(alike * np.exp(-far / 2))

    def _remember(self, boxes: Floats, scores: Floats, labels: Ints, embeddings: Floats, ids: Ints) -> None:
        """What was seen now, and for a while what was not, at a falling score."""
        waits = ~np.isin(self._ids, ids) & (self._unseen < _PATIENCE)
        if not len(self._boxes):
            self._queries = np.zeros((0, embeddings.shape[1]))
        self._boxes = np.concatenate([boxes, self._boxes[waits]])
        self._queries = np.concatenate([embeddings, self._queries[waits]])
        self._scores = np.concatenate([scores, self._strength * self._scores[waits]])
        self._labels = np.concatenate([labels, self._labels[waits]])
        self._unseen = np.concatenate([np.zeros(len(boxes), np.int64), self._unseen[waits] + 1])
        self._ids = np.concatenate([ids, self._ids[waits]])
