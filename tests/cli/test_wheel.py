"""What a user installs: the wheel, in an environment of its own folder, run from an empty directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vitapps import __version__
from vitapps.shared_backbones.weights.cards import list_cards

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "core": "vitapps",
    **{name: f"vitapps/{name}" for name in ("apps", "pipelines", "shared_backbones", "datasets", "papers")},
}
SHIPPED = {
    ".py", ".toml", ".safetensors", ".onnx", ".html", ".json", ".gz", ".tif", ".jpg", ".mp4", ".txt", ".csv", ".typed",
}  # fmt: skip
MODELS = {"brain-mr-synth", "trees-neon"}
needs_models = pytest.mark.skipif(not set(list_cards()) >= MODELS, reason="the models are not embedded yet")
HEAVY = {"torch", "timm", "torchvision", "monai"}
Installed = Callable[..., subprocess.CompletedProcess[str]]


def pip(*words: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network from a copy: a build folder of an earlier day must not slip in."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in (*FOLDERS, "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", dist, source)
    (found,) = dist.iterdir()
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Runs a program with the wheel's package in an empty directory."""
    target, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    pip("install", "--no-deps", "--no-index", "--target", target, wheel)
    environment = {**os.environ, "PYTHONPATH": str(target), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}

    def run(*words: str, folder: Path = empty) -> subprocess.CompletedProcess[str]:
        program = target / "bin" / words[0] if words[0] == "vitapps" else words[0]
        return subprocess.run(
            [str(program), *words[1:]],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    where = run(sys.executable, "-c", "import vitapps; print(vitapps.__file__)")
    assert where.stdout.strip() == str(target / "vitapps" / "__init__.py"), "another vitapps came first"
    return run


def test_the_wheel_holds_every_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in SHIPPED
    }
    assert inside == expected
    assert wheel.name == f"vitapps-{__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < 80_000_000


def test_the_licence_and_the_command_are_in_the_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("METADATA"))
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata


def test_commands_run_from_the_wheel(installed: Installed) -> None:
    assert installed("vitapps", "--version").stdout == f"vitapps {__version__}\n"
    assert "doctor" in installed("vitapps", "--help").stdout
    models = json.loads(installed("vitapps", "models", "list", "--json").stdout)["models"]
    assert [model["name"] for model in models] == list_cards()


@needs_models
def test_the_installation_is_whole(installed: Installed) -> None:
    doctor = installed("vitapps", "doctor", "--json")
    assert json.loads(doctor.stdout)["problems"] == []
    assert doctor.returncode == 0


@needs_models
def test_every_command_runs_from_the_wheel_without_torch(installed: Installed, tmp_path: Path) -> None:
    """The demo is every command in one process; whatever any of them imported is there at its end."""
    code = f"""
import json, sys
from vitapps.apps.main import main
code = main(["demo", "-o", "shown", "--device", "cpu", "--threads", "1", "--json"])
print(json.dumps(sorted(set(sys.modules) & {HEAVY!r})), file=sys.stderr)
sys.exit(code)
"""
    done = installed(sys.executable, "-c", code, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []
    shown = json.loads(done.stdout)
    assert {tuple(step["command"].split()[1:3]) for step in shown["steps"]} >= {
        ("medical", "segment"),
        ("rs", "detect"),
    }
    page = Path(shown["page"]).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 2
    assert "http://" not in page
    assert "https://" not in page
    assert [path.name for path in tmp_path.iterdir()] == ["shown"]
