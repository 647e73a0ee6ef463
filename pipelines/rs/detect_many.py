"""Many rasters, one loaded detector: each input has its own output, and a bad one does not stop the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitapps.errors import PartialFailureError, UsageError, VitappsError
from vitapps.options import RunOptions
from vitapps.pipelines.rs.detect import DetectResult, DetectSettings, check_detection, default_output, detect
from vitapps.pipelines.rs.detector import DEFAULT_WEIGHTS, load_detector
from vitapps.pipelines.runtime.stream import Batcher, stream
from vitapps.progress import Progress, null_progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An input without an output, and why."""

    input: Path
    error: VitappsError


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectBatch:
    """What each input came to, in the order given."""

    done: list[DetectResult]
    failed: list[Failure]

    def raise_if_any_failed(self) -> None:
        """Raise PartialFailureError naming the number of failed inputs."""
        if self.failed:
            total = len(self.done) + len(self.failed)
            raise PartialFailureError(
                f"{len(self.failed)} of {total} inputs failed, the first is {self.failed[0].error.message}",
                hint="the others have their outputs; the messages above say what is wrong",
            )


def detect_many(
    paths: Sequence[Path],
    out: Path | None = None,
    *,
    weights: str = DEFAULT_WEIGHTS,
    options: RunOptions | None = None,
    settings: DetectSettings | None = None,
    progress: Progress = null_progress,
    command: str = "",
) -> DetectBatch:
    """Search each raster. `out` is a file (one input only), a folder (made if several inputs need it), or None: beside
    each input. The error of a single input is raised, before the model loads if the raster is at fault; several inputs
    run a few at a time, their errors are logged and collected. Missing weights are raised."""
    settings, options = settings or DetectSettings(), options or RunOptions()
    outputs = _outputs(paths, out, settings)
    if len(paths) == 1:
        check_detection(paths[0], outputs[0], settings, overwrite=options.overwrite, sources=paths)
        detector = load_detector(weights, options)
        only = detect(
            paths[0], outputs[0], detector, settings, sources=paths, progress=progress, command=command
        )  # fmt: skip
        return DetectBatch(done=[only], failed=[])
    detector = load_detector(weights, options)

    def one(job: tuple[Path, Path], network: Batcher) -> DetectResult:
        path, target = job
        check_detection(path, target, settings, overwrite=options.overwrite, sources=paths)
        return detect(path, target, replace(detector, predict=network), settings, sources=paths, command=command)

    streamed = stream(
        list(zip(paths, outputs, strict=True)), one, detector.predict, batch=2 * detector.batch, progress=progress
    )
    failed = [Failure(input=path, error=error) for (path, _), error in streamed.failures]
    return DetectBatch(done=list(streamed.results), failed=failed)


def _outputs(paths: Sequence[Path], out: Path | None, settings: DetectSettings) -> list[Path]:
    """One output for each input; raises UsageError when two would be the same file."""
    single_file = out is not None and len(paths) == 1 and not out.is_dir()
    if out is not None and single_file:
        return [out]
    if out is not None and out.suffix and not out.is_dir():
        raise UsageError(f"-o {out}: one file for {len(paths)} inputs", hint="give a folder with -o")
    outputs = [default_output(path, out, settings.format) for path in paths]
    twice = [path for path, number in Counter(outputs).items() if number > 1]
    if twice:
        raise UsageError(f"two inputs would both write {twice[0]}", hint="run them one by one with different -o")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    return outputs
