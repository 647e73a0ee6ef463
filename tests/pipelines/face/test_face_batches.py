"""The batch tasks do what their single commands do, and name those."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.photographs import photograph, write_png
from vitapps.errors import MissingError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.batch.task import Item, TaskSpec, command_of, find_task, task_names
from vitapps.pipelines.face.batch_liveness import Settings as LivenessChoices
from vitapps.pipelines.face.batch_localize import Settings as LocalizeChoices


def test_localize_in_a_batch(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", photograph(1, 96, 128))
    task = find_task("face.localize")
    spec = TaskSpec(options=RunOptions(overwrite=True), settings=LocalizeChoices(evidence="ela", preview=True))
    item = Item(input=tmp_path / "a.png", out=tmp_path / f"a{task.extension(spec)}")
    made = task(spec)(item)
    assert set(made.outputs) == {path for path in tmp_path.iterdir() if path.name != "a.png"}
    assert made.preview in made.outputs and made.summary["verdict"] in ("no trace found", "traces of editing", "unsure")
    assert command_of(task, spec, item).endswith("--overwrite --evidence ela --preview")
    with pytest.raises(UsageError):
        task.check(TaskSpec(settings=LocalizeChoices(threshold=2.0)))


def test_localize_by_a_network_in_a_batch(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", photograph(1, 200, 260))
    task = find_task("face.localize")
    spec = TaskSpec(weights="face-localizer", options=RunOptions(overwrite=True), settings=LocalizeChoices())
    item = Item(input=tmp_path / "a.png", out=tmp_path / f"a{task.extension(spec)}")
    task(spec)(item)
    assert task.weights(spec).keys() == {"face-localizer"} and task.weights(TaskSpec()) == {}
    assert command_of(task, spec, item).endswith("--overwrite --weights face-localizer")
    record = json.loads((tmp_path / f"{item.out.name}.run.json").read_text())
    assert "face-localizer" in json.dumps(record["weights"])
    with pytest.raises(UsageError, match="--evidence"):
        task.check(TaskSpec(weights="face-localizer", settings=LocalizeChoices(evidence="ela")))
    with pytest.raises(MissingError):
        task.weights(TaskSpec(weights="face-finder"))


def test_liveness_in_a_batch(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", photograph(1, 96, 96))
    task = find_task("face.liveness")
    spec = TaskSpec(options=RunOptions(overwrite=True), settings=LivenessChoices(crop=True))
    item = Item(input=tmp_path / "a.png", out=tmp_path / f"a{task.extension(spec)}")
    made = task(spec)(item)
    assert made.summary["verdict"] in ("live", "spoof", "unsure") and len(made.outputs) == 2
    assert task.weights(spec).keys() == {"face-liveness"}
    assert command_of(task, spec, item).endswith("--overwrite --crop")
    assert {"face.localize", "face.liveness"} <= set(task_names())
