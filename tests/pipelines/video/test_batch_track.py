"""`video.track` in a batch: boxes from the file beside the clip."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from fakes.clips import write_clip
from vitapps.apps.main import main
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.batch.task import Item, TaskSpec, task_names
from vitapps.pipelines.video.batch_track import BatchTask, Settings


def test_a_clip_with_its_boxes(tmp_path: Path) -> None:
    assert "video.track" in task_names()
    clip = write_clip(tmp_path / "a.mp4", frames=6)
    spec = TaskSpec(settings=Settings(format="mot", draw=True, preview=True))
    out = tmp_path / f"a{BatchTask.extension(spec)}"
    assert out.name == "a_tracks.txt"
    task = BatchTask(spec)
    with pytest.raises(UnreadableInputError, match=r"a\.box\.txt"):
        task(Item(input=clip, out=out))
    (tmp_path / "a.box.txt").write_text("2,2,12,10\n30,20,20,20\n")
    result = task(Item(input=clip, out=out))
    assert result.summary["objects"] == 2 and len(result.outputs) == 4
    before = out.read_bytes()
    words = BatchTask.words(spec, Item(input=clip, out=out))
    assert words.count("--box") == 2, shlex.join(words)
    assert main([*words, "--overwrite"]) == 0
    assert out.read_bytes() == before
