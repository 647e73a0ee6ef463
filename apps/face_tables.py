"""The tables of `vitapps face eval …`, as lines: each command prints its own, `face eval all` every one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from vitapps.apps.terminal import columns

Lines = list[str]


def detect_lines(rows: Any) -> Lines:
    """Of `evaluate_detector`."""
    head = ("finder", "set", "pictures", "recall at IoU 0.3", "at 0.5", "extra boxes a picture", "landmark error",
            "before the cascade", "CPU ms")  # fmt: skip
    cells = [
        (row.finder, row.set, str(row.pictures), f"{row.recall_30:.3f}", f"{row.recall_50:.3f}", f"{row.extra:.2f}",
         f"{row.landmarks:.3f}", f"{row.coarse:.3f}", f"{row.cpu_ms:.0f}")
        for row in rows
    ]  # fmt: skip
    return columns(head, cells)


def verify_lines(report: Any) -> Lines:
    """Of `evaluate_verifier`."""
    from vitapps.pipelines.face.verifier_tables import point_table, row_table

    return columns(*row_table(report)) + (["", *columns(*point_table(report))] if report.points else [])


def expression_lines(rows: Any) -> Lines:
    """Of `evaluate_expression`."""
    cells = [
        (row.method, row.pictures, row.count, f"{row.accuracy:.3f}", f"{row.macro_f1:.3f}", f"{row.detection:.3f}")
        for row in rows
    ]
    return columns(("method", "pictures", "n", "accuracy", "macro F1", "AUC of covered parts"), cells)


def liveness_lines(report: Any) -> Lines:
    """Of `liveness_eval`."""
    cells = [
        (row.source, row.method, _where(row.calibrated), row.live, row.attacks,
         f"{row.rates.auc:.3f}", " ".join(f"{name}:{value:.3f}" for name, value in row.rates.apcer.items()),
         f"{row.rates.bpcer:.3f}", f"{row.rates.acer:.3f}", f"{row.rates.hter:.3f}", f"{row.unsure:.3f}")
        for row in report.rows
    ]  # fmt: skip
    head = ("source", "method", "calibrated", "live", "attacks", "AUC", "APCER", "BPCER", "ACER", "HTER", "unsure")
    said = [
        (row.verdicts.source, row.method, _where(row.calibrated), row.verdicts.truth, row.verdicts.pictures,
         *(f"{share:.3f}" for share in row.verdicts.shares.values()))
        for row in report.answers
    ]  # fmt: skip
    words = list(report.answers[0].verdicts.shares) if report.answers else []
    return [
        *columns(head, cells), "", "verdicts, live only where the smoothed face is live too",
        *columns(("source", "method", "calibrated", "truth", "pictures", *words), said),
    ]  # fmt: skip


def _where(calibrated: bool) -> str:
    return "here" if calibrated else "elsewhere"


def deepfake_lines(report: Any) -> Lines:
    """Of `deepfake_eval`; the changes only where more than the pictures as they are was scored."""
    cells = [
        (row.source, row.method, row.pictures, row.videos, _figure(row.auc), _interval(row.low, row.high))
        for row in report.rows
    ]
    lines = columns(("source", "method", "pictures", "videos", "AUC", "95 %"), cells)
    lines += ["", *_verdict_lines(report.verdicts)]
    if len(report.robustness) > 1:
        changes = [(name, f"{value:.3f}") for name, value in report.robustness.items()]
        lines += ["", *columns(("all swaps after", "AUC"), changes)]
    if report.unmarked:
        lines += ["", f"in {report.unmarked} pictures no face was found: usual places of the landmarks are assumed"]
    return lines


def localize_lines(report: Any) -> Lines:
    """Of `localize_eval`."""
    cells = [
        (row.source, row.method, row.edited, row.untouched, f"{row.best_f1:.3f}", f"{row.f1_at_half:.3f}",
         _figure(row.picture_auc), _interval(row.low, row.high))
        for row in report.rows
    ]  # fmt: skip
    head = ("source", "method", "edited", "untouched", "best F1", "F1 at 0.5", "picture AUC", "95 %")
    lines = [*columns(head, cells), "", *_verdict_lines(report.verdicts)]
    bars = [
        (row.source, row.edited, f"{row.bar:.2f}", f"{row.best_f1:.3f}", f"{row.ela:.3f}", f"{row.selfmatch:.3f}",
         "met" if row.met else "missed")
        for row in report.bars
    ]  # fmt: skip
    wanted = ("source", "edited", "bar of best F1", "all", "ela", "selfmatch", "bar is")
    return lines + (["", *columns(wanted, bars)] if bars else [])


def trade_off_lines(rows: Any) -> Lines:
    """Of `unsure_band.trade_off`: what other error rates would withhold."""
    cells = [
        (f"{row.allowed_alarms:.0%} / {row.allowed_missed:.0%}", f"{row.false_alarms:.3f}", f"{row.missed:.3f}",
         f"{row.found:.3f}", f"{row.cleared:.3f}", f"{row.unsure_altered:.3f}", f"{row.unsure_untouched:.3f}")
        for row in rows
    ]  # fmt: skip
    head = ("allowed", "false alarms", "missed", "found", "cleared", "unsure of altered", "unsure of untouched")
    return columns(head, cells)


def _verdict_lines(rows: Any) -> Lines:
    """Shares of each verdict by source and truth."""
    words = list(rows[0].shares) if rows else []
    cells = [
        (row.source, row.truth, row.pictures, *(f"{row.shares[word]:.2f}" for word in words)) for row in rows
    ]  # fmt: skip
    return columns(("source", "truth", "pictures", *words), cells)


def _figure(value: float) -> str:
    """To three places; a dash where it could not be measured."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def _interval(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"{low:.2f} to {high:.2f}"


TABLES: dict[str, Callable[[Any], Lines]] = {
    "detect": detect_lines,
    "verify": verify_lines,
    "expression": expression_lines,
    "liveness": liveness_lines,
    "deepfake": deepfake_lines,
    "localize": localize_lines,
}
