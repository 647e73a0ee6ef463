"""What a batch does to one input. A task is a class that loads its model once per worker and then handles items.

A domain offers a task by one file, `pipelines/<domain>/batch_<task>.py`, whose class `BatchTask` extends `Task`: that
is the whole registration, `rs.detect` is found in `pipelines/rs/batch_detect.py`. A task of your own is named by its
import path, `task = "my_package.my_module:MyTask"`. The same class serves the local engine and Ray.
"""

from __future__ import annotations

import difflib
import importlib
import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from vitapps.errors import UsageError
from vitapps.options import RunOptions

_PIPELINES = Path(__file__).resolve().parents[1]
_FOLDERS = {"doc": "document"}  # the domain as typed on the command line -> its folder


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpec:
    """How a task is to work: picklable, the same for every item. `settings` is an instance of the task's `Settings`."""

    weights: str | None = None
    options: RunOptions = field(default_factory=RunOptions)
    settings: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One input and the main output to write; `command` reproduces it on a command line."""

    input: Path
    out: Path
    command: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemResult:
    """What a task made: every file it wrote, a picture to show if there is one, a few figures for the report."""

    outputs: tuple[Path, ...]
    preview: Path | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Task(ABC):
    """Handles items; `__init__` loads the model. Errors are VitappsErrors, as on the command line.

    Outputs must be written atomically (`vitapps.atomic`), and replaced: the driver has checked whose they are.
    """

    summary: ClassVar[str]  # one line
    patterns: ClassVar[tuple[str, ...]]  # of inputs, for the template of a job file
    Settings: ClassVar[type]  # a frozen dataclass: the keys of `[step.options]`
    default_weights: ClassVar[str | None] = None  # the card where a job names none; None: a task without weights
    takes_folders: ClassVar[bool] = False  # a folder (a DICOM series) can be an input

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec

    @abstractmethod
    def __call__(self, item: Item) -> ItemResult:
        """Read `item.input`, write `item.out` and what belongs to it."""

    @classmethod  # noqa: B027 -- most tasks have nothing more to refuse
    def check(cls, spec: TaskSpec) -> None:
        """Raise UsageError for settings that no input could fit; loads nothing."""

    @classmethod
    def weights(cls, spec: TaskSpec) -> dict[str, str]:
        """Name -> sha256 of the weights that will be used; raises MissingError. Loads no network."""
        if cls.default_weights is None:
            return {}
        from vitapps.shared_backbones.weights.cards import load_card

        card = load_card(spec.weights or cls.default_weights)
        return {card.name: card.sha256}

    @classmethod
    @abstractmethod
    def extension(cls, spec: TaskSpec) -> str:
        """What `{ext}` in the output layout stands for, such as `_detections.gpkg`."""

    @classmethod
    def stem(cls, path: Path) -> str:
        """What `{stem}` stands for."""
        return path.stem

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        """Files that an item with main output `out` replaces if they exist."""
        return (out,)

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        """The single command that does the same to one item."""
        return []

    @classmethod
    def modality(cls, path: Path) -> str | None:
        """DICOM modality or the like of an input, read from its header; None where it has none."""
        raise UsageError("filters.modality: this task's inputs have no modality", hint="remove the filter")


def task_names() -> list[str]:
    """Tasks that the domains offer, sorted: `medical.segment`, `rs.detect`; imports nothing."""
    short = {folder: name for name, folder in _FOLDERS.items()}
    return sorted(
        f"{short.get(path.parent.name, path.parent.name)}.{path.stem.removeprefix('batch_')}"
        for path in _PIPELINES.glob("*/batch_*.py")
    )


def find_task(name: str) -> type[Task]:
    """The class of a task, by name or by `module:Class`; raises UsageError with close matches."""
    if ":" in name:
        return _imported(name)
    if name not in task_names():
        close = difflib.get_close_matches(name, task_names(), 2)
        near = f"did you mean {' or '.join(close)}? " if close else ""
        raise UsageError(f"no task {name!r}", hint=f"{near}there are: {', '.join(task_names())}, or module:Class")
    domain, _, task = name.partition(".")
    module = importlib.import_module(f"vitapps.pipelines.{_FOLDERS.get(domain, domain)}.batch_{task}")
    found: type[Task] = module.BatchTask
    return found


def command_of(task: type[Task], spec: TaskSpec, item: Item) -> str:
    """The single command as one line for a shell, empty where a task has none; bytes outside UTF-8 are kept."""
    words = task.words(spec, item)
    return shlex.join(["vitapps", *words]) if words else ""


def option_words(options: RunOptions) -> list[str]:
    """The common options that differ from their defaults, as typed."""
    default = RunOptions()
    words = ["--overwrite"]
    for name in ("device", "engine", "precision", "threads", "seed", "reduce"):
        if getattr(options, name) != getattr(default, name):
            words += [f"--{name}", str(getattr(options, name))]
    return words


def _imported(name: str) -> type[Task]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"task {name!r}: {error}", hint=f"is it on PYTHONPATH? cwd is {os.getcwd()}") from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise UsageError(f"task {name!r} is no subclass of vitapps.pipelines.batch.task.Task", hint="derive it")
    return found
