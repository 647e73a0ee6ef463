"""A process of ours at the end of a pipe: a plain `python -c`, not a process of `multiprocessing`, which would run the
caller's main module again. It dies with its parent, whatever ends that."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2)


class Child:
    """Runs `module.main(link)` in a new process and sends it `messages`; `link` is our end of the pipe."""

    def __init__(self, module: str, messages: Sequence[Any]) -> None:
        self.link, other = multiprocessing.Pipe()
        code = f"from vitapps.pipelines.batch.child import run; run({module!r}, {other.fileno()}, {os.getpid()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[other.fileno()], stdin=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C in the terminal is for the driver, which drains
        )  # fmt: skip
        other.close()
        with suppress(OSError):  # it died at once: seen by whoever reads the link
            for message in (sys.path, *messages):
                self.link.send(message)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """Kill: every output is whole or absent at any moment, so nothing is gained by asking."""
        self._process.kill()
        self._process.wait()
        self.link.close()

    def ending(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    def resident(self) -> int:
        """Resident bytes; 0 where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")


def run(module: str, handle: int, parent: int) -> None:
    """The first words of the new process: take over the parent's module path, then `module.main(link)`."""
    import importlib

    _die_with(parent)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # systemd sends it to all processes of a unit; the driver drains
    link = Connection(handle)
    try:
        sys.path[:] = link.recv()
    except EOFError:
        return
    importlib.import_module(module).main(link)


def _die_with(parent: int) -> None:
    """Linux: be killed when the parent dies, so that no orphan writes beside the next run."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)
