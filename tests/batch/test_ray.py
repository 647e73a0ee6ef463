"""The job on a local Ray of two nodes, one of which dies in the middle."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.batch_job import handled, make_job, outputs, run
from vitapps.errors import ExitCode
from vitapps.pipelines.batch.status import job_status

LIMITS = '[limits]\nworkers = 2\ntimeout = "2 s"\n[retry]\ntimes = 0'
SOON = {"health_check_period_ms": 500, "health_check_timeout_ms": 1000, "health_check_failure_threshold": 2}


def failed(folder: Path) -> dict[str, str]:
    return {Path(record.key).name: record.kind for record in job_status(folder / "job.batch").failed}


def started(start: Callable[[], Any]) -> Any:
    """Ray gives a node 30 s to start, and nothing changes that: a machine that is too busy skips after three tries."""
    for last in (False, False, True):
        try:
            return start()
        except Exception as error:  # the class that Ray raises
            if last:
                pytest.skip(f"Ray did not start: {error}")
    raise AssertionError("unreachable: the last try returns or skips")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head of one CPU."""
    import pytest_socket

    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    pytest_socket.enable_socket()
    arguments = {"num_cpus": 1, "include_dashboard": False, "_system_config": SOON}
    made = started(lambda: Cluster(initialize_head=True, head_node_args=arguments))
    try:
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        pytest_socket.disable_socket(allow_unix_socket=True)


def test_without_ray_the_message_is_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run(make_job(tmp_path, {"a.txt": "hello"}), engine="ray")
    assert result.exit_code == ExitCode.MISSING
    assert "'ray' is not installed" in result.error
    assert "vitapps[ray]" in result.hint


@pytest.mark.slow
def test_two_nodes_and_the_death_of_one(tmp_path: Path, cluster: Any) -> None:
    second = started(lambda: cluster.add_node(num_cpus=1))
    texts = {f"{number:02d}.txt": f"text {number}" for number in range(40)} | {"xx.txt": "bad"}
    job = make_job(tmp_path, texts, workers=2, options="seconds = 0.3\nalone = 1.5")

    class KillNode:
        done, killed = 0, False

        def event(self, kind: str, fields: object, counts: object) -> None:
            self.done += kind == "item_done"
            if not self.killed and self.done >= 12 and len({item.worker for item in journal_records(tmp_path)}) > 1:
                self.killed = True  # not before both nodes work: on a busy machine one starts late
                cluster.remove_node(second, allow_graceful=False)

    killer = KillNode()
    result = run(job, killer, engine="ray")  # type: ignore[arg-type]
    assert killer.killed, "the second node did not work before the end"
    assert (result.exit_code, result.counts.done, result.counts.failed) == (ExitCode.PARTIAL, 40, 1)
    assert outputs(tmp_path) == {f"{number:02d}.loud": f"TEXT {number}!" for number in range(40)}
    assert job_status(tmp_path / "job.batch").items == {"shout": {"done": 40, "failed": 1}}
    workers = {record.worker for record in journal_records(tmp_path)}
    assert len(workers) >= 2, "one node did everything"
    twice = len(handled(tmp_path)) - len(texts)
    assert 0 <= twice <= 4, "more was done twice than was in flight"
    again = run(job, engine="ray")
    assert (again.counts.skipped, again.counts.done) == (40, 0)


@pytest.mark.slow
def test_bad_inputs_cost_no_actor(tmp_path: Path, cluster: Any) -> None:
    """A decoder that hangs and a worker that dies are the local engine's to judge, also within an actor."""
    texts = {f"{number}.txt": "fine" for number in range(4)} | {"die.txt": "die", "hang.txt": "hang"}
    result = run(make_job(tmp_path, texts, extra=LIMITS), engine="ray")
    assert (result.exit_code, result.counts.done) == (ExitCode.PARTIAL, 4)
    assert failed(tmp_path) == {"die.txt": "killed", "hang.txt": "timeout"}
    assert handled(tmp_path).count("die.txt") == 2, "it was not tried again alone"


@pytest.mark.slow
def test_weights_and_gpus_that_are_not_there(tmp_path: Path, cluster: Any) -> None:
    job = make_job(tmp_path, {"a.txt": "hello"}, extra='[compute]\ndevice = "cuda"')
    result = run(job, engine="ray")
    assert (result.exit_code, "no node of the Ray cluster has a GPU" in result.error) == (ExitCode.MISSING, True)
    job.write_text(
        job.read_text().replace('"cuda"', '"cpu"').replace("[step.options]", 'weights = "none"\n[step.options]')
    )
    result = run(job, engine="ray")
    assert (result.exit_code, result.reason, "'none'" in result.error) == (ExitCode.MISSING, "stopped", True)


@pytest.mark.slow
def test_two_actors_share_a_gpu(tmp_path: Path, cluster: Any) -> None:
    """Ray counts what it is told: one GPU, half for an actor, so two actors run at once and a third waits."""
    node = started(lambda: cluster.add_node(num_cpus=4, num_gpus=1))
    try:
        job = make_job(
            tmp_path, {f"{n}.txt": "text" for n in range(60)}, workers=0, options="seconds = 0.5\nalone = 1.0"
        )
        assert run(job, engine="ray").counts.done == 60
        assert len({record.worker for record in journal_records(tmp_path)}) == 2
    finally:
        cluster.remove_node(node)


def journal_records(folder: Path) -> list[Any]:
    from vitapps.pipelines.batch.journal import Journal

    journal = Journal(folder / "job.batch" / "journal.sqlite", read_only=True)
    try:
        return list(journal.records())
    finally:
        journal.close()
