"""Every bad file through every command: one line that names the file, the right exit code, no harm to what exists."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

import pytest

from fakes import discs, volume_network
from fakes.bad_files import BAD_FILES
from vitapps.apps.main import main
from vitapps.apps.terminal import printable
from vitapps.options import RunOptions
from vitapps.shared_backbones.engines import load
from vitapps.shared_backbones.engines.model import CompiledModel
from vitapps.shared_backbones.weights.cards import load_card

COMMANDS = {"medical": ("segment", "out.nii.gz"), "rs": ("detect", "out.gpkg")}
CARDS = {"medical": volume_network, "rs": discs}  # small real graphs: what is wrong with a file is no model's concern
OLD = b"an earlier result"
SECONDS = 20
BOMBS = [name for name in BAD_FILES if "bomb" in name or "enormous" in name or "endless" in name]
PEAK_MEMORY = 1_500_000_000
REAL_LOAD = load.load_model


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """A command that waits for a pipe would wait for ever."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer within {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@cache
def compiled(card: Path) -> CompiledModel:
    return REAL_LOAD(load_card(card), RunOptions(threads=1))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {name: str(maker.write_graph_card(tmp_path_factory.mktemp(name))) for name, maker in CARDS.items()}


@pytest.fixture(autouse=True)
def one_load_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each card is compiled once for all files."""
    monkeypatch.setattr(load, "load_model", lambda card, options: compiled(card.folder / f"{card.name}.toml"))


@pytest.mark.parametrize("domain", CARDS)
@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(
    name: str,
    domain: str,
    tmp_path: Path,
    weights: dict[str, str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad_file = BAD_FILES[name]
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    path = bad_file.make(tmp_path / "in")
    verb, out = COMMANDS[domain]
    target = tmp_path / "out" / out
    target.write_bytes(OLD)
    with time_limit(SECONDS):
        words = [domain, verb, str(path), "-o", str(target), "--overwrite", "--threads", "1", "-w", weights[domain]]
        code = main(words)
    shown = capfd.readouterr()
    assert code in bad_file.expected(domain), shown.err
    assert "Traceback" not in shown.err
    if code == 0:
        assert target.read_bytes() != OLD
        return
    assert shown.out == ""
    assert os.listdir(target.parent) == [out]
    assert target.read_bytes() == OLD
    errors = [line for line in shown.err.splitlines() if line.startswith("vitapps: error: ")]
    assert len(errors) == 1
    assert (bad_file.named or printable(path.name)) in errors[0]
    assert shown.err.splitlines()[-1].startswith("hint: ")


def test_there_are_enough_of_them() -> None:
    assert len(BAD_FILES) >= 40


@pytest.mark.parametrize("domain", CARDS)
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_stay_within_memory(name: str, domain: str, tmp_path: Path, weights: dict[str, str]) -> None:
    """A few bytes that claim to be terabytes are refused by what they claim, not by what they do to the machine.

    Peak memory is the kernel's VmHWM: `ru_maxrss` of a child starts at what its parent held.
    """
    path = BAD_FILES[name].make(tmp_path)
    verb, out = COMMANDS[domain]
    code = f"""
import sys
from pathlib import Path
from vitapps.apps.main import main
code = main({[domain, verb, str(path), "-o", str(tmp_path / out), "--threads", "1", "-w", weights[domain]]!r})
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024)
sys.exit(code)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=6 * SECONDS, check=False
    )
    assert done.returncode in BAD_FILES[name].expected(domain), done.stderr
    assert int(done.stdout.split()[-1]) < PEAK_MEMORY


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize(("domain", "name"), [("medical", "scan.nii"), ("rs", "tile.tif")])
def test_a_file_that_may_not_be_read(
    domain: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(b"secret")
    path.chmod(0)
    verb, out = COMMANDS[domain]
    assert main([domain, verb, str(path), "-o", str(tmp_path / out)]) == 3
    assert name in capsys.readouterr().err
