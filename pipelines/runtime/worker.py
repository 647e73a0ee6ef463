"""A child process that is made once and asked again and again: alternatives take turns, each with memory of its own."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from types import TracebackType
from typing import Any

from vitapps.errors import VitappsError
from vitapps.pipelines.runtime.measure import RESULT, failure, report


class Worker:
    """`module:function(**arguments)`, JSON arguments, in a fresh process. What the function returns is called for every
    `ask`; `peak` is the most memory that the process held up to its last answer, bytes."""

    def __init__(self, function: str, /, **arguments: Any) -> None:
        """Returns when the function has; raises VitappsError when it fails."""
        code = "from vitapps.pipelines.runtime.worker import worker_main; worker_main()"
        self._name, self.peak = function, 0
        self._said: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, function, json.dumps(arguments)], text=True,
            errors="replace", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self) -> Any:
        """What one more call returns. Raises VitappsError when the process has failed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(RESULT):
                told = json.loads(line.removeprefix(RESULT))
                self.peak = told["peak"]
                return told["value"]
            self._said.append(line)
        raise self._failed()

    def _failed(self) -> VitappsError:
        return failure(self._name, "".join(self._said), self._process.wait())


def worker_main() -> None:
    """Entry of the child process: argv is `module:function` and its arguments as JSON; a line of stdin is a call."""
    module, _, name = sys.argv[1].partition(":")
    call = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
    report(None)
    for _ in sys.stdin:
        report(call())
