"""Read a job file (TOML). Every fault is a UsageError that names file, line and key."""

from __future__ import annotations

import re
import stat
import string
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import NO_REDUCTION
from vitapps.pipelines.batch.job import Compute, Filters, Inputs, Job, Limits, Metrics, OnError, Output, Retry, Step
from vitapps.pipelines.batch.quantities import moment
from vitapps.pipelines.batch.tables import Source, read_table, read_value
from vitapps.pipelines.batch.task import TaskSpec, find_task
from vitapps.pipelines.batch.toml_lines import Key, key_lines

LAYOUT_FIELDS = ("parent", "stem", "name", "suffix", "step", "ext")
_TABLES = {"limits": Limits, "retry": Retry, "compute": Compute, "metrics": Metrics}
_SHARED = ("inputs", "output", "filters")
_PLAIN = ("name", "on_error", "state")
_STEP = ("name", "task", "weights", "reduce", "options", *_SHARED)
_LARGEST = 1 << 24  # bytes; a list of a hundred thousand inputs takes less
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def read_job(path: Path) -> Job:
    """Read and check a job file; imports its tasks, touches no input. Raises UsageError or UnreadableInputError."""
    table, source = _parse(path)
    for word in table:
        if word not in (*_PLAIN, *_SHARED, *_TABLES, "step"):
            known = ", ".join((*_PLAIN, *_SHARED, *_TABLES, "[[step]]"))
            raise source.error((word,), "unknown key", f"known: {known}")
    steps = table.get("step")
    if not isinstance(steps, list) or not steps:
        raise source.error(("step",), "there is no step", 'add [[step]] with task = "..."')
    name = _name(table.get("name", path.name.removesuffix(".toml")), ("name",), source)
    values: dict[str, Any] = {
        word: read_table(kind, table.get(word, {}), (word,), source) for word, kind in _TABLES.items()
    }
    if "on_error" in table:
        values["on_error"] = read_value(OnError, table["on_error"], ("on_error",), source)
    state = read_value(Path, table["state"], ("state",), source) if "state" in table else path.parent / f"{name}.batch"
    job = Job(
        path=path,
        name=name,
        state=state,
        steps=tuple(_step(item, ("step", index), table, source) for index, item in enumerate(steps)),
        **values,
    )
    _check_names(job, source)
    _check_tasks(job, source)
    return job


def _parse(path: Path) -> tuple[dict[str, Any], Source]:
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST:  # a pipe or a device may have no end
            raise UnreadableInputError(
                f"{path}: not a regular file of a few lines", hint="`vitapps batch init TASK` writes a job file"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UnreadableInputError(f"{path}: {what}", hint="`vitapps batch init TASK` writes a template") from None
    try:
        return tomllib.loads(text), Source(path, key_lines(text))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = found[1] if found else len(text.splitlines())
        raise UsageError(f"{path}:{line}: not TOML: {error}", hint="see https://toml.io for the syntax") from None


def _step(table: Any, key: Key, whole: Mapping[str, Any], source: Source) -> Step:
    if not isinstance(table, Mapping):
        raise source.error(key, "is not a table", "write [[step]]")
    for word in table:
        if word not in _STEP:
            raise source.error((*key, word), "unknown key", f"known: {', '.join(_STEP)}")
    if "task" not in table:
        raise source.error(key, "lacks the key 'task'", 'such as task = "rs.detect"')
    task = read_value(str, table["task"], (*key, "task"), source)
    try:
        kind = find_task(task)
    except UsageError as error:
        raise source.error((*key, "task"), error.message, error.hint) from None
    settings: Any = read_table(kind.Settings, table.get("options", {}), (*key, "options"), source)
    parts: dict[str, tuple[Any, Key]] = {
        word: (table[word], (*key, word)) if word in table else (whole.get(word), (word,)) for word in _SHARED
    }
    if parts["output"][0] is None:
        raise source.error(key, "there is no [output]", 'add [output] with folder = "..."')
    if parts["inputs"][0] is None:
        raise source.error(key, "there are no [inputs]", 'add [inputs] with glob = "..."')
    weights = table.get("weights")
    return Step(
        name=_name(table.get("name", task.replace(":", ".")), (*key, "name"), source),
        task=task,
        settings=settings,
        weights=None if weights is None else _weights(weights, (*key, "weights"), source),
        reduce=read_value(str, table.get("reduce", NO_REDUCTION), (*key, "reduce"), source),
        inputs=_inputs(*parts["inputs"], source=source),
        output=_output(*parts["output"], source=source),
        filters=_filters(parts["filters"][0] or {}, parts["filters"][1], source),
    )


def _inputs(table: Any, key: Key, source: Source) -> Inputs:
    found = read_table(Inputs, table, key, source)
    if not (found.glob or found.list_file or found.watch or found.url):
        raise source.error(key, "names no input", "give glob, list_file, watch or url")
    return found


def _output(table: Any, key: Key, source: Source) -> Output:
    found = read_table(Output, table, key, source)
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(found.layout) if name is not None}
    except ValueError as error:
        raise source.error((*key, "layout"), f"{found.layout!r}: {error}", "write {{ for a brace") from None
    known = ", ".join(f"{{{name}}}" for name in LAYOUT_FIELDS)
    if wrong := sorted(names - set(LAYOUT_FIELDS)):
        raise source.error((*key, "layout"), f"unknown field {{{wrong[0]}}}", f"known: {known}")
    if not names & {"stem", "name"}:
        raise source.error((*key, "layout"), "all inputs would share one output", "use {stem} or {name}")
    return found


def _filters(table: Any, key: Key, source: Source) -> Filters:
    found = read_table(Filters, table, key, source)
    for word in ("newer_than", "older_than"):
        if getattr(found, word) is not None:
            read_value(None, getattr(found, word), (*key, word), source, lambda value: moment(value, 0.0))
    return found


def _weights(value: Any, key: Key, source: Source) -> str:
    """A card name as it is; a path relative to the job file."""
    text: str = read_value(str, value, key, source)
    is_path = text.endswith((".toml", ".safetensors")) or ("/" in text and ":" not in text)
    return str(source.path.parent / Path(text).expanduser()) if is_path else text


def _name(value: Any, key: Key, source: Source) -> str:
    name: str = read_value(str, value, key, source)
    if not _SAFE_NAME.fullmatch(name):
        raise source.error(key, f"{name!r} is no name", "letters, digits, dot, dash and underscore")
    return name


def _check_names(job: Job, source: Source) -> None:
    names = [step.name for step in job.steps]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise source.error(("step", index), f"a second step {name!r}", 'give it another name = "..."')


def _check_tasks(job: Job, source: Source) -> None:
    for index, step in enumerate(job.steps):
        spec: TaskSpec = job.spec(step)
        try:
            step.task_class.check(spec)
        except UsageError as error:
            raise source.error(("step", index, "options"), error.message, error.hint) from None
