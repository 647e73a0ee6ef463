"""`vitapps face liveness`, with its calibration, training and scoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from vitapps.apps.console import InputArgument, OutputOption, Run, WeightsOption, command
from vitapps.apps.face_groups import app, eval_app, train_app
from vitapps.apps.face_tables import liveness_lines
from vitapps.apps.face_trust import CalibrationOption, DataOption, calibrate_app
from vitapps.apps.terminal import columns

CropOption = Annotated[bool, typer.Option("--crop", help="The pictures are faces already: look for none in them.")]
JsonFileOption = Annotated[
    Path | None, typer.Option("--out", "-o", show_default=False, help="JSON file, with a run record beside it.")
]
ModelOption = Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card and weights.")]
PlotOption = Annotated[Path | None, typer.Option("--det", show_default=False, help="DET plot to write, PNG.")]


@command(app, "liveness")
def liveness(
    run: Run,
    picture: InputArgument,
    out: JsonFileOption = None,
    weights: WeightsOption = None,
    calibration: CalibrationOption = None,
    crop: CropOption = False,
    preview: Annotated[bool, typer.Option("--preview", help="What speaks for a spoof: OUT.preview.png.")] = False,
) -> None:
    """Live face, spoof (print or screen) or unsure, for a picture or a clip, with the operating point it is said at."""
    from vitapps.pipelines.face.liveness import Liveness, LivenessSettings
    from vitapps.pipelines.face.liveness_model import read_point

    settings = LivenessSettings(crop=crop, point=read_point(calibration) if calibration else None, preview=preview)
    result = Liveness(weights, settings, run.options).judge(picture, out, command=run.command_line)
    lines = [f"{result.verdict} (score {result.score:.2f}, {result.frames} frame{'s' * (result.frames != 1)})"]
    lines += [f"note: {note}" for note in result.warnings]
    point = result.operating_point
    said = f"live from {point['live_from']:.2f}, spoof below {point['spoof_below']:.2f}"
    run.emit(result.to_json(), [*lines, f"{said}: operating point of {point['source']}"])


@command(calibrate_app, "liveness")
def calibrate_liveness(
    run: Run,
    live: Annotated[Path, typer.Option("--live", show_default=False, help="Folder of live faces of your site.")],
    spoof: Annotated[Path, typer.Option("--spoof", show_default=False, help="Folder of attacks at your site.")],
    out: OutputOption,
    weights: WeightsOption = None,
    crop: CropOption = False,
    det: PlotOption = None,
    person: Annotated[
        str | None,
        typer.Option(
            "--person", show_default=False, help=r"Regular expression of the person in a file's name: '^\d+'."
        ),
    ] = None,
) -> None:
    """Fit the operating point of `face liveness` on your own pictures; prints APCER and BPCER before and after."""
    from vitapps.atomic import check_output, write_text
    from vitapps.pipelines.face.liveness_calibrate import calibrate
    from vitapps.pipelines.face.liveness_model import point_text

    for target in (out, *([det] if det else [])):
        check_output(target, overwrite=run.options.overwrite, sources=[live, spoof])
    found = calibrate(
        live, spoof, crop=crop, weights=weights, person=person, options=run.options, progress=run.progress
    )
    write_text(out, point_text(found.point), overwrite=run.options.overwrite)
    if det is not None:
        _write_det(run, det, {"this site": found.curve})
    table = [
        (name, f"{rates.apcer:.3f}", " ".join(f"{kind}:{value:.3f}" for kind, value in rates.apcer_by_type.items()),
         f"{rates.bpcer:.3f}", f"{rates.unsure:.3f}")
        for name, rates in (("before", found.before), ("after", found.after))
    ]  # fmt: skip
    lines = [*columns(("half not fitted on", "APCER", "by type", "BPCER", "unsure"), table), f"wrote {out}"]
    words = {item.name: getattr(found, item.name) for item in fields(found) if item.name != "curve"}
    run.emit({"output": out, "det": det, "calibration": words}, lines)


@command(train_app, "liveness")
def train_liveness(run: Run, data: DataOption, out: ModelOption) -> None:
    """Fit the liveness model on folders SOURCE/real and SOURCE/<attack type>."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.face.train_liveness import train

    card = train(data, out, threads=run.options.threads or 1, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(train_app, "liveness-net")
def train_liveness_net(
    run: Run,
    data: DataOption,
    out: ModelOption,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps a source.")] = 600,
    encoder: Annotated[
        Path | None, typer.Option("--encoder", show_default=False, help="An encoder.safetensors of face pretrain.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoints in --out.")] = False,
) -> None:
    """Train the liveness network (S098), source after source: no picture of an earlier source is shown again."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.face.train_liveness_net import LivenessFit, train
    from vitapps.pipelines.runtime.devices import cuda_devices

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = LivenessFit(steps=steps, encoder=encoder, seed=run.options.seed, threads=run.options.threads or 1)
    card = train(data, out, config, device=device, resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(app, "pretrain")
def pretrain(
    run: Run,
    data: DataOption,
    out: ModelOption,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2000,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Pre-train a face encoder on unlabelled aligned faces: masked regions and instance discrimination (FSFM)."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.face.pretrain import PretrainFit
    from vitapps.pipelines.face.pretrain import pretrain as learn
    from vitapps.pipelines.runtime.devices import cuda_devices

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = PretrainFit(steps=steps, seed=run.options.seed, threads=run.options.threads or 1)
    path = learn(data, out, config, device=device, resume=resume, progress=run.progress)
    run.emit({"encoder": path}, [f"wrote {path}"])


@command(eval_app, "liveness")
def evaluate_liveness(
    run: Run,
    data: DataOption,
    weights: WeightsOption = None,
    calibration: CalibrationOption = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-one-source-out", help="Fit machines here, each without the source it scores.")
    ] = False,
    network_steps: Annotated[
        int, typer.Option(min=0, help="Also networks, trained here for so many steps a source (needs torch).")
    ] = 0,
    det: PlotOption = None,
) -> None:
    """ISO/IEC 30107-3: APCER by attack type, BPCER, ACER, HTER and AUC by source, before and after a calibration on
    other people of it, beside colour LBP with an SVM."""
    from vitapps.atomic import check_output
    from vitapps.pipelines.face.liveness_eval import evaluate
    from vitapps.pipelines.face.liveness_model import read_point

    if det is not None:
        check_output(det, overwrite=run.options.overwrite, sources=[data])
    point = read_point(calibration) if calibration else None
    report = evaluate(
        data, weights=weights, point=point, leave_out=leave_out, network_steps=network_steps, options=run.options,
        progress=run.progress,
    )  # fmt: skip
    if det is not None:
        _write_det(run, det, report.curves)
    run.emit({"rows": report.rows, "verdicts": report.answers, "det": det}, liveness_lines(report))


def _write_det(run: Run, out: Path, curves: Mapping[str, tuple[Any, Any]]) -> None:
    """The DET plot of scores and labels (True: live) by name."""
    from vitapps.atomic import atomic_path
    from vitapps.pipelines.face.det_plot import det_plot
    from vitapps.pipelines.face.heat_map import save_png

    with atomic_path(out, overwrite=run.options.overwrite) as temporary:
        save_png(temporary, det_plot(curves, "APCER", "BPCER"))
