"""`vitapps face verify | embed | index | search | forget`, with training and scoring of the templates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitapps.apps.console import OutputOption, Run, Talk, WeightsOption, command
from vitapps.apps.face_find import DataOption, ModelOption
from vitapps.apps.face_groups import app, eval_app, train_app
from vitapps.apps.face_tables import verify_lines
from vitapps.apps.face_trust import CalibrationOption, calibrate_app
from vitapps.apps.terminal import columns

PictureArgument = Annotated[Path, typer.Argument(metavar="PICTURE", show_default=False, help="A photograph of a face.")]
KeyOption = Annotated[
    Path | None,
    typer.Option("--key", show_default=False, help="Key file of an encrypted index; index makes a new one."),
]
IndexOption = Annotated[Path, typer.Option("--index", "-i", show_default=False, help="A file of `vitapps face index`.")]
FmrHelp = "Rate of false matches at which is decided: one of those that the card states."


@command(app, "verify")
def verify(
    run: Run,
    first: PictureArgument,
    second: PictureArgument,
    weights: WeightsOption = None,
    fmr: Annotated[float, typer.Option("--fmr", help=FmrHelp)] = 0.01,
    calibration: CalibrationOption = None,
) -> None:
    """Say whether the largest faces of two pictures are of one person, with its probability and operating point."""
    from vitapps.pipelines.face.verify import reliable
    from vitapps.pipelines.face.verify import verify as compare

    found = compare(first, second, fmr=fmr, weights=weights, calibration=calibration, options=run.options)
    doubts = [f"{item.input}: {doubt}" for item in (found.first, found.second) for doubt in item.doubts]
    line = f"{found.decision}: similarity {found.similarity:.3f}, "
    if (point := found.point) is None:
        line += "no threshold was measured for these weights (`vitapps face calibrate verify`)"
    else:
        line += f"threshold {point.threshold:.3f} at a false match rate of {point.fmr:g} (misses {point.fnmr:.0%} of"
        line += f" true pairs); probability {found.probability:.2f}"
        if found.decision == "unsure" and reliable(found.first.face) and reliable(found.second.face):
            doubts.append("more alike than most pairs of two people, less than that rate asks for")
    run.emit(found.to_json(), [line, *doubts])


@command(calibrate_app, "verify")
def calibrate_verify(
    run: Run,
    people: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="Pictures as NAME/x.jpg.")],
    out: OutputOption,
    weights: WeightsOption = None,
) -> None:
    """Measure the operating points of `face verify` and `face search` on people of yours, for any weights."""
    from vitapps.atomic import check_output, write_text
    from vitapps.pipelines.face.verifier_calibrate import calibrate, calibration_text

    check_output(out, overwrite=run.options.overwrite, sources=[people])
    found = calibrate(people, weights=weights, options=run.options, progress=run.progress)
    write_text(out, calibration_text(found), overwrite=run.options.overwrite)
    rows = [(f"{p.fmr:g}", f"{p.fnmr:.3f}", f"{p.threshold:.3f}") for p in found.operating_points]
    about = f"wrote {out}: {found.pictures} pictures of {found.people} people, {found.skipped} without a face"
    run.emit({"output": out, "calibration": found}, [*columns(("FMR", "FNMR", "threshold"), rows), about])


@command(app, "embed")
def embed(
    run: Run,
    pictures: Annotated[list[Path], typer.Argument(metavar="INPUT...", show_default=False, help="Photographs.")],
    out: OutputOption,
    weights: WeightsOption = None,
) -> None:
    """Write the templates of pictures as .npz: templates n d of length 1, files, boxes, model."""
    from vitapps.pipelines.face.verify import embed as write_templates

    number = write_templates(
        pictures, out, weights=weights, options=run.options, progress=run.progress, command=run.command_line
    )
    run.emit({"output": out, "templates": number}, [f"wrote {out}: {number} templates"])


@command(app, "index")
def index(
    run: Run,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="Pictures as NAME/x.jpg or NAME.jpg.")
    ],
    out: OutputOption,
    key: KeyOption = None,
    weights: WeightsOption = None,
) -> None:
    """Enrol the faces of a folder in an index file, encrypted with --key."""
    from vitapps.pipelines.face.gallery import build_index

    found = build_index(
        folder, out, key=key, weights=weights, options=run.options, progress=run.progress, command=run.command_line
    )
    shape = "encrypted" if found.encrypted else "not encrypted"
    lines = [f"wrote {out}: {found.faces} faces of {found.people} people, {shape}"]
    run.emit(found.to_json(), [*lines, *(f"skipped {reason}" for reason in found.skipped.values())])


@command(app, "search")
def search(
    run: Run,
    picture: PictureArgument,
    index: IndexOption,
    key: KeyOption = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Matches to show.")] = 5,
    weights: WeightsOption = None,
    fmr: Annotated[float, typer.Option("--fmr", help=FmrHelp)] = 0.001,
    calibration: CalibrationOption = None,
    by: Annotated[
        Literal["numpy", "faiss"], typer.Option("--by", help="Both compare with every face; faiss for millions.")
    ] = "numpy",
) -> None:
    """Find the enrolled faces that are most like the largest face of a picture."""
    from vitapps.pipelines.face.gallery import SearchSettings
    from vitapps.pipelines.face.gallery import search as find

    found = find(
        picture, index, key=key, settings=SearchSettings(top=top, fmr=fmr, by=by), weights=weights,
        calibration=calibration, options=run.options,
    )  # fmt: skip
    rows = [
        (item.decision, f"{item.similarity:.3f}", "" if item.probability is None else f"{item.probability:.2f}",
         item.name, item.file, str(item.id))
        for item in found.matches
    ]  # fmt: skip
    about = f"{found.enrolled} faces compared"
    if found.point is not None:
        about += f" at a false match rate of {found.point.fmr:g}: about {found.expected:.2g} wrong matches are to be"
        about += " expected"
    head = ("decision", "similarity", "probability", "name", "file", "id")
    run.emit(found.to_json(), [*columns(head, rows), about])


@command(app, "forget")
def forget(
    talk: Talk,
    index: Annotated[Path, typer.Argument(metavar="INDEX", show_default=False, help="A file of `vitapps face index`.")],
    name: Annotated[str | None, typer.Option("--name", show_default=False, help="All faces of this name.")] = None,
    number: Annotated[int | None, typer.Option("--id", show_default=False, help="The face with this id.")] = None,
    key: KeyOption = None,
) -> None:
    """Delete faces from an index: their templates are overwritten and the file is rebuilt."""
    from vitapps.pipelines.face.gallery import forget as delete

    gone = delete(index, name=name, number=number, key=key)
    faces = [{"id": entry.id, "name": entry.name, "file": entry.file} for entry in gone]
    talk.emit({"deleted": faces}, [f"deleted {item['name']} ({item['file']}, id {item['id']})" for item in faces])


@command(train_app, "verifier")
def train_verifier(run: Run, data: DataOption, out: ModelOption) -> None:
    """Fit the projections of the templates from pictures of named people."""
    from vitapps.pipelines.face.train_verifier import VerifierFit, train

    card = train(data, out, config=VerifierFit(seed=run.options.seed), progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(eval_app, "verify")
def evaluate_verify(
    run: Run,
    data: DataOption,
    weights: WeightsOption = None,
    pairs: Annotated[
        Path | None, typer.Option("--pairs", show_default=False, help="Also this InsightFace .bin of pairs.")
    ] = None,
    protocol: Annotated[
        Literal["visible", "lfw"],
        typer.Option("--protocol", help="Fold 8 and ORL, or LFW's pairs.txt in its ten folds (DATA/verify/lfw)."),
    ] = "visible",
    roc: Annotated[
        Path | None, typer.Option("--roc", show_default=False, help="ROC curves: .csv, or .png as a DET plot.")
    ] = None,
    baseline: Annotated[bool, typer.Option("--baseline/--no-baseline", help="Eigenfaces, LBP+HOG+LDA beside.")] = True,
) -> None:
    """Accuracy, TAR at FAR, EER and AUC on pairs of people that the fit did not see, and what our thresholds do."""
    from vitapps.pipelines.face.evaluate_verifier import evaluate_verifier
    from vitapps.pipelines.face.verifier_tables import check_curves, write_curves

    if roc is not None:
        check_curves(roc, overwrite=run.options.overwrite)
    report = evaluate_verifier(
        data, weights=weights, pairs=pairs, protocol=protocol, baseline=baseline, options=run.options,
        progress=run.progress,
    )  # fmt: skip
    lines = verify_lines(report)
    if roc is not None:
        write_curves(report, roc, overwrite=run.options.overwrite)
        lines.append(f"wrote {roc}")
    run.emit({"rows": report.rows, "operating_points": report.points, "roc": roc}, lines)
