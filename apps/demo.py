"""`vitapps demo`: every command on small bundled samples, and one page that shows what came out."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vitapps.apps.console import Run, command
from vitapps.errors import ExitCode, OutputError

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command of the demo. `sample` is `module:function` that writes the input file named `input`; `words` are the
    command's own words, in which `{input}`, `{out}` and `{text}` stand for paths in the demo's folder; what the
    command writes to the file named `text` is shown."""

    title: str
    about: str
    words: tuple[str, ...]
    sample: str = ""
    input: str = ""
    out: str = ""
    text: str = ""
    computes: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutcome:
    """What one command did: exit code, wall seconds, its JSON object, its run record, what it drew and wrote."""

    step: Step
    line: str
    code: int
    seconds: float
    result: dict[str, Any]
    record: dict[str, Any]
    picture: Path | None
    text: str = ""


STEPS = (
    Step(
        title="Brain structures in a head scan",
        about="A clinical FLAIR scan with thick slices (Lesjak et al. 2016, CC BY), segmented on its own grid.",
        words=("medical", "segment", "{input}", "-o", "{out}", "--preview"),
        sample="vitapps.datasets.samples:write_head_scan",
        input="head_flair.nii.gz",
        out="head_flair_seg.nii.gz",
    ),
    Step(
        title="Tree crowns in an aerial picture",
        about="A NEON tile of the Sierra Nevada (one of those the model was trained on), searched window by window.",
        words=("rs", "detect", "{input}", "-o", "{out}", "--preview"),
        sample="vitapps.datasets.samples:write_tree_tile",
        input="tree_tile.tif",
        out="trees.gpkg",
    ),
    Step(
        title="A printed page",
        about="Two columns that the program draws, turns and sprinkles with noise; read, and made a searchable PDF.",
        words=("doc", "ocr", "{input}", "-o", "{out}", "--sidecar", "{text}", "--preview"),
        sample="vitapps.datasets.samples.printed_page:write_printed_page",
        input="page.png",
        out="page.searchable.pdf",
        text="page.txt",
    ),
    Step(
        title="A boat that passes behind a pole",
        about="A clip that we painted; the boat is followed from its box in the first frame.",
        words=(
            "video",
            "track",
            "{input}",
            "-o",
            "{out}",
            "--box",
            "61,174,78,35",
            "--video",
            "{out}.mp4",
            "--preview",
        ),
        sample="vitapps.datasets.synth.moving_clip:write_moving_clip",
        input="boat.mp4",
        out="boat_track.csv",
    ),
    Step(
        title="An edited photograph",
        about="A public-domain portrait into which this program copied a part of the flag, found by itself.",
        words=("face", "localize", "{input}", "-o", "{out}", "--preview"),
        sample="vitapps.datasets.samples:write_edited_portrait",
        input="edited_portrait.png",
        out="edited_portrait_mask.png",
    ),
    Step(
        title="Live or shown?",
        about="An official photograph is no camera frame: the answer is about its texture, at an uncalibrated point.",
        words=("face", "liveness", "{input}", "-o", "{out}", "--preview"),
        sample="vitapps.datasets.samples:write_portrait",
        input="portrait.jpg",
        out="portrait_liveness.json",
    ),
    Step(
        title="Faces in a photograph",
        about="Two official portraits (US government, public domain): boxes, five landmarks and quality of each face.",
        words=("face", "detect", "{input}", "-o", "{out}", "--preview"),
        sample="vitapps.datasets.samples:write_portraits",
        input="two_portraits.jpg",
        out="two_portraits_faces.json",
    ),
    Step(
        title="A print before the camera?",
        about="The same portrait as a print of it would look (simulated), judged by the liveness network.",
        words=("face", "liveness", "{input}", "-o", "{out}", "--weights", "face-liveness-net", "--preview"),
        sample="vitapps.datasets.samples:write_printed_portrait",
        input="printed_portrait.png",
        out="printed_portrait_liveness.json",
    ),
    Step(
        title="Blended or not?",
        about="The portrait with a changed copy of its own face blended over it; such small differences stay unsure.",
        words=("face", "deepfake", "{input}", "-o", "{out}", "--preview"),
        sample="vitapps.datasets.samples:write_blended_portrait",
        input="blended_portrait.png",
        out="blended_portrait_deepfake.json",
    ),
    Step(
        title="The outline of the boat",
        about="The same clip; the boat's mask in the first frame is carried to all others, without any training.",
        words=("video", "segment", "{input}", "--mask", "{input}.png", "-o", "{out}", "--preview"),
        sample="vitapps.datasets.synth.moving_clip:write_clip_with_mask",
        input="boat_outline.mp4",
        out="boat_masks.mp4",
    ),
    Step(
        title="Where two digits drift to",
        about="Ten frames seen, ten predicted by a barely trained model, and what came (digits that it had not seen).",
        words=("video", "predict", "{input}", "-o", "{out}", "--at", "0.4", "--preview"),
        sample="vitapps.datasets.samples:write_moving_digits",
        input="digits.npy",
        out="digits_next.npz",
    ),
    Step(title="The embedded models", about="Their cards.", words=("models", "list"), computes=False),
    Step(title="This machine", about="What `vitapps doctor` found.", words=("doctor",), computes=False),
)


@command(app, "demo")
def demo(
    run: Run,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write; it is made if need be.")] = Path(
        "vitapps-demo"
    ),
) -> None:
    """Run every command on small samples and write one HTML page with the pictures, figures and timings."""
    from vitapps.apps.demo_page import write_page

    folder, page = out, out / "index.html"
    _prepare(folder, overwrite=run.options.overwrite)
    outcomes = []
    with run.progress.task("demo", total=len(STEPS)) as task:
        for step in STEPS:
            outcomes.append(perform(step, folder, run))
            task.advance()
    write_page(page, outcomes)
    steps = [{"command": item.line, "exit_code": item.code, "seconds": round(item.seconds, 2)} for item in outcomes]
    lines = [f"{item.seconds:6.1f} s  exit {item.code}  {item.line}" for item in outcomes]
    run.emit({"page": page.resolve(), "steps": steps}, [*lines, str(page.resolve())])
    failed = [item.line for item in outcomes if item.code != ExitCode.OK]
    if failed:
        raise typer.Exit(ExitCode.PARTIAL)


def perform(step: Step, folder: Path, run: Run) -> StepOutcome:
    """Write the sample of `step` into `folder` and run its command there, in this process."""
    names = {"input": str(folder / step.input), "out": str(folder / step.out), "text": str(folder / step.text)}
    if step.sample and not (folder / step.input).exists():
        module, function = step.sample.split(":")
        getattr(importlib.import_module(module), function)(folder / step.input)
    words = [word.format(**names) for word in step.words]
    options = _options(run) if step.computes else []
    said = io.StringIO()
    start = time.perf_counter()
    with contextlib.redirect_stdout(said):
        code = importlib.import_module("vitapps.apps.main").main([*words, *options, "--json", "--quiet"])
    if code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt  # the user meant the demo, not only this command
    result = json.loads(said.getvalue() or "{}")
    record, text = folder / f"{step.out}.run.json", folder / step.text
    return StepOutcome(
        step=step,
        line=shlex.join(["vitapps", *words]),
        code=code,
        seconds=time.perf_counter() - start,
        result=result,
        record=json.loads(record.read_text(encoding="utf-8")) if step.out and record.exists() else {},
        picture=Path(result["preview"]) if result.get("preview") else None,
        text=text.read_text(encoding="utf-8") if step.text and text.exists() else "",
    )


def _options(run: Run) -> list[str]:
    given = run.options
    return [
        f"--device={given.device}",
        f"--engine={given.engine}",
        f"--precision={given.precision}",
        f"--threads={given.threads}",
        *(["--overwrite"] if given.overwrite else []),
    ]


def _prepare(folder: Path, *, overwrite: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        holds = sorted(item.name for item in folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}", hint="give another -o") from error
    if holds and not overwrite:
        raise OutputError(f"{folder}: holds {holds[0]} already", hint="give another -o, or --overwrite")
