"""What `vitapps face eval verify` prints and draws of a report."""

from __future__ import annotations

from pathlib import Path

from vitapps.atomic import atomic_path, check_output, write_text
from vitapps.errors import UsageError
from vitapps.pipelines.face.det_plot import det_plot
from vitapps.pipelines.face.evaluate_verifier import Report, roc_text
from vitapps.pipelines.face.heat_map import save_png

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
_ROW_HEAD = ("method", "pairs", "aligned by", "n", "left out", "accuracy", "±", "at the card's threshold", "AUC", "EER",
             "TAR@.1", "TAR@.01", "TAR@.001", "FNMR@.01")  # fmt: skip


def row_table(report: Report) -> Table:
    """Head and cells: every method on every set."""
    return _ROW_HEAD, [
        (row.method, row.set, row.aligned_by, str(row.figures.pairs), str(row.left_out), f"{row.figures.accuracy:.3f}",
         f"{row.figures.error:.3f}", f"{row.fixed:.3f}", f"{row.figures.auc:.3f}", f"{row.figures.eer:.3f}",
         f"{row.figures.tar_10:.2f}", f"{row.figures.tar_01:.2f}", f"{row.figures.tar_001:.2f}",
         f"{1 - row.figures.tar_01:.2f}")
        for row in report.rows
    ]  # fmt: skip


def point_table(report: Report) -> Table:
    """Head and cells: what the card's thresholds do on every set."""
    head = ("pairs", "aligned by", "threshold", "FMR stated", "found", "FNMR stated", "found")
    return head, [
        (row.set, row.aligned_by, f"{row.threshold:.3f}", f"{row.stated_fmr:g}", f"{row.fmr:.4f}",
         f"{row.stated_fnmr:.3f}", f"{row.fnmr:.3f}")
        for row in report.points
    ]  # fmt: skip


def check_curves(out: Path, *, overwrite: bool) -> None:
    """Before anything is computed: UsageError for another suffix, OutputError for what may not be written."""
    if out.suffix not in (".csv", ".png"):
        raise UsageError(f"--roc {out}: curves are written as .csv or .png", hint=f"--roc {out.stem}.csv")
    check_output(out, overwrite=overwrite)


def write_curves(report: Report, out: Path, *, overwrite: bool) -> None:
    """The ROC curves as CSV, or the first set's as a DET plot (FMR across, FNMR up)."""
    if out.suffix == ".csv":
        write_text(out, roc_text(report), overwrite=overwrite)
        return
    first = next(iter(report.curves))[0]
    curves = {method: curve for (name, method), curve in report.curves.items() if name == first}
    with atomic_path(out, overwrite=overwrite) as temporary:
        save_png(temporary, det_plot(curves, "FMR", "FNMR"))
