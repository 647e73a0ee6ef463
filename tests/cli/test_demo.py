"""`vitapps demo`: one page that stands alone, whatever the commands did."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np
import pytest
import typer
from PIL import Image

from vitapps.apps import demo
from vitapps.apps.console import InputArgument, OutputOption, Run, command, group
from vitapps.apps.main import main
from vitapps.datasets import samples
from vitapps.datasets.formats.picture import read_picture
from vitapps.errors import ExitCode, UnreadableInputError

FAKE = demo.Step(
    title="Squares & <circles>",
    about="A fake.",
    words=("rs", "work", "{input}", "-o", "{out}", "--sidecar", "{text}"),
    sample="fake_sample:write",
    input="tile.tif",
    out="found.gpkg",
    text="said.txt",
)
FAILING = demo.Step(title="Failing", about="A fake.", words=("rs", "fail", "{input}", "-o", "{out}"), input="tile.tif")
STOPPED = demo.Step(title="Stopped", about="A fake.", words=("rs", "stop", "{input}", "-o", "{out}"), input="tile.tif")
DOCTOR = demo.STEPS[-1]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the steps of the demo by the given ones, on a fake domain `rs` and a fake sample."""
    app = group("A fake domain.")

    @command(app, "work")
    def work(
        run: Run, tile: InputArgument, out: OutputOption, sidecar: Annotated[Path, typer.Option("--sidecar")]
    ) -> None:
        """Work."""
        sidecar.write_text("What is <read>\n")
        picture = out.with_suffix(".png")
        Image.new("RGB", (4, 4), (255, 0, 0)).save(picture)
        record = {"timings": {"search": 1.25}, "engine": "abacus", "warnings": ["a <warning>"]}
        out.with_name(f"{out.name}.run.json").write_text(json.dumps(record))
        counts = [{"name": "square", "count": index} for index in range(100)]
        run.emit({"preview": picture, "count": 4950, "shape": [4, 4], "classes": counts, "mean": float("nan")})

    @command(app, "fail")
    def fail(run: Run, tile: InputArgument, out: OutputOption) -> None:
        """Fail."""
        raise UnreadableInputError("tile.tif: is a fake", hint="give a real one")

    @command(app, "stop")
    def stop(run: Run, tile: InputArgument, out: OutputOption) -> None:
        """Stop."""
        raise KeyboardInterrupt

    domain, sample = ModuleType("vitapps.apps.rs"), ModuleType("fake_sample")
    domain.app = app  # type: ignore[attr-defined]
    sample.write = lambda path: path.write_bytes(b"tile")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vitapps.apps.rs", domain)
    monkeypatch.setitem(sys.modules, "fake_sample", sample)
    return lambda *chosen: monkeypatch.setattr(demo, "STEPS", chosen)


class Page(HTMLParser):
    """Texts, pictures and addresses of a page; tags must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_the_page_stands_alone_and_says_everything(
    steps: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps(FAKE)
    out = tmp_path / "shown"
    assert main(["demo", "-o", str(out), "--json"]) == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["page"] == str(out / "index.html")
    assert [step["exit_code"] for step in shown["steps"]] == [0]
    page = Page(Path(shown["page"]).read_text(encoding="utf-8"))
    assert {"Squares & <circles>", "a <warning>", "4950", "4 × 4", "1.25", "and 40 more", "What is <read>"} <= set(
        page.texts
    )
    assert any("engine abacus" in text for text in page.texts)
    pictures = [address for address in page.addresses if address.startswith("data:image/png;base64,")]
    assert len(pictures) == 1
    assert set(page.addresses) - set(pictures) == {"#s1", "found.gpkg"}


def test_a_command_that_fails_is_shown_and_the_others_run(
    steps: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps(FAILING, FAKE)
    assert main(["demo", "-o", str(tmp_path / "shown")]) == ExitCode.PARTIAL
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines[:2]] == ["3", "0"]
    page = Page(Path(lines[-1]).read_text(encoding="utf-8"))
    assert {"exit code 3", "tile.tif: is a fake", "give a real one"} <= set(page.texts)


def test_a_folder_that_holds_something_is_left_alone(
    steps: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps(FAKE)
    (tmp_path / "index.html").write_text("mine")
    assert main(["demo", "-o", str(tmp_path)]) == ExitCode.OUTPUT
    assert "index.html" in capsys.readouterr().err
    assert (tmp_path / "index.html").read_text() == "mine"
    assert main(["demo", "-o", str(tmp_path), "--overwrite"]) == ExitCode.OK
    assert main(["demo", "-o", str(tmp_path / "index.html" / "below")]) == ExitCode.OUTPUT


def test_an_interrupted_command_ends_the_demo(steps: Callable[..., None], tmp_path: Path) -> None:
    steps(STOPPED, FAKE)
    assert main(["demo", "-o", str(tmp_path)]) == ExitCode.INTERRUPTED
    assert list(tmp_path.iterdir()) == []


def test_a_printed_page_is_shown_with_its_text() -> None:
    (step,) = [step for step in demo.STEPS if step.words[:2] == ("doc", "ocr")]
    assert step.text and step.words[step.words.index("--sidecar") + 1] == "{text}" and "--preview" in step.words


def test_every_step_names_commands_and_samples_that_exist(tmp_path: Path) -> None:
    for step in demo.STEPS:
        assert main([*step.words[:2], "--help"]) == ExitCode.OK


def test_the_demo_shows_each_question_of_trust_on_pictures_that_are_ours(tmp_path: Path) -> None:
    """A liveness, a deepfake and a localisation example; each altered sample differs where it says."""
    steps = {step.input: step for step in demo.STEPS if step.words[0] == "face"}
    assert {step.words[1] for step in steps.values()} >= {"liveness", "deepfake", "localize", "detect"}
    samples.write_portrait(tmp_path / "portrait.jpg")
    plain = read_picture(tmp_path / "portrait.jpg").pixels.astype(int)
    face = np.s_[41:205, 182:306]
    for name, share in (("edited_portrait.png", 0.0), ("blended_portrait.png", 0.5), ("printed_portrait.png", 0.9)):
        module, _, function = steps[name].sample.partition(":")
        getattr(importlib.import_module(module), function)(tmp_path / name)
        changed = np.abs(read_picture(tmp_path / name).pixels.astype(int) - plain).max(axis=2) > 4
        assert changed.any() and changed[face].mean() >= share
        assert share > 0 or not changed[face].any()
    sizes = [read_picture(tmp_path / name).pixels.shape for name in steps if (tmp_path / name).exists()]
    assert set(sizes) == {plain.shape}
