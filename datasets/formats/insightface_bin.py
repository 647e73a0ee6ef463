"""InsightFace verification files (`lfw.bin`): a pickle of encoded pictures and of which pairs show one person.

A pickle is a program; this reader runs only the few constructors that such files need, re-implemented here, and
refuses everything else. Layout: `(pictures, issame)`, picture 2i and 2i + 1 form pair i; a picture is the bytes of a
JPEG or PNG file, or a uint8 array of those bytes.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.errors import UnreadableInputError

MAX_BYTES = 2_000_000_000
_HINT = "is it a verification file of InsightFace, two pictures a pair?"


@dataclass(frozen=True, slots=True)
class PairFile:
    """`pictures` are encoded files, two a pair; `same` n says which pairs show one person."""

    pictures: list[bytes]
    same: NDArray[np.bool_]

    def pixels(self, number: int) -> NDArray[np.uint8]:
        """Picture `number` decoded, H W 3."""
        return read_picture(self.pictures[number], name=f"picture {number}").pixels


def read_pair_file(path: Path) -> PairFile:
    """Read a `.bin`; raises UnreadableInputError for anything but pictures and truth values."""
    try:
        size = path.stat().st_size
        if not path.is_file() or not 0 < size <= MAX_BYTES:
            raise UnreadableInputError(f"{path}: {size} bytes, or no regular file", hint=_HINT)
        with path.open("rb") as stream:
            content = _Restricted(io.BufferedReader(stream), encoding="bytes").load()
        pictures, same = content
        found = PairFile([_encoded(item) for item in pictures], np.array([bool(value) for value in same], bool))
    except UnreadableInputError:
        raise
    except FileNotFoundError:
        raise UnreadableInputError(f"{path}: no such file", hint="check the path") from None
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to mean
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnreadableInputError(f"{path}: not a verification file: {reason}", hint=_HINT) from None
    if len(found.pictures) != 2 * len(found.same):
        raise UnreadableInputError(
            f"{path}: {len(found.pictures)} pictures for {len(found.same)} pairs", hint=_HINT
        )  # fmt: skip
    return found


def _encoded(item: Any) -> bytes:
    if isinstance(item, np.ndarray) and item.dtype == np.uint8:
        return item.tobytes()
    if isinstance(item, bytes):
        return item
    raise UnreadableInputError(f"a picture is a {type(item).__name__}, not bytes", hint=_HINT)


def _empty_array(kind: Any, shape: Any, code: Any) -> NDArray[np.uint8]:
    """What numpy pickles an array as, before its state is set."""
    if kind != _NDARRAY:
        raise pickle.UnpicklingError("an array of an unknown kind")
    return np.ndarray.__new__(np.ndarray, (0,), np.uint8)


def _plain_dtype(code: Any, *_: Any) -> np.dtype[Any]:
    name = code.decode("ascii") if isinstance(code, bytes) else str(code)
    if name not in ("u1", "b1", "uint8", "bool"):
        raise pickle.UnpicklingError(f"an array of {name}")
    return np.dtype(name, copy=True)  # the pickle sets its state


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> NDArray[np.uint8]:
    """How protocol 5 brings an array back."""
    return np.frombuffer(bytes(buffer), np.uint8)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes in protocol 2."""
    return text.encode("latin1" if encoding in ("latin1", b"latin1") else "ascii")


_NDARRAY = "ndarray"  # a word, not the class: a pickle could call a class with the size that it likes
_ALLOWED: dict[tuple[str, str], Callable[..., Any] | str] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _plain_dtype,
    ("_codecs", "encode"): _encode,
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no verification file needs") from None
