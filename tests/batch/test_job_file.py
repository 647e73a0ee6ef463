"""The job file: what it may say, and messages that name the line and the key."""

from __future__ import annotations

import os
import time
from datetime import datetime
from datetime import time as day_time
from pathlib import Path

import pytest

from fakes.batch_task import NAME
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.batch import quantities
from vitapps.pipelines.batch.check import write_template
from vitapps.pipelines.batch.inputs import list_inputs
from vitapps.pipelines.batch.job import Filters, Inputs
from vitapps.pipelines.batch.job_file import read_job
from vitapps.pipelines.batch.quantities import DayWindow, Share
from vitapps.pipelines.batch.task import find_task, task_names
from vitapps.pipelines.batch.toml_lines import key_lines, line_of

GOOD = f"""\
name = "night"            # line 1
[inputs]
glob = [
    "in/*.txt",           # line 4
    "more/[a-c].txt",
]
[output]
folder = "out"
[limits]
workers = 2               # line 10
memory = "2 GB"
timeout = "90 s"
window = "22:00-06:00"
max_failed = "2%"
[[step]]
task = "{NAME}"           # line 16
[[step]]
name = "again"
task = "{NAME}"
options = {{ times = 3 }}  # line 20
[step.output]
folder = "out2"           # line 22
layout = "{{step}}/{{name}}{{ext}}"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "night.toml"
    path.write_text(text)
    return path


def test_a_good_file(tmp_path: Path) -> None:
    job = read_job(written(tmp_path, GOOD))
    assert (job.name, job.state) == ("night", tmp_path / "night.batch")
    assert [step.name for step in job.steps] == ["fakes.batch_task.Shout", "again"]
    assert job.steps[0].output.folder == tmp_path / "out"
    assert (job.steps[1].output.folder, job.steps[1].settings.times) == (tmp_path / "out2", 3)
    assert job.steps[1].inputs.glob == ("in/*.txt", "more/[a-c].txt")
    assert (job.limits.memory, job.limits.timeout, job.limits.max_failed) == (2 * 10**9, 90.0, Share(2, True))
    assert job.limits.window == DayWindow(day_time(22), day_time(6))


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("workers = 2", 'workers = "two"', 10, "limits.workers"),
        ("workers = 2", "gpu_share = 1.5", 10, "limits.gpu_share"),
        ("workers = 2", 'share_networks = "yes"', 10, "limits.share_networks"),
        ("workers = 2", "workrs = 2", 10, "did you mean workers"),
        ("workers = 2", "workers = -1", 10, "0 or more"),
        ('memory = "2 GB"', 'memory = "2 Gx"', 11, "a size such as"),
        ('timeout = "90 s"', 'timeout = "soon"', 12, "a duration such as"),
        ('"22:00-06:00"', '"22:00"', 13, "a window of the day"),
        ('"2%"', '"200%"', 14, "a share such as"),
        (f'task = "{NAME}"           # line 16', 'task = "rs.detcet"', 16, "did you mean rs.detect"),
        (f'task = "{NAME}"           # line 16', "", 15, "lacks the key 'task'"),
        ("options = { times = 3 }", "options = { tims = 3 }", 20, "step[1].options.tims: unknown key"),
        ("options = { times = 3 }", "options = { times = 30 }", 20, "too loud"),
        ('name = "again"', 'name = "fakes.batch_task.Shout"', 17, "a second step"),
        ('name = "again"', 'name = "a/b"', 18, "is no name"),
        ("{step}/", "{date}/", 23, "unknown field {date}"),
        ("{step}/{name}{ext}", "{step}{ext}", 23, "share one output"),
        ('folder = "out2"', "", 21, "lacks the key 'folder'"),
        ("[limits]", "[limit]", 9, "unknown key"),
        ('folder = "out"\n', 'folder = "out\n', 8, "not TOML"),
    ],
)
def test_messages_name_line_and_key(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        read_job(path)
    assert caught.value.message.startswith(f"{path}:{line}: "), caught.value.message
    assert said in str(caught.value)
    assert caught.value.hint


def test_a_file_without_sense(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInputError, match="No such file"):
        read_job(tmp_path / "none.toml")
    for text, said in (("", "no step"), (f'[[step]]\ntask = "{NAME}"', "no \\[output\\]"),
                       (f'[output]\nfolder="o"\n[inputs]\n[[step]]\ntask = "{NAME}"', "names no input")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            read_job(written(tmp_path, text))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a device without an end is looked for")
def test_nothing_is_waited_for_and_nothing_without_an_end_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(1 << 30)
    for path in (Path("/dev/zero"), *sorted(tmp_path.iterdir()), tmp_path / ("long" * 200), tmp_path / "none.toml"):
        with pytest.raises(UnreadableInputError, match=path.name):
            read_job(path)


def test_lines_of_keys_survive_strings_and_arrays() -> None:
    text = 'a = """\n[not]\nb = 1\n"""\nc = [ # [x]\n 1,\n]\n"d e".f = "#]"\n'
    text += "[t.u]\nv = 1\n[[w]]\n[[w]]\nx = {y = 1}\n[w.z]\nq = 0\n"
    lines = key_lines(text)
    assert lines[("a",)] == 1
    assert lines[("c",)] == 5
    assert lines[("d e", "f")] == 8
    assert (lines[("t", "u", "v")], lines[("w", 1, "x")], lines[("w", 1, "z", "q")]) == (10, 13, 15)
    assert ("b",) not in lines
    assert line_of(lines, ("w", 1, "x", "y")) == 13
    assert line_of(lines, ("nothing",)) == 1


def test_quantities() -> None:
    assert [quantities.duration(text) for text in ("90", "90 s", "1.5 min", "2h", "1 day", "3 days", 5)] == [
        90, 90, 90, 7200, 86400, 259200, 5
    ]  # fmt: skip
    assert [quantities.size(text) for text in ("5", "2 kB", "2 KiB", "1.5 MB")] == [5, 2000, 2048, 1_500_000]
    assert (Share(2, True).of(149), Share(3).of(5)) == (2, 3)
    window = quantities.day_window("22:00-06:00")
    hours = [hour for hour in range(24) if window.holds(datetime(2026, 1, 1, hour))]
    assert hours == [0, 1, 2, 3, 4, 5, 22, 23]
    assert quantities.moment("1 day", 100000.0) == 13600.0
    assert quantities.moment("2026-01-31", 0.0) == datetime(2026, 1, 31).timestamp()
    assert [quantities.shown_seconds(value) for value in (1.25, 75, 7300, 90000)] == [
        "1.2 s", "1 min 15 s", "2 h 1 min", "1 d 1 h"
    ]  # fmt: skip


def test_the_domains_offer_their_tasks() -> None:
    assert {"medical.segment", "rs.detect"} <= set(task_names())


@pytest.mark.parametrize("name", [*task_names(), NAME])
def test_the_template_is_a_job_file_once_its_gaps_are_filled(tmp_path: Path, name: str) -> None:
    path = write_template(name, tmp_path / "job.toml")
    job = read_job(path)
    assert job.steps[0].settings == find_task(name).Settings()
    text = path.read_text()
    lines = [line[2:] if line.startswith("# ") and " = " in line and "..." not in line else line
             for line in text.splitlines()]  # fmt: skip
    path.write_text("\n".join(line for line in lines if not line.startswith(("state =", "prometheus", "list_file"))))
    assert read_job(path).limits == job.limits.__class__(
        memory=4 * 10**9, window=quantities.day_window("22:00-06:00"), share_networks=True
    )  # every default in the template is the default


def test_inputs_of_all_kinds(tmp_path: Path) -> None:
    task = find_task(NAME)
    for name in ("a/1.txt", "a/b/2.txt", "c/3.txt", "c/4.log"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    (tmp_path / "list.txt").write_text("# ours\nin/c/4.log\n\nin/gone.txt\n")

    def names(inputs: Inputs, **filters: object) -> list[tuple[str, str]]:
        found, _ = list_inputs(inputs, Filters(**filters), task, tmp_path)  # type: ignore[arg-type]
        return [(os.path.relpath(item.key, tmp_path), item.parent) for item in found]

    every = [("in/a/1.txt", "a"), ("in/a/b/2.txt", "a/b"), ("in/c/3.txt", "c")]
    assert names(Inputs(glob=("in/**/*.txt", "in/a/*.txt"))) == every
    assert names(Inputs(list_file=tmp_path / "list.txt")) == [("in/c/4.log", ""), ("in/gone.txt", "")]
    assert names(Inputs(glob=("in/**/*.txt",)), exclude=("b/*.txt",)) == [every[0], every[2]]
    assert names(Inputs(glob=("in/**/*.txt",)), min_size=8) == [every[1]]
    assert names(Inputs(glob=("in/**/*.txt",)), max_size=7) == [every[0], every[2]]
    os.utime(tmp_path / "in/a/1.txt", (time.time() - 90000,) * 2)
    assert names(Inputs(glob=("in/**/*.txt",)), newer_than="1 day") == every[1:]
    assert names(Inputs(glob=("in/**/*.txt",)), older_than="1 day") == every[:1]


def test_two_inputs_for_one_output(tmp_path: Path) -> None:
    from fakes.batch_job import make_job, run

    job = make_job(tmp_path, {"a.txt": "1", "a.b.txt": "2"})
    (tmp_path / "in" / "sub").mkdir()
    (tmp_path / "in" / "sub" / "a.txt").write_text("3")
    text = job.read_text().replace('"in/*.txt"', '"in/**/*.txt"')
    job.write_text(text.replace('folder = "out"', 'folder = "out"\nlayout = "{stem}{ext}"'))
    result = run(job)
    assert result.exit_code == 2
    assert "would write it" in result.error
