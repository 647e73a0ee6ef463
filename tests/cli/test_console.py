"""The command line itself: options, errors, exit codes, JSON, completion, closed pipes."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
import typer

from vitapps import __version__
from vitapps.apps import main as root
from vitapps.apps.console import InputArgument, OutputOption, Run, Talk, command, group
from vitapps.apps.failure import explain
from vitapps.apps.terminal import columns, printable
from vitapps.errors import ExitCode, OutOfMemoryError, UnreadableInputError
from vitapps.options import RunOptions

Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """`vitapps rs …` with a domain of one command `work` that shows its run or raises what it is told to."""
    app = group("A fake domain.")
    failures: dict[str, BaseException] = {
        "input": UnreadableInputError("a.tif: truncated\nat byte 3", hint="copy it again"),
        "bug": ZeroDivisionError("division by zero"),
        "memory": MemoryError(),
        "domain-memory": OutOfMemoryError("512 GiB needed", hint="--window smaller"),
        "disk": OSError(errno.ENOSPC, "No space left on device", "out.tif"),
        "interrupt": KeyboardInterrupt(),
        "native": RuntimeError("std::bad_alloc"),
    }

    @command(app, "work")
    def work(run: Run, tile: InputArgument, out: OutputOption, fail: Annotated[str, typer.Option()] = "") -> None:
        """Work."""
        logging.getLogger("vitapps.fake").info("information")
        logging.getLogger("vitapps.fake").warning("warning")
        if fail:
            raise failures[fail]
        with run.progress.task("working", total=1) as task:
            task.advance()
        run.emit({"tile": tile, "out": out, "options": run.options, "line": run.command_line}, [f"wrote {out}"])

    module = ModuleType("vitapps.apps.rs")
    module.app = app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vitapps.apps.rs", module)
    return lambda *words: root.main(["rs", *words])


def test_results_go_to_stdout_and_the_rest_to_stderr(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("work", "a.tif", "-o", "b.tif") == ExitCode.OK
    shown = capsys.readouterr()
    assert shown.out == "wrote b.tif\n"
    assert shown.err == "vitapps: warning: warning\n"


@pytest.mark.parametrize(
    ("flag", "expected"), [("--quiet", ""), ("-v", "vitapps: info: information\nvitapps: warning: warning\n")]
)
def test_verbose_and_quiet(call: Call, capsys: pytest.CaptureFixture[str], flag: str, expected: str) -> None:
    assert call("work", "a.tif", "-o", "b.tif", flag) == ExitCode.OK
    assert capsys.readouterr().err == expected


def test_every_common_option_reaches_the_pipeline(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--device cpu --engine torch --precision exact --threads 3 --overwrite --seed 5 --json --quiet"
    assert call("work", "a b.tif", "-o", "b.tif", *options.split()) == ExitCode.OK
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "tile": "a b.tif",
        "out": "b.tif",
        "options": {
            "device": "cpu",
            "engine": "torch",
            "precision": "exact",
            "threads": 3,
            "overwrite": True,
            "seed": 5,
            "reduce": "none",
        },
        "line": f"vitapps rs work 'a b.tif' -o b.tif {options}",
    }


def test_defaults_are_those_of_the_library(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    call("work", "a.tif", "-o", "b.tif", "--json")
    shown = json.loads(capsys.readouterr().out)["options"]
    assert RunOptions(**shown) == RunOptions()


FAILURES = [
    ("input", 3, r"a.tif: truncated\nat byte 3", "copy it again"),
    ("bug", 1, "unexpected ZeroDivisionError: division by zero", "--verbose"),
    ("memory", 7, "out of memory", "smaller"),
    ("domain-memory", 7, "512 GiB needed", "--window smaller"),
    ("native", 7, "out of memory", "smaller"),
    ("disk", 5, "out.tif: No space left on device", "free some space"),
    ("interrupt", 130, "interrupted", ""),
]


@pytest.mark.parametrize(("name", "code", "message", "hint"), FAILURES)
def test_each_failure_is_one_line_a_hint_and_a_code(
    call: Call, capsys: pytest.CaptureFixture[str], name: str, code: int, message: str, hint: str
) -> None:
    assert call("work", "a.tif", "-o", "b.tif", "--fail", name, "--quiet") == code
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert shown.out == ""
    assert lines[0].startswith("vitapps: error: ")
    assert message in lines[0]
    assert len(lines) == (2 if hint else 1)
    assert not hint or (lines[1].startswith("hint: ") and hint in lines[1])


@pytest.mark.parametrize(("name", "code", "message", "hint"), FAILURES)
def test_each_failure_is_one_json_object(
    call: Call, capsys: pytest.CaptureFixture[str], name: str, code: int, message: str, hint: str
) -> None:
    assert call("work", "a.tif", "-o", "b.tif", "--fail", name, "--json") == code
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) == {"error", "hint", "exit_code"}
    assert message in shown["error"]
    assert hint in shown["hint"]
    assert shown["exit_code"] == code


def test_the_traceback_is_shown_only_when_asked_for(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    call("work", "a.tif", "-o", "b.tif", "--fail", "bug")
    assert "Traceback" not in capsys.readouterr().err
    call("work", "a.tif", "-o", "b.tif", "--fail", "bug", "--verbose")
    assert "Traceback" in capsys.readouterr().err


USAGE = [
    ([], "Missing argument"),
    (["a.tif"], "Missing option '--out'"),
    (["a.tif", "-o", "b", "--engine", "abacus"], "'abacus' is not one of"),
    (["a.tif", "-o", "b", "--threads", "-1"], "--threads"),
    (["a.tif", "-o", "b", "--device", "gpu"], "'gpu': no such device"),
    (["a.tif", "-o", "b", "--device", "cuda:"], "'cuda:': no such device"),
    (["a.tif", "-o", "b", "--device", "cuda:²"], "no such device"),
    (["a.tif", "-o", "b", "--nonsense"], "--nonsense"),
]


@pytest.mark.parametrize(("words", "message"), USAGE)
def test_usage_errors(call: Call, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert call("work", *words) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert call("work", *words, "--json") == ExitCode.USAGE
    assert json.loads(capsys.readouterr().out)["exit_code"] == ExitCode.USAGE


def test_a_gpu_that_is_absent_is_named(
    call: Call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitapps.pipelines.runtime.devices.cuda_devices", list)
    assert call("work", "a.tif", "-o", "b.tif", "--device", "cuda") == ExitCode.MISSING
    assert "no CUDA GPU" in capsys.readouterr().err


def test_a_typing_error_gets_the_close_match(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.main(["modles"]) == ExitCode.USAGE
    assert "Did you mean 'models'?" in capsys.readouterr().err
    assert root.main(["models", "inof"]) == ExitCode.USAGE
    assert "Did you mean 'info'?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["rs"]])
def test_a_bare_group_prints_its_help(call: Call, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert root.main(words) == ExitCode.USAGE
    assert "Usage: vitapps" in capsys.readouterr().out


def test_version_and_help(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert root.main(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out == f"vitapps {__version__}\n"
    assert call("work", "--help") == ExitCode.OK
    shown = capsys.readouterr().out
    for option in ("--device", "--engine", "--precision", "--threads", "--overwrite", "--json", "--verbose", "--quiet"):
        assert option in shown


def test_a_command_that_computes_nothing_takes_no_device(capsys: pytest.CaptureFixture[str]) -> None:
    app = group("A fake domain.")

    @command(app, "show")
    def show(talk: Talk) -> None:
        """Show."""
        talk.emit({"a": 1}, ["a 1"])

    run = typer.main.get_command(app)
    run.main(["show", "--json"], "fake", standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    with pytest.raises(typer.TyperException):
        run.main(["show", "--device", "cpu"], "fake", standalone_mode=False)


def test_completion_names_domains_and_commands() -> None:
    def complete(line: str) -> list[str]:
        words = line.split(" ")
        environment = {
            **os.environ,
            "_VITAPPS_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        code = "from vitapps.apps.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout.split()

    assert complete("vitapps mod") == ["models"]
    assert set(complete("vitapps models ")) >= {"list", "info", "quantize"}


def test_a_reader_that_leaves_is_no_error() -> None:
    code = """
import sys
from vitapps.apps.failure import guarded
from vitapps.apps.terminal import write_lines
sys.exit(guarded(lambda: [write_lines(["line"] * 10000) for _ in range(20)] and None, []))
"""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == ExitCode.OK
        assert process.stderr.read() == b""


def test_tables_and_names_stay_on_their_lines() -> None:
    assert columns(("A", "NAME"), [("1", "x"), (22, None)]) == ["A   NAME", "1   x", "22  None"]
    assert printable(Path("a\nb\x1b[31m")) == "a\\nb\\x1b[31m"
    assert printable(os.fsdecode(b"caf\xe9")) == "caf\\xe9"
    assert printable("grün 木") == "grün 木"


def test_a_torch_that_is_not_imported_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert explain(RuntimeError("anything"))[2] == ExitCode.UNEXPECTED
    assert "torch" not in sys.modules


@pytest.mark.parametrize("words", [("models", "info"), ("batch", "status")])
def test_a_name_that_no_file_can_have_is_no_bug(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert root.main([*words, "/" + "long" * 200]) in (ExitCode.UNREADABLE_INPUT, ExitCode.MISSING)
    shown = capsys.readouterr().err
    assert "longlong" in shown
    assert "unexpected" not in shown
