"""Small real inputs for `vitapps demo`, with their sources; they lie inside the package.

`head_flair.nii.gz`: FLAIR of patient 03, study 2, of the longitudinal multiple-sclerosis MR database of Lesjak et al.
2016 (Neuroinformatics 14, 403), CC BY 4.0, defaced by its authors; averaged 2 x 2 in the plane (1.44 x 1.44 x 3 mm).
`tree_tile.tif`: NEON AOP camera, tile TEAK_044 as published with DeepForest (Weinstein et al. 2019, Remote Sensing 11,
1309), 0.1 m a pixel; NEON data policy: free use with citation; stored as JPEG.
`portrait.jpg`: official portrait of President Obama, 2012, by Pete Souza, a work of the US government (public domain),
448 x 560; `write_edited_portrait` copies a part of its flag over the other curtain, `write_blended_portrait` blends the
face with a changed copy of itself, `write_printed_portrait` simulates a print of it.
`printed_page.jpg`: the page of `printed_page.py`, as a JPEG: our own.
`boat.mp4`: the clip of `datasets.synth.moving_clip`, with the boat's first box in `boat.box.txt` (x,y,w,h): our own.
`digits.tif`: twenty digits of the MNIST test set (LeCun, Cortes, Burges; CC BY-SA 3.0), 28 x 28 each, which no model
here was trained on.
`two_portraits.jpg`: official portraits of Barack Obama and Joseph Biden as heads of government offices, works of the US
government (public domain), cut and laid side by side.
"""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Box = tuple[int, int, int, int]


FACES = (
    ("portrait.jpg", (182, 41, 124, 164)),
    ("two_portraits.jpg", (94, 40, 135, 178)),
    ("two_portraits.jpg", (415, 52, 120, 159)),
)  # picture and x y w h of each face, brow to chin


def write_head_scan(path: Path) -> None:
    """Copy the FLAIR scan (NIfTI, oblique) to `path`."""
    _copy("head_flair.nii.gz", path)


def write_tree_tile(path: Path) -> None:
    """Copy the NEON tile (GeoTIFF, UTM 11N) to `path`."""
    _copy("tree_tile.tif", path)


def write_portrait(path: Path) -> None:
    """Copy the portrait (JPEG) to `path`."""
    _copy("portrait.jpg", path)


def write_edited_portrait(path: Path) -> None:
    """The portrait with stars of the flag copied to the right-hand curtain, stored as PNG: what was done is known."""
    import cv2
    import numpy as np
    from PIL import Image

    pixels = _portrait()
    top, left, height, width, right = 60, 6, 150, 44, 338  # the part, and where its copy begins
    part = pixels[top : top + height, left : left + width].astype(np.float32)
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 2 - 3, height // 2 - 3), 0, 0, 360, (1.0,), -1)
    alpha = np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.0), np.float32)[..., None]
    place = np.s_[top + 40 : top + 40 + height, right : right + width]
    pixels[place] = (pixels[place] + alpha * (part - pixels[place])).round().astype(np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")


def write_blended_portrait(path: Path) -> None:
    """The portrait with a changed copy of its own face blended over it (a self-blend), stored as PNG."""
    import numpy as np
    from PIL import Image

    from vitapps.datasets.synth.self_blended import self_blend

    marks = np.array([(216, 105), (271, 105), (243, 134), (219, 157), (268, 156)])  # eyes, nose, corners of the mouth
    Image.fromarray(self_blend(_portrait(), marks, seed=0)[1]).save(path, format="PNG")


def write_printed_portrait(path: Path) -> None:
    """The portrait as a camera would see a print of it (simulated), stored as PNG."""
    from PIL import Image

    from vitapps.datasets.synth.spoofs import simulate

    Image.fromarray(simulate(_portrait(), "print", seed=0)).save(path, format="PNG")


def write_moving_digits(path: Path) -> None:
    """Twenty frames of two of the bundled digits drifting (.npy, T H W), to predict the second half of."""
    import numpy as np
    from PIL import Image

    from vitapps.datasets.synth.moving_digits import MovingDigits

    with as_file(files(__name__) / "digits.tif") as source, Image.open(source) as sheet:
        cells = np.asarray(sheet).reshape(2, 28, 10, 28).transpose(0, 2, 1, 3)  # 56 280 -> 2 10 28 28
    np.save(path, MovingDigits(sprites=cells.reshape(-1, 28, 28)).sample(4))


def write_portraits(path: Path) -> None:
    """Copy the two portraits (JPEG) to `path`."""
    _copy("two_portraits.jpg", path)


def _portrait() -> NDArray[np.uint8]:
    from vitapps.datasets.formats.picture import read_picture

    with as_file(files(__name__) / "portrait.jpg") as source:
        return read_picture(source).pixels


def _copy(name: str, path: Path) -> None:
    with as_file(files(__name__) / name) as source:
        shutil.copyfile(source, path)


def read_scene_pictures() -> list[NDArray[np.uint8]]:
    """H W 3 each: the portraits and the page, to cut drawn scenes from."""
    from vitapps.datasets.formats.picture import read_picture

    found = []
    for name in ("portrait.jpg", "two_portraits.jpg", "printed_page.jpg"):
        with as_file(files(__name__) / name) as source:
            found.append(read_picture(source).pixels)
    return found


def read_faces() -> list[tuple[NDArray[np.uint8], Box]]:
    """The faces of the samples with some of what is around them: pixels H W 3, and x y w h of the face in them."""
    from vitapps.datasets.formats.picture import read_picture

    found = []
    for name, (x, y, w, h) in FACES:
        with as_file(files(__name__) / name) as source:
            pixels = read_picture(source).pixels
        left, top = max(0, x - w // 3), max(0, y - h // 4)
        found.append((pixels[top : y + h + h // 5, left : x + w + w // 3], (x - left, y - top, w, h)))
    return found
