"""What importing costs and does: `--help` is instant, nothing is printed, nothing of others is shadowed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from vitapps.apps.main import SUBCOMMANDS

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"core": "vitapps", **{name: f"vitapps.{name}" for name in ("apps", "pipelines", "datasets", "papers")}}
HEAVY = ("torch", "numpy", "timm", "torchvision", "monai", "scipy", "openvino", "rasterio", "nibabel")
HELP_CPU_SECONDS = 0.5


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", *arguments, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def help_cpu_seconds() -> float:
    """CPU time (user and system) of `vitapps --help`: unlike wall time it does not count waiting for other jobs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_python("from vitapps.apps.main import main; raise SystemExit(main(['--help']))")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_the_help_says_what_the_commands_say_of_themselves() -> None:
    """The table of `vitapps --help` is written down, so that no domain is imported for it."""
    for name, text in SUBCOMMANDS.items():
        found = typer.main.get_command(importlib.import_module(f"vitapps.apps.{name}").app)
        assert " ".join((found.help or "").split()) == text, name
    done = run_python(
        "import sys; from vitapps.apps.main import main; code = main(['--help']);"
        "print([name for name in sys.modules if name.startswith('vitapps.apps.video')]); raise SystemExit(code)"
    )
    assert done.returncode == 0 and done.stdout.strip().endswith("[]"), done.stdout
    assert all(f" {name} " in done.stdout for name in SUBCOMMANDS)


def test_help_is_instant() -> None:
    assert min(help_cpu_seconds() for _ in range(5)) < HELP_CPU_SECONDS


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["medical", "--help"], ["rs", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import contextlib, io, sys
from vitapps.apps.main import main
with contextlib.redirect_stdout(io.StringIO()):
    main({arguments!r})
print(*sorted(set(sys.modules) & set({HEAVY!r})))
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def modules() -> list[str]:
    roots = {**FOLDERS, "shared_backbones": "vitapps.shared_backbones"}
    found = []
    for folder, package in roots.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found.append(".".join([package, *(part for part in parts if part != "__init__")]))
    return found


def test_importing_everything_says_nothing() -> None:
    """Every module, each warning that it raises itself counted: dependencies may warn, we may not."""
    code = f"""
import contextlib, importlib, io, json, logging, sys, warnings
said = io.StringIO()
faults = []
with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    for name in {modules()!r}:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            importlib.import_module(name)
        faults += [f"{{name}}: {{item.message}}" for item in caught if {str(ROOT)!r} in item.filename]
faults += [f"said: {{line}}" for line in said.getvalue().splitlines()]
faults += ["handlers on the vitapps logger"] if logging.getLogger("vitapps").handlers else []
torch = sys.modules.get("torch")
faults += ["CUDA was initialised"] if torch is not None and torch.cuda.is_initialized() else []
print(json.dumps(faults))
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_the_name_datasets_is_not_ours(tmp_path: Path) -> None:
    """Hugging Face's `datasets` must stay importable beside us, from any folder."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import importlib.util as u; print(u.find_spec('datasets'))"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ""},
        check=True,
    )
    assert str(ROOT) not in done.stdout
    found = importlib.util.find_spec("datasets")
    assert found is None or ROOT not in Path(str(found.origin)).parents


def test_the_network_is_refused() -> None:
    with pytest.raises(Exception, match="socket"):
        socket.create_connection(("127.0.0.1", 9), timeout=1)


def test_openvino_is_imported_in_one_place() -> None:
    """Only `load_openvino` leaves its telemetry out."""
    places = [path for folder in (*FOLDERS, "shared_backbones") for path in (ROOT / folder).rglob("*.py")]
    wanted = re.compile(r"""^\s*(import|from) openvino\b|(require|import_module)\("openvino""", re.MULTILINE)
    found = [path.relative_to(ROOT).as_posix() for path in places if wanted.search(path.read_text(encoding="utf-8"))]
    assert found == ["shared_backbones/engines/openvino.py"]


def test_one_openvino_core_a_process() -> None:
    """`open_core` says why."""
    places = [path for folder in (*FOLDERS, "shared_backbones") for path in (ROOT / folder).rglob("*.py")]
    found = [path.relative_to(ROOT).as_posix() for path in places if "Core()" in path.read_text(encoding="utf-8")]
    assert found == ["shared_backbones/engines/openvino.py"]
