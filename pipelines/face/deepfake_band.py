"""`vitapps face calibrate deepfake`: between which scores no verdict is given, from blends of real faces.

Faces of people are blended as for training (`deepfake_faces.py`), then looked for and aligned as in use, by both
landmarks of each. The score of a face that nobody touched is a false alarm from `fake_from` up, that of a blend is
missed below `none_below`. No picture that somebody published as a fake is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitapps.datasets.sets.face_fakes import MarkedFace
from vitapps.errors import UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.face.calibration_file import toml_text
from vitapps.pipelines.face.deepfake_faces import Pair, cuts_of, held_out, pairs_of
from vitapps.pipelines.face.deepfake_model import DeepfakeModel, RangeTested, chance
from vitapps.pipelines.face.face_views import FaceReader
from vitapps.pipelines.face.scores import Floats, auc
from vitapps.pipelines.face.unsure_band import TradeOff, fit_band, trade_off
from vitapps.progress import Progress, null_progress

SMALLEST = 64.0  # pixels a side of a face
RATES = (0.05, 0.05)  # of the untouched faces called fake, and of the blends in which no trace is found


@dataclass(frozen=True, kw_only=True, slots=True)
class BandFit:
    """The two scores; `auc` of the blends against their untouched twins, `unmarked` faces that the finder did not see,
    so that usual places of the landmarks were assumed; `trade_off` measured on people whom no band was fitted on."""

    fake_from: float
    none_below: float
    source: str
    pairs: int
    auc: float
    unmarked: int
    trade_off: list[TradeOff]

    def applied(self, tested: RangeTested) -> RangeTested:
        """What is known of a model, with this band."""
        return replace(tested, fake_from=self.fake_from, none_below=self.none_below, source=self.source)


def fit_on_blends(
    model: DeepfakeModel, sources: Sequence[Sequence[MarkedFace]], *, pairs: int = 400, only_held_out: bool = False,
    rates: tuple[float, float] = RATES, seed: int = 0, options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> BandFit:  # fmt: skip
    """Draw `pairs` from all sources alike, or with `only_held_out` from the people whom `face train deepfake` leaves
    out; `rates` of false alarms and of blends that are missed. UnreadableInputError where a source has fewer than two
    people."""
    draws = [_draw(source, seed + 1, progress, only_held_out=only_held_out) for source in sources]
    reader = FaceReader(options or RunOptions(), crop=True, marks=True)
    scores: list[Floats] = []
    people: list[str] = []
    unmarked = 0
    with progress.task("blends", total=pairs) as task:
        for number in range(pairs):
            pair = draws[number % len(draws)](number)
            views = [reader.view(pair.plain), reader.view(pair.blended)]
            unmarked += sum(view.landmarks is None for view in views)
            scores.append(chance(model.of_views(views)))
            people += [f"{number % len(draws)}/{pair.person}"] * 2
            task.advance()
    values, fake = np.concatenate(scores), np.tile([False, True], pairs)
    band = fit_band(values, fake, false_alarms=rates[0], missed=rates[1])
    whose = f"{len(set(people))} people" + " held out" * only_held_out
    return BandFit(
        fake_from=band.upper, none_below=band.lower, pairs=pairs, auc=round(auc(values, fake), 3), unmarked=unmarked,
        source=f"{pairs} blends of {whose} and their untouched twins, landmarks as found, seed {seed}: "
        f"{rates[0]:.0%} of the untouched above, {rates[1]:.0%} of the blends below",
        trade_off=trade_off(lambda _: values, fake, people),
    )  # fmt: skip


def band_text(fit: BandFit, model: str) -> str:
    """As TOML; `model` is the name of the card."""
    return toml_text(
        {"model": model, "fake_from": fit.fake_from, "none_below": fit.none_below, "source": fit.source}
    )  # fmt: skip


def _draw(faces: Sequence[MarkedFace], seed: int, progress: Progress, *, only_held_out: bool) -> Callable[[int], Pair]:
    chosen = [face for face in faces if face.side >= SMALLEST and (held_out(face.person) or not only_held_out)]
    if len({face.person for face in chosen}) < 2:
        raise UnreadableInputError(f"{len(chosen)} faces of too few people", hint="give faces of several people")
    return pairs_of(cuts_of(chosen, progress), seed)
