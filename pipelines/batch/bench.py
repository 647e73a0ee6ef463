"""`vitapps bench batch`: what the machinery costs an item, what the journal can take, and a job beside a shell loop."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vitapps.atomic import write_text
from vitapps.datasets.samples import write_tree_tile
from vitapps.errors import VitappsError
from vitapps.pipelines.batch.identity import FileId, read_of
from vitapps.pipelines.batch.job_file import read_job
from vitapps.pipelines.batch.journal import Journal
from vitapps.pipelines.batch.run import RunChoices, run_job
from vitapps.pipelines.batch.task import Item, ItemResult, Task, TaskSpec
from vitapps.pipelines.batch.work import Done, Work

COPY = "vitapps.pipelines.batch.bench:Copy"
_CODE = "import sys; from vitapps.apps.main import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True, kw_only=True, slots=True)
class NoSettings:
    """Nothing to choose."""


class Copy(Task):
    """The least that a task can do: read the input, write an output. Only its surroundings cost anything."""

    summary = "copies text"
    patterns = ("*.txt",)
    Settings = NoSettings

    def __call__(self, item: Item) -> ItemResult:
        write_text(item.out, item.input.read_text(encoding="utf-8"), overwrite=True)
        return ItemResult(outputs=(item.out,))

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return ".copy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Overhead:
    """CPU milliseconds an item: `loop` calls the task in a for-loop and hashes input and output as a job must,
    `batch` is the whole job (driver and worker), per item beyond its start; `overhead` the difference.

    `fixed` CPU seconds of a job without items; `journal` items a second that claim and finish can record alone.
    """

    items: int
    loop: float
    batch: float
    overhead: float
    fixed: float
    journal: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Against:
    """A job beside single commands over the same files. CPU seconds an item, and their ratio; wall items/s as well."""

    files: int
    commands: int
    batch_cpu: float
    loop_cpu: float
    ratio: float
    batch_rate: float
    loop_rate: float


def measure_overhead(items: int, *, rounds: int = 3) -> Overhead:
    """Interleaved rounds, the median of each: job of `items`, job of a tenth, plain loop."""
    small, many, loops = [], [], []
    with tempfile.TemporaryDirectory(prefix="vitapps-bench-") as folder:
        for number in range(rounds):
            small.append(_cpu(lambda at=number: _copy_job(Path(folder) / f"s{at}", items // 10)))  # type: ignore[misc]
            many.append(_cpu(lambda at=number: _copy_job(Path(folder) / f"m{at}", items)))  # type: ignore[misc]
            loops.append(_cpu(lambda at=number: _copy_loop(Path(folder) / f"l{at}", items)))  # type: ignore[misc]
        journal = journal_rate(Path(folder) / "journal.sqlite", max(items, 1000))
    batch = (_median(many) - _median(small)) / (items - items // 10)
    loop = _median(loops) / items
    return Overhead(
        items=items, loop=round(1e3 * loop, 4), batch=round(1e3 * batch, 4), overhead=round(1e3 * (batch - loop), 4),
        fixed=round(max(0.0, _median(small) - batch * (items // 10)), 3), journal=round(journal, 1),
    )  # fmt: skip


def journal_rate(path: Path, items: int, group: int = 4) -> float:
    """Items a CPU second that the journal alone can claim and finish, `group` in a commit (a small job's share)."""
    journal = Journal(path)
    journal.begin("bench", {})
    start = time.process_time()
    for first in range(0, items, group):
        works = [Work(n, f"/data/in/{n:08d}.tif", Path(f"/data/out/{n:08d}.gpkg")) for n in range(first, first + group)]
        journal.claim("s", works, {work.id: (FileId(work.key, 1, 1), "o", "w") for work in works})
        made = FileId("/data/out/x.gpkg", 1, 1, "0" * 64)
        journal.finish("s", [(work, Done(work.id, None, made, (made,)), True) for work in works])
    spent = time.process_time() - start
    journal.close()
    return items / spent


def measure_against_loop(task: str, sample: Path | None, *, weights: str | None, files: int, commands: int) -> Against:
    """`files` copies of `sample` (None: the bundled tree tile) by one job, the first `commands` by single commands.

    Raises what either raises.
    """
    commands = min(commands, files)
    with tempfile.TemporaryDirectory(prefix="vitapps-bench-") as name:
        folder = Path(name)
        (folder / "in").mkdir()
        if sample is None:
            sample = folder / "tile.tif"
            write_tree_tile(sample)
        suffix = "".join(sample.suffixes)
        for number in range(files):
            shutil.copyfile(sample, folder / "in" / f"{number:04d}{suffix}")
        chosen = f'weights = "{weights}"\n' if weights else ""
        job = folder / "job.toml"
        job.write_text(
            f'[inputs]\nglob = "in/*"\n[output]\nfolder = "out"\n[[step]]\nname = "bench"\ntask = "{task}"\n{chosen}',
            encoding="utf-8",
        )
        words = task.split(".")
        loop_words = [*words, *(["--weights", weights] if weights else [])]
        start = time.monotonic()
        loop = _cpu(lambda: _singles(loop_words, folder, commands, suffix))
        loop_wall, start = time.monotonic() - start, time.monotonic()
        batch = _cpu(lambda: _run(job))
        batch_wall = time.monotonic() - start
    return Against(
        files=files, commands=commands, batch_cpu=round(batch / files, 4), loop_cpu=round(loop / commands, 4),
        ratio=round((loop / commands) / (batch / files), 2), batch_rate=round(files / batch_wall, 2),
        loop_rate=round(commands / loop_wall, 2),
    )  # fmt: skip


def _singles(words: list[str], folder: Path, commands: int, suffix: str) -> None:
    for number in range(commands):
        _single(words, folder, number, suffix)


def _single(words: list[str], folder: Path, number: int, suffix: str) -> None:
    command = [*words, str(folder / "in" / f"{number:04d}{suffix}"), "--quiet"]
    if words[0] == "rs":
        command += ["-o", str(folder / f"single{number}.gpkg")]
    done = subprocess.run([sys.executable, "-P", "-c", _CODE, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise VitappsError(f"the single command failed: {done.stderr.strip()}", hint="try it by hand")


def _copy_job(folder: Path, items: int) -> None:
    _make_inputs(folder, items)
    job = folder / "job.toml"
    job.write_text(
        f'[inputs]\nglob = "in/*.txt"\n[output]\nfolder = "out"\n[limits]\nworkers = 1\n[[step]]\ntask = "{COPY}"\n',
        encoding="utf-8",
    )
    _run(job)


def _copy_loop(folder: Path, items: int) -> None:
    _make_inputs(folder, items)
    (folder / "out").mkdir()
    task = Copy(TaskSpec(settings=NoSettings()))
    for path in sorted((folder / "in").iterdir()):
        out = folder / "out" / f"{path.stem}.copy"
        read_of(path)
        task(Item(input=path, out=out))
        read_of(out)


def _make_inputs(folder: Path, items: int) -> None:
    (folder / "in").mkdir(parents=True)
    for number in range(items):
        (folder / "in" / f"{number:06d}.txt").write_text("a small input\n" * 20, encoding="utf-8")


def _run(job: Path) -> None:
    result = run_job(read_job(job), RunChoices())
    if result.exit_code:
        raise VitappsError(result.error or f"the job ended with exit code {result.exit_code}", hint=result.hint)


def _cpu(call: Callable[[], object]) -> float:
    """User and system seconds of this process and of its children that ended."""
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    call()
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
