"""A task whose right answer is known, and whose inputs can ask for every kind of trouble. Small enough to run often.

An input is text. Words in it are obeyed: `bad`, `bug`, `sleep 3`, `hang`, `hold`, `die`, `greedy 300` (MiB), `full`,
`flaky`.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from vitapps.atomic import write_text
from vitapps.errors import MissingError, UnreadableInputError, UsageError
from vitapps.pipelines.batch.task import Item, ItemResult, Task, TaskSpec

NAME = "fakes.batch_task:Shout"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """`ledger` is a file that gets a line for every time that an item is handled; `seconds` are slept a time.

    While no second worker has come (`workers` beside the ledger has a line for each) an item sleeps `alone` seconds, so
    that a job for two does not end before a busy machine has started the second.
    """

    times: int = 1
    mark: str = "!"
    ledger: Path | None = None
    seconds: float = 0.0
    alone: float = 0.0


class Shout(Task):
    """Writes the input in capitals with a mark."""

    summary = "shouts"
    patterns = ("*.txt",)
    Settings = Settings

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        if spec.weights == "none":
            raise MissingError("weights 'none' are missing", hint="install them")
        if spec.settings.alone:
            note(spec.settings.ledger.with_name("workers"), f"{os.getpid()}\n")

    def __call__(self, item: Item) -> ItemResult:
        settings = self.spec.settings
        if settings.ledger is not None:
            note(settings.ledger, f"{item.input.name}\n")
        time.sleep(settings.alone if settings.alone and one_worker(settings.ledger) else settings.seconds)
        text = item.input.read_text()
        obey(text, item)
        write_text(item.out, text.upper() + settings.mark * settings.times, overwrite=self.spec.options.overwrite)
        return ItemResult(outputs=(item.out,), summary={"letters": len(text)})

    @classmethod
    def check(cls, spec: TaskSpec) -> None:
        if spec.settings.times > 9:
            raise UsageError(f"times {spec.settings.times}: too loud", hint="9 at most")

    @classmethod
    def weights(cls, spec: TaskSpec) -> dict[str, str]:
        return {"voice": spec.weights or "0" * 64}

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return ".loud"

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        return ["shout", str(item.input), "-o", str(item.out)]


def note(path: Path, line: str) -> None:
    """Append, whole or not at all, from any process."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, line.encode())
    os.close(handle)


def one_worker(ledger: Path) -> bool:
    """Whether no second worker has started."""
    return len(ledger.with_name("workers").read_text().splitlines()) < 2


def obey(text: str, item: Item) -> None:
    """Do what the input asks for."""
    words = text.split()
    if "bad" in words:
        raise UnreadableInputError(f"{item.input}: not a text", hint="write it again")
    if "bug" in words:
        raise ValueError("a fault of the program")
    if "full" in words:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(item.out))
    if "flaky" in words:
        tried = item.input.with_suffix(".tried")
        if not tried.exists():
            tried.touch()
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(item.input))
    if "die" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in words:
        time.sleep(3600)
    while "hold" in words and not (item.input.parent.parent / "go").exists():
        time.sleep(0.02)
    if "sleep" in words:
        time.sleep(float(words[words.index("sleep") + 1]))
    if "greedy" in words:
        held = bytearray(int(words[words.index("greedy") + 1]) << 20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(2)
