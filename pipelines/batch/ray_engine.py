"""The engine of a Ray cluster: Ray Data with an autoscaling pool of actors, each of which holds the task.

The driver feeds works into a streaming data set (`ray_feed.py`) and reads outcomes from its end; what is between is
Ray's: back-pressure, how many actors, on which nodes, and what is done again when a node dies. The journal stays with
the driver, so a job on a cluster is done exactly once by the same rules as on one machine. Within an actor the task
runs in a worker process of the local engine, which ends what hangs or outgrows its memory without losing the actor.
Inputs and outputs must have the same paths on every node (a shared file system, or inputs by URL).
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import sys
import threading
import time
from typing import Any

from vitapps.errors import MissingError, VitappsError
from vitapps.pipelines.batch.faults import fault_of
from vitapps.pipelines.batch.local import LocalEngine
from vitapps.pipelines.batch.task import TaskSpec
from vitapps.pipelines.batch.work import Done, Work
from vitapps.require import require

_AHEAD = 3  # works an actor: one in its hands, one on the way, one that makes Ray want another actor
_LOOK = 10.0  # seconds between looks at the size of the cluster
_QUIET = 5.0  # seconds without news after which the tail is asked for, or four times the longest work so far
_CPUS = 1.0


class Holder:
    """What runs in an actor: one worker process, which loads the task once. A row is a work in, a Done out."""

    def __init__(self, path: list[str], packed: bytes) -> None:
        sys.path[:] = [*sys.path, *(item for item in path if item not in sys.path)]
        task, spec, limits = pickle.loads(packed)  # by now the modules of its classes are found
        self._engine = LocalEngine(task, spec, workers=1, **limits)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        work: Work = pickle.loads(row["work"])
        self._engine.submit(work)
        try:
            while not (done := self._engine.poll(1.0)):
                pass
        except VitappsError as error:  # the task cannot load: no work of this step can be done
            done = [Done(work.id, fault_of(error))]
        return {"done": pickle.dumps(done[0])}


class RayEngine:
    """`workers` actors at most (0: as many as Ray finds room for), each with `gpu_share` of a GPU if there is one."""

    def __init__(
        self, task: str, spec: TaskSpec, *, workers: int, address: str = "auto", timeout: float | None = None,
        memory: int | None = None, gpu_share: float = 0.5,
    ) -> None:  # fmt: skip
        if address == "local":  # read when Ray is imported: no address but the loopback, nothing to reach from outside
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        self._ray = require("ray", extra="ray")
        _connect(self._ray, address)
        resources = self._ray.cluster_resources()
        self._share = gpu_share if _wants_gpu(spec, resources) else 0.0
        self._workers, self._slots, self._looked = workers, 0, float("-inf")
        self._holds = pickle.dumps((task, spec, {"timeout": timeout, "memory": memory}))
        self._flight: set[int] = set()
        self._arrived: queue.Queue[Done | VitappsError] = queue.Queue()
        self._feeder: Any = None  # of the data set that takes works; None when there is none
        self._reader: threading.Thread | None = None
        self._heard = self._longest = 0.0

    def free(self) -> int:
        """Room for `_AHEAD` works an actor of the cluster as it is now, and of one more; none while a tail runs out."""
        if self._flight and self._feeder is None:
            return 0
        if time.monotonic() - self._looked > _LOOK:
            self._looked, self._slots = time.monotonic(), self._room()
        return max(0, _AHEAD * (self._slots + 1) - len(self._flight))

    def submit(self, work: Work) -> None:
        if self._feeder is None:
            self._open()
        self._flight.add(work.id)
        self._heard = max(self._heard, time.monotonic())
        self._feeder.put.remote(pickle.dumps(work))

    def poll(self, timeout: float) -> list[Done]:
        """See `Engine`. Raises VitappsError when Ray gives up.

        After a while without news the feed is closed. Only when its input has ended does Ray Data give up idle actors,
        whose place an actor of a lost node may need to start again with the works in its hands.
        """
        done: list[Done] = []
        try:
            arrived = self._arrived.get(timeout=timeout)
            while True:
                if isinstance(arrived, VitappsError):
                    raise arrived
                if arrived.id in self._flight:  # done again after a fault, it may come twice
                    self._flight.remove(arrived.id)
                    done.append(arrived)
                    self._longest = max(self._longest, arrived.seconds)
                self._heard = time.monotonic()
                arrived = self._arrived.get_nowait()
        except queue.Empty:
            pass
        quiet = max(_QUIET, 4 * self._longest)
        if self._flight and self._feeder is not None and time.monotonic() - self._heard > quiet:
            self._feeder.close.remote()
            self._feeder = None
        return done

    def pids(self) -> list[int]:
        return []  # actors belong to Ray

    def stop(self) -> None:
        """Let the data set end; with works in flight by taking its source away: it fails and ends its actors."""
        if self._feeder is not None and self._flight:
            self._ray.kill(self._feeder)
        elif self._feeder is not None:
            self._feeder.close.remote()
        self._feeder = None
        if self._reader is not None:
            self._reader.join(timeout=60)

    def _open(self) -> None:
        """A lazy data set from works to outcomes, and the thread that draws from it."""
        import ray.data
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from vitapps.pipelines.batch.ray_feed import Feed, Feeder

        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it says reaches the user as an error
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        beside = {"num_cpus": 0, "scheduling_strategy": here}  # it dies with the driver's node, and with no other
        self._feeder = ray.remote(Feeder).options(**beside).remote()
        self._heard = float("inf")  # no outcome yet, and actors may take long to start
        context = ray.data.DataContext.get_current()  # of this process; a data set takes it when it is made
        context.target_max_block_size = 1  # a row a block: an outcome is told when it is there
        context.enable_progress_bars = False
        works = ray.data.read_datasource(Feed(self._feeder), override_num_blocks=1, ray_remote_args=beside)
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=self._workers or None, max_tasks_in_flight_per_actor=2)
        outcomes = works.map(
            Holder, fn_constructor_args=(list(sys.path), self._holds), compute=pool, num_cpus=_CPUS,
            num_gpus=self._share or None,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(outcomes,), name="vitapps-ray", daemon=True)
        self._reader.start()

    def _read(self, outcomes: Any) -> None:
        try:
            for batch in outcomes.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
                for done in batch["done"].to_pylist():
                    self._arrived.put(pickle.loads(done))
        except Exception as error:  # whatever Ray raises when it gives up
            lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
            self._arrived.put(VitappsError(f"Ray gave up: {lines[-1].strip()}", hint="run the job again: it goes on"))

    def _room(self) -> int:
        resources = self._ray.cluster_resources()
        slots = int(resources.get("CPU", 0) / _CPUS)
        if self._share:
            slots = min(slots, int(resources.get("GPU", 0) / self._share))
        return max(1, min(slots, self._workers) if self._workers else slots)


def _wants_gpu(spec: TaskSpec, resources: dict[str, float]) -> bool:
    """Whether the actors get a share of a GPU. Raises MissingError when the job wants one that the cluster lacks."""
    there = bool(resources.get("GPU"))
    if spec.options.device.startswith("cuda") and not there:
        raise MissingError(
            f"device {spec.options.device!r}: no node of the Ray cluster has a GPU", hint="device = 'cpu'"
        )
    return there and spec.options.device != "cpu"


def _connect(ray: Any, address: str) -> None:
    """Join the cluster, once a process; Ray itself leaves it, or ends the local one, at the end of the process."""
    if ray.is_initialized():
        return
    alone = address == "local"
    for last in (False, True):
        try:
            ray.init(
                address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False if alone else None
            )
            return
        except Exception as error:  # Ray raises that very class when a node does not start in time: 30 s, fixed
            if last or not alone:
                raise MissingError(
                    f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}",
                    hint="`ray start --head` starts one; --address local starts one for this job alone",
                ) from error
