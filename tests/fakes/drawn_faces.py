"""Drawn faces of drawn people, with boxes and landmarks, in the folder layout that training and scoring read."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitapps.pipelines.face.align import TEMPLATE, moved

SIDE = 112
COLUMNS = ["file", "box_x", "box_y", "box_w", "box_h", *(
    f"{part}_{axis}" for part in ("reye", "leye", "nose", "rmouth", "lmouth") for axis in "xy"
)]  # fmt: skip


def draw(person: int, shot: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A crop 112 112 3 and its landmarks 5 2: features of the head come from `person`, light and noise from `shot`."""
    own, now = np.random.default_rng(person), np.random.default_rng(1000 * person + shot + 1)
    skin = own.uniform(120, 210)
    points = TEMPLATE + own.normal(0, 2.0, (5, 2)) + now.normal(0, 0.4, (5, 2))
    canvas = np.full((SIDE, SIDE), now.uniform(40, 90), np.float32)
    cv2.ellipse(canvas, (56, 62), (int(own.uniform(36, 44)), 54), 0, 0, 360, skin, -1)
    for x, y in points[:2]:
        cv2.ellipse(canvas, _at(x, y), (int(own.uniform(5, 9)), int(own.uniform(2, 5))), 0, 0, 360, 40, -1)
        cv2.line(canvas, _at(x - 9, y - own.uniform(7, 12)), _at(x + 9, y - own.uniform(7, 12)), 60,
                 int(own.integers(1, 5)))  # fmt: skip
    cv2.line(canvas, _at(56, 52), _at(*points[2]), skin * 0.7, int(own.integers(2, 6)))
    cv2.line(canvas, _at(*points[3]), _at(*points[4]), 70, int(own.integers(2, 7)))
    for _ in range(6):  # marks of the skin
        cv2.circle(canvas, _at(*own.uniform(30, 85, 2)), int(own.integers(1, 4)), skin * own.uniform(0.6, 1.2), -1)
    canvas = canvas * now.uniform(0.8, 1.15) + now.normal(0, 5, canvas.shape)
    return np.repeat(canvas.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2), points


def write_people(folder: Path, people: int, shots: int, kept: int) -> None:
    """`folder`/verify: lfw112 with its table and the pairs of the last `kept` people, and ORL."""
    verify = folder / "verify"
    (verify / "lfw112").mkdir(parents=True)
    rows = []
    for person in range(people):
        for shot in range(shots):
            name = f"P{person:03d}_{shot:04d}.png"
            row = _write(verify / "lfw112", name, person, shot)
            split = "train" if person < people - kept else "val_fold8"
            rows.append({**row, "person": f"P{person:03d}", "split": split})
    _table(verify / "lfw112.csv", [*COLUMNS, "person", "split"], rows)
    test = range(people - kept, people)
    pairs = [(f"P{p:03d}_0000.png", f"P{p:03d}_0001.png", 1) for p in test]
    pairs += [(f"P{p:03d}_0000.png", f"P{p - 1:03d}_0001.png", 0) for p in test if p - 1 in test]
    _table(verify / "lfw_pairs_fold8.csv", ["a", "b", "same"],
           [dict(zip(("a", "b", "same"), pair, strict=True)) for pair in pairs])  # fmt: skip
    (verify / "orl").mkdir()
    for person in range(3):
        for shot in range(2):
            Image.fromarray(draw(500 + person, shot)[0]).save(verify / "orl" / f"s{person:02d}_{shot:02d}.png")


def write_scenes(folder: Path, number: int = 4) -> None:
    """`folder`/localize/bsds_pristine: noise pictures without faces."""
    scenes = folder / "localize" / "bsds_pristine"
    scenes.mkdir(parents=True)
    for place in range(number):
        small = np.random.default_rng(place).integers(0, 255, (12, 18, 3), np.uint8)
        Image.fromarray(small).resize((240, 160), Image.Resampling.BICUBIC).save(scenes / f"{place}.jpg")


def _write(folder: Path, name: str, person: int, shot: int) -> dict[str, object]:
    pixels, points = draw(person, shot)
    Image.fromarray(pixels).save(folder / name)
    values = [name, 12.0, 8.0, 88.0, 104.0, *(round(float(value), 2) for value in moved(points, np.eye(2, 3)).ravel())]
    return dict(zip(COLUMNS, values, strict=True))


def _table(path: Path, columns: list[str], rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def _at(x: float, y: float) -> tuple[int, int]:
    return round(x), round(y)
