"""Windows over arrays of any size and dimension: plan, blend, stitch. Arrays and callables, never files."""

from vitapps.pipelines.windows.plan import WindowPlan, plan_windows
from vitapps.pipelines.windows.stitch import stream_apply, tile_apply

__all__ = ["WindowPlan", "plan_windows", "stream_apply", "tile_apply"]
