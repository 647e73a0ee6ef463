"""The job on a local Ray of two nodes, one of which dies in the middle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fakes.batch_job import handled, make_job, outputs, run
from vitapps.errors import ExitCode
from vitapps.pipelines.batch.status import job_status


def test_without_ray_the_message_is_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run(make_job(tmp_path, {"a.txt": "hello"}), engine="ray")
    assert result.exit_code == ExitCode.MISSING
    assert "'ray' is not installed" in result.error
    assert "vitapps[ray]" in result.hint


@pytest.mark.slow
def test_two_nodes_and_the_death_of_one(tmp_path: Path, socket_enabled: None) -> None:
    """Needs a machine that is not busy: Ray gives a node 30 s to start, and nothing changes that."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        texts = {f"{number:02d}.txt": f"text {number}" for number in range(24)} | {"xx.txt": "bad"}
        job = make_job(tmp_path, texts, workers=2, options="seconds = 0.5")

        class KillNode:
            done = 0

            def event(self, kind: str, fields: object, counts: object) -> None:
                self.done += kind == "item_done"
                if kind == "item_done" and self.done == 8:
                    cluster.remove_node(second, allow_graceful=False)

        result = run(job, KillNode(), engine="ray")  # type: ignore[arg-type]
        assert (result.exit_code, result.counts.done, result.counts.failed) == (ExitCode.PARTIAL, 24, 1)
        assert len(outputs(tmp_path)) == 24
        assert job_status(tmp_path / "job.batch").items == {"shout": {"done": 24, "failed": 1}}
        twice = len(handled(tmp_path)) - len(texts)
        assert 0 <= twice <= 4, "more was done twice than was in flight"
        again = run(job, engine="ray")
        assert (again.counts.skipped, again.counts.done) == (24, 0)
    finally:
        ray.shutdown()
        cluster.shutdown()
