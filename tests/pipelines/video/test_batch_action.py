"""`video.action` and `video.embed` in a batch: the same files as the single commands write."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from fakes.clips import write_clip
from vitapps.apps.main import main
from vitapps.options import RunOptions
from vitapps.pipelines.batch.task import Item, TaskSpec, task_names
from vitapps.pipelines.video import batch_action, batch_embed

OPTIONS = RunOptions(threads=1, overwrite=True)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "a.mp4", frames=60)


def test_actions_of_a_clip(clip: Path, tmp_path: Path) -> None:
    assert {"video.action", "video.embed"} <= set(task_names())
    spec = TaskSpec(settings=batch_action.Settings(hop=10, preview=True), options=OPTIONS)
    item = Item(input=clip, out=tmp_path / f"a{batch_action.BatchTask.extension(spec)}")
    result = batch_action.BatchTask(spec)(item)
    assert result.summary["action"] in ("fight", "noFight")
    assert all(path.exists() for path in result.outputs) and len(result.outputs) == 3
    before = json.loads(item.out.read_text())
    words = batch_action.BatchTask.words(spec, item)
    assert main(words) == 0, shlex.join(words)
    assert json.loads(item.out.read_text()) == before


def test_vectors_of_a_clip(clip: Path, tmp_path: Path) -> None:
    spec = TaskSpec(settings=batch_embed.Settings(hop=10), options=OPTIONS)
    item = Item(input=clip, out=tmp_path / f"a{batch_embed.BatchTask.extension(spec)}")
    assert item.out.name == "a_vectors.npz"
    result = batch_embed.BatchTask(spec)(item)
    before = np.load(item.out)["embedding"]
    assert before.shape == (result.summary["windows"], result.summary["width"]) == (3, 64)
    words = batch_embed.BatchTask.words(spec, item)
    assert main(words) == 0, shlex.join(words)
    assert np.array_equal(np.load(item.out)["embedding"], before)
