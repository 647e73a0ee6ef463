"""The engine of a Ray cluster: actors that hold the task, as many works in flight as keep them busy.

The journal stays with the driver, so a job on a cluster is done exactly once by the same rules as on one machine. An
actor that dies, or whose node dies, costs the work in its hands, which is then tried again alone. Inputs and outputs
must have the same paths on every node (a shared file system, or inputs by URL).
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from vitapps.errors import MissingError, VitappsError
from vitapps.pipelines.batch.faults import Fault
from vitapps.pipelines.batch.quantities import shown_seconds
from vitapps.pipelines.batch.task import TaskSpec
from vitapps.pipelines.batch.work import Done, Work
from vitapps.require import require

_AHEAD = 2  # works an actor: one in its hands, one on the way
_CPUS = 1.0


class Holder:
    """What runs in an actor: the task, loaded once."""

    def __init__(self, task: str, spec: TaskSpec, path: list[str]) -> None:
        import sys

        sys.path[:] = [*sys.path, *(item for item in path if item not in sys.path)]
        from vitapps.pipelines.batch.task import find_task

        self._task = find_task(task)(spec)

    def handle(self, work: Work) -> Done:
        from vitapps.pipelines.batch.handle import handle

        return handle(self._task, work)


class RayEngine:
    """`workers` actors (0: one for each CPU of the cluster, or two a GPU), which Ray places and, if it can, scales."""

    def __init__(
        self, task: str, spec: TaskSpec, *, workers: int, address: str = "auto", timeout: float | None = None
    ) -> None:
        self._ray = require("ray", extra="ray")
        self._connect(address)
        on_gpu = spec.options.device.startswith("cuda") or bool(self._ray.cluster_resources().get("GPU"))
        if spec.options.device == "cpu":
            on_gpu = False
        resources = self._ray.cluster_resources()
        count = workers or int(2 * resources.get("GPU", 0) if on_gpu else resources.get("CPU", 1)) or 1
        self._actor = self._ray.remote(Holder).options(
            num_cpus=_CPUS, num_gpus=0.5 if on_gpu else 0, max_restarts=-1, max_task_retries=0
        )
        self._make = (task, spec)
        self._actors = [self._new() for _ in range(count)]
        self._timeout = timeout
        self._load: dict[int, int] = dict.fromkeys(range(count), 0)
        self._flight: dict[Any, tuple[Work, int, float]] = {}
        self._backlog: deque[Work] = deque()

    def free(self) -> int:
        return len(self._actors) * _AHEAD - len(self._flight) - len(self._backlog)

    def submit(self, work: Work) -> None:
        index = min(self._load, key=lambda item: self._load[item])
        self._load[index] += 1
        self._flight[self._actors[index].handle.remote(work)] = (work, index, time.monotonic())

    def poll(self, timeout: float) -> list[Done]:
        ready, _ = self._ray.wait(list(self._flight), num_returns=1, timeout=timeout)
        if ready:  # and whatever else is ready by now
            ready, _ = self._ray.wait(list(self._flight), num_returns=len(self._flight), timeout=0)
        return [self._take(reference) for reference in ready] + self._overdue()

    def pids(self) -> list[int]:
        return []  # actors belong to Ray

    def stop(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors, self._flight = [], {}

    def _take(self, reference: Any) -> Done:
        work, index, since = self._flight.pop(reference)
        self._load[index] -= 1
        try:
            done: Done = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise _plain(error) from error
        except self._ray.exceptions.ActorDiedError as error:
            cause = getattr(error, "cause", None) or error.__cause__
            if "creation task failed" in str(error) or cause is not None:
                raise _plain(error) from error
            return self._lost(work, since, str(error))
        except self._ray.exceptions.RayError as error:
            return self._lost(work, since, str(error))
        return done

    def _lost(self, work: Work, since: float, words: str) -> Done:
        first = words.strip().splitlines()[0] if words.strip() else "no reason given"
        fault = Fault("killed", f"the actor died: {first}", "a lost node, or a lack of memory")
        return Done(work.id, fault, seconds=round(time.monotonic() - since, 6))

    def _overdue(self) -> list[Done]:
        """Actors take works in turn: a work counts from when it was sent, so `ahead` times the limit is allowed."""
        if self._timeout is None:
            return []
        limit, done = self._timeout * _AHEAD, []
        for reference, (work, index, since) in list(self._flight.items()):
            if time.monotonic() - since > limit and reference in self._flight:
                self._ray.kill(self._actors[index], no_restart=True)
                self._actors[index] = self._new()
                words = f"not done after {shown_seconds(self._timeout)}"
                done += [Done(work.id, Fault("timeout", words, "limits.timeout sets the time"))]
                del self._flight[reference]
                self._load[index] -= 1
        return done

    def _new(self) -> Any:
        import sys

        return self._actor.remote(*self._make, list(sys.path))

    def _connect(self, address: str) -> None:
        if self._ray.is_initialized():
            return
        try:
            self._ray.init(
                address=None if address == "local" else address, log_to_driver=False, logging_level="ERROR",
                include_dashboard=False if address == "local" else None,
            )  # fmt: skip
        except Exception as error:  # Ray raises that very class when a node does not start in time
            raise MissingError(
                f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}",
                hint="`ray start --head` starts one; --address local starts one for this job alone",
            ) from error


def _plain(error: Exception) -> VitappsError:
    """What made the actor fail to load, as an error of ours."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, VitappsError):
        return cause
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return MissingError(f"the task cannot load in an actor: {lines[-1].strip()}", hint="is vitapps on every node?")
