"""Which embedded model's own metric a bench can compute, and on what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitapps.errors import UsageError

if TYPE_CHECKING:
    from vitapps.pipelines.runtime.own_metric import Judge

DataOption = Annotated[
    Path | None,
    typer.Option(show_default=False, help="Folder with the model's evaluation data, for its own metric."),
]


def judge_of(name: str, data: Path | None) -> Judge | None:
    """The metric of the card `name`: finders of faces on generated scenes, readers on rendered lines, tree crowns on
    the tiles of `data` as `vitapps rs eval` scores them. None where neither serves; UsageError for `data` that no
    metric reads."""
    from vitapps.shared_backbones.weights.cards import load_card

    task = load_card(name).task
    if task == "face.detect" and data is None:
        from vitapps.pipelines.video.scene_metric import scene_judge

        return scene_judge(name)
    if task == "doc.read" and data is None:
        from vitapps.pipelines.document.line_metric import line_judge

        return line_judge(name)
    if task == "rs.detect" and data is not None:
        from vitapps.pipelines.rs.tile_metric import tile_judge

        return tile_judge(name, data)
    if data is not None:
        raise UsageError(f"--data: no metric of {task} is computed here", hint="leave it away, or take trees-neon")
    return None
