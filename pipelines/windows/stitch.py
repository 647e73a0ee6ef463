"""Apply a function window by window to an array in memory and put the answers together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitapps.pipelines.windows.blend import Blend, class_index
from vitapps.pipelines.windows.front import Front
from vitapps.pipelines.windows.plan import plan_windows
from vitapps.pipelines.windows.stream import Array, Function, Out, crop, finals, read_batches
from vitapps.progress import Progress, null_progress


def tile_apply(
    x: Array,
    fn: Function,
    *,
    window: Sequence[int],
    overlap: float | Sequence[float] = 0.5,
    blend: Blend = "gaussian",
    out: Out = "accumulate",
    batch: int = 1,
    progress: Progress = null_progress,
) -> Array:
    """`fn` over windows of `x` (C *spatial), blended: K *spatial, or with `argmax` the class indices (*spatial).

    `fn` maps B C *window to B K *window. `blend`: the mean of all windows over an element, weighted by a Gaussian or
    equally; or `core`, which takes each element from the window in which it lies deepest, so that half the overlap is
    a halo whose answers are dropped. Where all windows agree on a value the result is that value, bit for bit. With
    `argmax` the K *spatial scores never exist as a whole. An input below the window is padded by its edge values and
    cropped back. Raises UsageError for impossible windows or a function that changes their shape.
    """
    plan = plan_windows(x.shape[1:], window, overlap, small=True)
    front, result = Front(plan, blend), None
    batches = read_batches(lambda box: x[(slice(None), *box)], plan, batch)
    for index, final in finals(batches, fn, plan, front, progress):
        box, values = crop(front.box(index), final, plan.size)
        if out == "argmax":
            values = class_index(values)[None]  # K *cell -> 1 *cell
        if result is None:
            kind = values.dtype if out == "argmax" else np.result_type(values.dtype, np.float32)
            result = np.empty((len(values), *plan.size), kind)
        result[(slice(None), *box)] = values
        front.release(final)
    assert result is not None, "a plan has at least one window"
    return result[0] if out == "argmax" else result
