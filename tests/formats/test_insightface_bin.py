import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from vitapps.datasets.formats.insightface_bin import read_pair_file
from vitapps.errors import UnreadableInputError


def _jpeg(value):
    stream = io.BytesIO()
    Image.fromarray(np.full((20, 30, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("as_array", [True, False])
def test_pictures_and_answers(protocol, as_array, tmp_path):
    files = [_jpeg(value) for value in (10, 20, 30, 40)]
    pictures = [np.frombuffer(item, np.uint8)[:, None].copy() for item in files] if as_array else files
    path = tmp_path / "pairs.bin"
    path.write_bytes(pickle.dumps((pictures, [True, False]), protocol=protocol))
    found = read_pair_file(path)
    assert found.same.tolist() == [True, False]
    assert found.pixels(2).shape == (20, 30, 3) and found.pixels(2)[0, 0, 0] == 30


class _Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


class _Bomb:
    def __reduce__(self):
        return np.ndarray, ((1 << 40,),)


def test_a_program_in_the_pickle_does_not_run(tmp_path):
    path, target = tmp_path / "evil.bin", tmp_path / "made"
    path.write_bytes(pickle.dumps(([_Attack(str(target))], [True])))
    with pytest.raises(UnreadableInputError, match="mkdir"):
        read_pair_file(path)
    assert not target.exists()
    path.write_bytes(pickle.dumps(([_Bomb()], [True])))
    with pytest.raises(UnreadableInputError):
        read_pair_file(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80", b"text that is no pickle", pickle.dumps([1, 2]), pickle.dumps(([_jpeg(1)], [True])),
     pickle.dumps(([np.zeros(3)] * 2, [True])), pickle.dumps((["text", "text"], [True]))],
)  # fmt: skip
def test_other_content_is_refused(content, tmp_path):
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    with pytest.raises(UnreadableInputError, match=r"bad\.bin|picture is"):
        read_pair_file(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(UnreadableInputError, match="no such file"):
        read_pair_file(tmp_path / "absent.bin")
