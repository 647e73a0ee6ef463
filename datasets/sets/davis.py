"""DAVIS trees: `JPEGImages/480p/NAME/%05d.jpg` beside `Annotations/480p/NAME/%05d.png` (Perazzi et al. 2016, CVPR).

The PNGs hold object numbers (2017) or 0 and 255 (2016). `480p` stands for whichever resolution folder is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitapps.errors import UnreadableInputError, UsageError

_IMAGES, _MASKS = "JPEGImages", "Annotations"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedSequence:
    """One sequence: a folder of pictures and the mask of each of them, in order."""

    name: str
    images: Path
    masks: tuple[Path, ...]


def read_tree(folder: Path, names: Sequence[str] = ()) -> list[AnnotatedSequence]:
    """The annotated sequences of a tree (only `names`, where given), sorted by name.

    Raises UnreadableInputError for a folder without sequences or with unequal numbers of pictures and masks,
    UsageError for a name that is not there.
    """
    roots = sorted(folder.glob(f"{_MASKS}/*/"))
    found = [path for root in roots[:1] for path in sorted(root.iterdir()) if any(path.glob("*.png"))]
    if not found:
        raise UnreadableInputError(
            f"{folder}: no {_MASKS}/480p/NAME/*.png beside {_IMAGES}", hint="give the root of a DAVIS tree"
        )
    unknown = sorted(set(names) - {path.name for path in found})
    if unknown:
        raise UsageError(
            f"no sequence {', '.join(unknown)} in {folder}", hint=f"there: {', '.join(path.name for path in found)}"
        )
    return [_sequence(folder, path) for path in found if not names or path.name in names]


def _sequence(folder: Path, masks: Path) -> AnnotatedSequence:
    images = folder / _IMAGES / masks.parent.name / masks.name
    drawn, shown = sorted(masks.glob("*.png")), sorted(images.glob("*.jpg"))
    if [path.stem for path in drawn] != [path.stem for path in shown]:
        raise UnreadableInputError(
            f"{masks.name}: {len(shown)} pictures, {len(drawn)} masks, not the same numbers", hint="copy the tree again"
        )
    return AnnotatedSequence(name=masks.name, images=images, masks=tuple(drawn))
