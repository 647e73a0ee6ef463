"""One box for what several looks at the same place found: weighted boxes fusion.

Solovyev et al. 2021, arXiv:1910.13302, section 3: boxes of one object are averaged with their scores as weights, and
the score is the mean over all looks, those that saw nothing counted as 0. Deviation: a box joins the best box of its
place, not the running average, and each look gives at most one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.rs.find import Candidates, Filter, Search, joined
from vitapps.pipelines.rs.spec import DetectorSpec
from vitapps.pipelines.windows.boxes import Floats, Ints, overlapping

TOGETHER = 0.5  # IoU from which on two boxes are one object
LEAST_SCORE = 0.15  # of a box that may lend its weight to another


def fused(looks: Sequence[Candidates], floor: Floats) -> Candidates:
    """The objects of `looks` whose mean score is at least `floor` by class, by falling score of their best box.

    Of the boxes of one look none may overlap by more than TOGETHER (`Candidates.suppressed`); a single look comes back
    without what lies below `floor`.
    """
    views = np.repeat(np.arange(len(looks)), [len(look.boxes) for look in looks])
    found = joined(looks)
    order = np.argsort(found.cut - found.scores, kind="stable")  # what was seen whole leads
    found, views = found[order], views[order]
    leads = np.flatnonzero(found.scores >= floor[found.labels])  # a mean is no higher than the best of its parts
    first, second = overlapping(found.boxes, TOGETHER, found.labels)
    begins, ends = np.searchsorted(first, leads, "left"), np.searchsorted(first, leads, "right")
    free = np.ones(len(views), bool)
    kept = np.zeros(len(views), bool)
    boxes, scores = found.boxes.copy(), np.zeros(len(views))
    for leader, begin, end in zip(leads.tolist(), begins, ends, strict=True):
        if not free[leader]:
            continue
        group = _group(leader, second[begin:end], views, free)
        free[group] = False
        kept[leader] = True
        scores[leader] = found.scores[group].sum() / len(looks)
        boxes[leader] = np.average(found.boxes[group], axis=0, weights=found.scores[group])
    kept &= scores >= floor[found.labels]
    return Candidates(boxes, scores, found.labels, found.cut)[kept]


def rules_of_look(rules: Filter, spec: DetectorSpec) -> Filter:
    """Those of one look of `spec`, which has to keep more than comes out of the fusion; a single one keeps no more."""
    if len(spec.scales) == 1:
        return rules
    return replace(rules, floor=np.minimum(rules.floor, LEAST_SCORE), iou=TOGETHER)


def result_of_looks(looks: Sequence[Search], rules: Filter) -> Candidates:
    """Each object once, boxes in raster pixels, by falling score."""
    if len(looks) == 1:
        return looks[0].result()
    found = fused([look.result() for look in looks], rules.floor).suppressed(rules.iou)
    return found[np.argsort(-found.scores, kind="stable")]


def _group(leader: int, others: Ints, views: Ints, free: NDArray[np.bool_]) -> Ints:
    """The leader and the first free one of each other look among `others`, which fall in score."""
    others = others[free[others] & (views[others] != views[leader])]
    _, places = np.unique(views[others], return_index=True)
    return np.concatenate([[leader], others[places]])
