"""Labels of a weight card as viewers and DICOM want them: colours, sides and SNOMED CT codes.

A card may give `color` and `snomed` itself. Otherwise the code is looked up by name; the table holds concepts of DICOM
PS3.16 as listed in pydicom's dictionary. A name that is not there gets no code, never a guessed one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitapps.datasets.formats.label_info import LabelInfo, hue_color

SNOMED = {
    "accumbens area": ("427667007", "Nucleus Accumbens"),
    "amygdala": ("4958002", "Amygdala"),
    "brain": ("12738006", "Brain"),
    "brain-stem": ("119238007", "Brain Stem"),
    "caudate": ("11000004", "Caudate Nucleus"),
    "cerebellum cortex": ("25991003", "Cerebellar Cortex"),
    "cerebellum white matter": ("33060004", "Cerebellar White Matter"),
    "cerebral cortex": ("40146001", "Cerebral cortex"),
    "cerebral white matter": ("68523003", "Cerebral White Matter"),
    "csf": ("65216001", "Cerebrospinal Fluid"),
    "hippocampus": ("5366008", "Hippocampus"),
    "inferior lateral ventricle": ("53118009", "Inferior Horn of Lateral Ventricle"),
    "lateral ventricle": ("66720007", "Lateral Ventricle"),
    "pallidum": ("14738005", "Globus Pallidus"),
    "putamen": ("89278009", "Putamen"),
    "thalamus": ("42695009", "Thalamus"),
    "3rd ventricle": ("49841001", "Third Ventricle"),
    "4th ventricle": ("35918002", "Fourth Ventricle"),
}
BRAIN = LabelInfo(value=1, name="brain", color=(255, 64, 64), snomed=SNOMED["brain"])


def label_infos(rows: Sequence[Mapping[str, Any]]) -> tuple[LabelInfo, ...]:
    """Labels of a card in class order; both sides of a structure share a hue number, the right one paler."""
    ranks: dict[str, int] = {}
    infos = []
    for row in rows:
        name = str(row["name"])
        side, bare = split_side(name)
        rank = ranks.setdefault(bare, len(ranks))
        color = tuple(row["color"]) if "color" in row else _color(rank, side)
        code = row.get("snomed")
        snomed = (str(code), bare) if code else SNOMED.get(bare.lower())
        infos.append(
            LabelInfo(
                value=int(row["value"]), name=name, color=color, snomed=snomed, side=side,
                optional=bool(row.get("optional", False)),
            )
        )  # fmt: skip
    return tuple(infos)


def split_side(name: str) -> tuple[str, str]:
    """`left caudate` -> (`left`, `caudate`); a midline structure has the side ``."""
    first, _, rest = name.partition(" ")
    return (first.lower(), rest) if first.lower() in ("left", "right") and rest else ("", name)


def mirror_order(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Class index of the mirrored structure of every class: by the card's `mirror` value, else by left/right names."""
    by_value = {int(row["value"]): index for index, row in enumerate(rows)}
    by_name = {str(row["name"]).lower(): index for index, row in enumerate(rows)}
    order = []
    for index, row in enumerate(rows):
        side, bare = split_side(str(row["name"]))
        other = {"left": "right", "right": "left"}.get(side, "")
        if "mirror" in row:
            order.append(by_value[int(row["mirror"])])
        else:
            order.append(by_name.get(f"{other} {bare}".lower(), index) if other else index)
    return order


def _color(rank: int, side: str) -> tuple[int, int, int]:
    red, green, blue = hue_color(rank)
    return ((red + 220) // 2, (green + 220) // 2, (blue + 220) // 2) if side == "right" else (red, green, blue)
