"""Bad NIfTI, NRRD and MetaImage files: a good one with one thing changed."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from fakes.bad_files import bad, write

VOXELS = (12, 14, 10)
DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, QFORM, SFORM, SROW, MAGIC = 40, 70, 76, 108, 112, 252, 254, 280, 344


def good(folder: Path, values: np.ndarray | None = None, affine: np.ndarray | None = None) -> bytes:
    """A NIfTI-1 file with voxels of 1 mm and some structure, as bytes."""
    array = np.arange(np.prod(VOXELS), dtype=np.float32).reshape(VOXELS) if values is None else values
    image = nib.Nifti1Image(array, np.eye(4) if affine is None else affine)
    path = folder / "made.nii"
    nib.save(image, path)
    content = path.read_bytes()
    path.unlink()
    return content


def patched(content: bytes, offset: int, layout: str, *values: float) -> bytes:
    return content[:offset] + struct.pack(f"<{layout}", *values) + content[offset + struct.calcsize(f"<{layout}") :]


def patch(name: str, offset: int, layout: str, *values: float, codes: tuple[int, ...] = (3,)) -> None:
    """A good NIfTI file with the header field at `offset` replaced."""
    file = f"{name.replace(' ', '_')}.nii"
    bad(f"nifti {name}", medical=codes)(
        lambda folder: write(folder, file, patched(good(folder), offset, layout, *values))
    )


patch("huge dims", DIM, "8h", 3, 32767, 32767, 32767, 1, 1, 1, 1, codes=(3, 7))
patch("dims beyond the file", DIM, "8h", 3, 120, 140, 100, 1, 1, 1, 1)
patch("negative dims", DIM, "8h", 3, -12, 14, 10, 1, 1, 1, 1)
patch("zero dims", DIM, "8h", 3, 0, 14, 10, 1, 1, 1, 1)
patch("rank zero", DIM, "h", 0)
patch("rank nine", DIM, "h", 9)
patch("unknown datatype", DATATYPE, "2h", 9999, 32)
patch("wrong bitpix", DATATYPE, "2h", 16, 3, codes=(0, 3))
patch("complex datatype", DATATYPE, "2h", 32, 64)
patch("binary datatype", DATATYPE, "2h", 1, 1)
patch("data offset beyond the file", VOX_OFFSET, "f", 1e9)
patch("data offset negative", VOX_OFFSET, "f", -352.0)
patch("data offset not a number", VOX_OFFSET, "f", float("nan"))
patch("magic broken", MAGIC, "4s", b"abcd")  # type: ignore[arg-type]
patch("header size broken", 0, "i", 1234567)
patch("slope infinite", SLOPE, "2f", float("inf"), 0.0, codes=(0, 3))
patch("affine not a number", SROW, "4f", *[float("nan")] * 4)
patch("affine singular", SROW, "12f", *[0.0] * 12, codes=(0, 3))
patch("affine of enormous voxels", SROW, "4f", 1e30, 0, 0, 0, codes=(0, 3))
patch("affine of tiny voxels", SROW, "12f", 1e-9, 0, 0, 0, 0, 1e-9, 0, 0, 0, 0, 1e-9, 0, codes=(0, 3))


def no_orientation(content: bytes) -> bytes:
    return patched(patched(content, QFORM, "h", 0), SFORM, "h", 0)


CONTENTS: dict[str, Callable[[Path], bytes]] = {
    "no pixel size": lambda folder: patched(no_orientation(good(folder)), PIXDIM, "4f", 1, 0, 0, 0),
    "pixel size not a number": lambda folder: patched(
        no_orientation(good(folder)), PIXDIM, "4f", 1, *[float("nan")] * 3
    ),
    "header cut": lambda folder: good(folder)[:100],
    "header only": lambda folder: good(folder)[:352],
    "data cut": lambda folder: good(folder)[:-1000],
    "data cut by one byte": lambda folder: good(folder)[:-1],
    "only not-a-number": lambda folder: good(folder, np.full(VOXELS, np.nan, np.float32)),
    "only infinite": lambda folder: good(folder, np.full(VOXELS, np.inf, np.float32)),
    "constant": lambda folder: good(folder, np.full(VOXELS, 7, np.int16)),
    "five dimensions": lambda folder: good(folder, np.ones((4, 4, 4, 2, 3), np.float32)),
    "seven dimensions": lambda folder: good(folder, np.ones((4, 4, 4, 1, 2, 1, 2), np.float32)),
    "colour": lambda folder: good(folder, np.zeros(VOXELS, [("R", "u1"), ("G", "u1"), ("B", "u1")])),
    "wide float": lambda folder: good(folder, np.full(VOXELS, 1e300, np.float64)),
}
for _name, _content in CONTENTS.items():
    _file = f"{_name.replace(' ', '_')}.nii"
    bad(f"nifti {_name}")(lambda folder, file=_file, content=_content: write(folder, file, content(folder)))


@bad("nifti four dimensions")
def _series(folder: Path) -> Path:
    return write(folder, "functional.nii", good(folder, np.random.default_rng(0).random((*VOXELS, 3), np.float32)))


@bad("nifti one voxel", medical=(0, 3))
def _voxel(folder: Path) -> Path:
    return write(folder, "voxel.nii", good(folder, np.ones((1, 1, 1), np.float32)))


@bad("nifti one slice", medical=(0, 3))
def _slice(folder: Path) -> Path:
    return write(folder, "slice.nii", good(folder, np.random.default_rng(0).random((20, 20), np.float32)))


@bad("nifti header without its image")
def _pair(folder: Path) -> Path:
    return write(folder, "pair.hdr", patched(good(folder)[:348], MAGIC, "4s", b"ni1\0"))  # type: ignore[arg-type]


@bad("nifti image without its header")
def _image(folder: Path) -> Path:
    return write(folder, "pair.img", good(folder)[352:])


@bad("gzip of text")
def _gzip_text(folder: Path) -> Path:
    return write(folder, "text.nii.gz", gzip.compress(b"not a scan" * 100))


@bad("gzip cut")
def _gzip_cut(folder: Path) -> Path:
    content = gzip.compress(good(folder))
    return write(folder, "cut.nii.gz", content[: len(content) // 2])


@bad("gzip checksum broken")
def _gzip_checksum(folder: Path) -> Path:
    content = gzip.compress(good(folder))
    return write(folder, "checksum.nii.gz", content[:-8] + b"\0\0\0\0" + content[-4:])


@bad("gzip name, plain content", medical=(0, 3))
def _not_gzip(folder: Path) -> Path:
    return write(folder, "plain.nii.gz", good(folder))


@bad("gzip of a picture")
def _picture(folder: Path) -> Path:
    return write(folder, "picture.nii.gz", b"\x89PNG\r\n\x1a\n" + bytes(400))


def bomb(shape: tuple[int, int, int], header: bytes, blocks: int) -> bytes:
    """A NIfTI header and `blocks` times 64 MiB of zeros as gzip members of 64 KiB each."""
    header = patched(header, DIM, "8h", 3, *shape, 1, 1, 1, 1)
    return gzip.compress(header) + gzip.compress(bytes(1 << 26), 9) * blocks


@bad("gzip bomb", medical=(3, 7))
def _bomb(folder: Path) -> Path:
    return write(folder, "bomb.nii.gz", bomb((4096, 4096, 1024), good(folder)[:352], 64))


@bad("gzip bomb behind a small volume", medical=(0, 3))
def _hidden_bomb(folder: Path) -> Path:
    return write(folder, "hidden.nii.gz", bomb((12, 14, 10), good(folder)[:352], 64))


NRRD = """NRRD0004
type: {kind}
dimension: 3
space: left-posterior-superior
sizes: {sizes}
space directions: {directions}
kinds: domain domain domain
endian: little
encoding: {encoding}
space origin: (0,0,0)
{more}
"""


def nrrd(
    kind: str = "short", sizes: str = "8 8 8", encoding: str = "raw", more: str = "", directions: str = ""
) -> bytes:
    header = NRRD.format(
        kind=kind, sizes=sizes, encoding=encoding, more=more, directions=directions or "(1,0,0) (0,1,0) (0,0,1)"
    )
    header = header.replace("\n\n", "\n") + "\n"
    return header.encode() + np.arange(512, dtype=np.int16).tobytes()


NRRDS = {
    "cut": nrrd()[:-200],
    "sizes negative": nrrd(sizes="-8 8 8"),
    "sizes beyond the file": nrrd(sizes="80 80 80"),
    "sizes enormous": nrrd(sizes="99999999 99999999 99999999"),
    "encoding unknown": nrrd(encoding="rot13"),
    "type unknown": nrrd(kind="quaternion"),
    "directions singular": nrrd(directions="(0,0,0) (0,0,0) (0,0,0)"),
    "directions not numbers": nrrd(directions="(nan,0,0) (0,nan,0) (0,0,nan)"),
    "data file missing": nrrd(more="data file: gone.raw"),
    "magic only": b"NRRD0004\n",
}
for _name, _bytes in NRRDS.items():
    _file = f"{_name.replace(' ', '_')}.nrrd"
    _codes = (3, 7) if "enormous" in _name else (3,)
    bad(f"nrrd {_name}", medical=_codes)(lambda folder, file=_file, content=_bytes: write(folder, file, content))


def meta_image(kind: str = "MET_SHORT", sizes: str = "8 8 8", data: str = "LOCAL", spacing: str = "1 1 1") -> bytes:
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        f"TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = {spacing}\nDimSize = {sizes}\n"
        f"ElementType = {kind}\nElementDataFile = {data}\n"
    )
    return header.encode() + np.arange(512, dtype=np.int16).tobytes()


META_IMAGES = {
    "cut": meta_image()[:-200],
    "data file missing": meta_image(data="gone.raw"),
    "data file a list": meta_image(data="LIST"),
    "sizes beyond the file": meta_image(sizes="80 80 80"),
    "sizes zero": meta_image(sizes="0 8 8"),
    "sizes enormous": meta_image(sizes="99999999 99999999 99999999"),
    "type unknown": meta_image(kind="MET_QUATERNION"),
    "spacing zero": meta_image(spacing="0 0 0"),
    "spacing not a number": meta_image(spacing="nan nan nan"),
    "header cut": b"ObjectType = Image\nNDims = 3\n",
}
for _name, _bytes in META_IMAGES.items():
    _file = f"{_name.replace(' ', '_')}.mha"
    _codes = (3, 7) if "enormous" in _name else (0, 3) if "spacing" in _name else (3,)
    bad(f"mha {_name}", medical=_codes)(lambda folder, file=_file, content=_bytes: write(folder, file, content))
