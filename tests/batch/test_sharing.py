"""Workers whose networks are those of one other process: the same answers, and what happens when that process dies."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from fakes import discs
from vitapps.options import RunOptions
from vitapps.pipelines.batch.local import LocalEngine
from vitapps.pipelines.batch.segments import Receiver, Sender
from vitapps.pipelines.batch.task import TaskSpec, find_task
from vitapps.pipelines.batch.work import Done, Work

TASK = "rs.detect"
FILES = 6


@pytest.fixture
def spec(tmp_path: Path) -> TaskSpec:
    """Six tiles with 1, 2, … discs, and the detector that finds them."""
    for number in range(FILES):
        image = discs.draw((96, 128), discs.scattered((96, 128), number + 1, seed=number))
        discs.write(tmp_path / f"{number}.tif", image)
    settings = find_task(TASK).Settings(format="geojson")
    options = RunOptions(threads=1, engine="openvino", precision="exact", overwrite=True)
    return TaskSpec(weights=str(discs.write_graph_card(tmp_path)), options=options, settings=settings)


def works(folder: Path, name: str) -> list[Work]:
    (folder / name).mkdir()
    return [Work(n, str(folder / f"{n}.tif"), folder / name / f"{n}.geojson") for n in range(FILES)]


def finished(engine: LocalEngine, wanted: int) -> list[Done]:
    done: list[Done] = []
    while len(done) < wanted:
        done += engine.poll(0.5)
    return done


def test_shared_networks_answer_as_own_ones(tmp_path: Path, spec: TaskSpec) -> None:
    texts = []
    for threads in (0, 2):
        engine = LocalEngine(TASK, spec, workers=2, shared_threads=threads)
        todo = works(tmp_path, f"out{threads}")
        for work in todo:
            engine.submit(work)
        done = finished(engine, FILES)
        used = engine.used()
        engine.stop()
        assert not [item.fault for item in done if item.fault]
        texts.append([work.out.read_text() for work in todo])
        assert (used is None) if threads == 0 else (used is not None and used.windows >= FILES)
    assert texts[0] == texts[1]


def test_the_process_of_the_networks_dies(tmp_path: Path, spec: TaskSpec) -> None:
    """What its workers had in hands is told as lost, what waited behind is done with a new one."""
    engine = LocalEngine(TASK, spec, workers=2, shared_threads=2)
    todo = works(tmp_path, "out")
    try:
        engine.submit(todo[0])
        finished(engine, 1)
        assert engine.server_pid is not None
        os.kill(engine.server_pid, signal.SIGKILL)
        for work in todo[1:]:
            engine.submit(work)
        faults = {item.fault.kind for item in finished(engine, FILES - 1) if item.fault}
        assert faults == {"killed"}
        again = [work for work in todo if not work.out.exists()]
        assert len(again) <= 2, "more was lost than was in hands"
        for work in again:
            engine.submit(work)
        assert not [item.fault for item in finished(engine, len(again)) if item.fault]
    finally:
        engine.stop()


def test_a_worker_that_waits_for_a_dead_server_is_given_up(tmp_path: Path, spec: TaskSpec) -> None:
    """The server dies before a worker has reached it, and another server follows at once."""
    engine = LocalEngine(TASK, spec, workers=2, shared_threads=2)
    todo = works(tmp_path, "out")
    try:
        engine.submit(todo[0])
        assert engine.server_pid is not None
        os.kill(engine.server_pid, signal.SIGKILL)  # nobody has connected yet
        time.sleep(0.3)  # until its death shows
        for work in todo[1:]:
            engine.submit(work)
        lost = [item.id for item in finished(engine, FILES) if item.fault]
        assert len(lost) <= 2
    finally:
        engine.stop()


def test_arrays_through_a_segment() -> None:
    sender, receiver = Sender(), Receiver()
    rng = np.random.default_rng(0)
    for shapes in (((2, 3, 4), (5,)), ((0, 7),), ((700, 700), (1, 1)), ((3,),)):  # the third needs a larger segment
        arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
        parcel = sender.put(arrays)
        for found, given in zip(receiver.take(parcel), arrays, strict=True):
            np.testing.assert_array_equal(found, given)
        assert not parcel.path or not Path(parcel.path).exists(), "it would outlive a kill"
