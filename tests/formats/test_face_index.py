import os
import shutil
import sqlite3

import numpy as np
import pytest

from vitapps.datasets.formats.face_index import Entry, open_index, read_key, write_index
from vitapps.errors import MissingError, OutputError, UnreadableInputError, UsageError

pytest.importorskip("cryptography")


def _entries(number=4):
    rng = np.random.default_rng(0)
    for place in range(number):
        vector = rng.normal(size=32).astype(np.float32)
        yield Entry(name=f"person-{place % 3}", file=f"f{place}.jpg", box=(1.0, 2.0, 3.5, 4.0),
                    template=vector / np.linalg.norm(vector))  # fmt: skip


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def key(request, tmp_path):
    return read_key(tmp_path / "key", make=True) if request.param else None


def test_faces_come_back(key, tmp_path):
    path = tmp_path / "faces.db"
    assert write_index(path, _entries(), model="m 1", dim=32, key=key) == 4
    with open_index(path, key) as index:
        assert (len(index), index.model, index.dim) == (4, "m 1", 32)
        for found, wanted in zip(index.entries(), _entries(), strict=True):
            assert (found.name, found.file, found.box) == (wanted.name, wanted.file, wanted.box)
            assert np.allclose(found.template, wanted.template, atol=1e-3)
    assert os.stat(path).st_mode & 0o077 == 0
    with pytest.raises(OutputError):
        write_index(path, _entries(), model="m 1", dim=32, key=key)


def test_nothing_can_be_read_without_the_key(tmp_path):
    path = tmp_path / "faces.db"
    key = read_key(tmp_path / "key", make=True)
    write_index(path, _entries(), model="m 1", dim=32, key=key)
    content = path.read_bytes()
    assert b"person-1" not in content and b"f1.jpg" not in content and b"template" not in content
    with pytest.raises(UsageError, match="is encrypted"), open_index(path):
        pass
    other = read_key(tmp_path / "other", make=True)
    with pytest.raises(UsageError, match="the key is another one"), open_index(path, other) as index:
        list(index.entries())
    base = sqlite3.connect(path)
    rows = base.execute("SELECT payload FROM faces ORDER BY id").fetchall()
    base.execute("UPDATE faces SET payload = ? WHERE id = 1", rows[1])  # a row in the place of another
    base.commit()
    base.close()
    with pytest.raises(UsageError, match="face 1 was changed"), open_index(path, key) as index:
        list(index.entries())


def test_deleted_faces_leave_no_byte(key, tmp_path):
    path = tmp_path / "faces.db"
    write_index(path, _entries(40), model="m 1", dim=32, key=key)
    base = sqlite3.connect(path)
    payloads = dict(base.execute("SELECT id, payload FROM faces").fetchall())
    base.close()
    with open_index(path, key) as index:
        gone = index.forget(name="person-1")
        gone += index.forget(number=1)
        assert index.forget(name="nobody") == []
    assert {entry.name for entry in gone} == {"person-1", "person-0"}
    content = path.read_bytes()
    for entry in gone:
        assert bytes(payloads[entry.id])[12:60] not in content
    assert bytes(payloads[3])[12:60] in content
    with open_index(path, key) as index:
        assert {entry.name for entry in index.entries()} == {"person-0", "person-2"}
    assert sorted(item.name for item in tmp_path.iterdir() if item.name.startswith("faces")) == ["faces.db"]


def test_key_files(tmp_path):
    path = tmp_path / "key"
    with pytest.raises(MissingError):
        read_key(path)
    made = read_key(path, make=True)
    assert read_key(path) == made and len(made) == 32
    assert os.stat(path).st_mode & 0o077 == 0
    for content in (b"", b"short", b"QUJD"):
        path.write_bytes(content)
        with pytest.raises(UsageError):
            read_key(path)
    with pytest.raises(OutputError):
        read_key(tmp_path / "absent" / "key", make=True)


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, None])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "bad.db"
    if content is None:  # a database of another program
        base = sqlite3.connect(path)
        base.execute("CREATE TABLE about (key TEXT, value TEXT)")
        base.commit()
        base.close()
    else:
        path.write_bytes(content)
    with pytest.raises(UnreadableInputError, match=r"bad\.db"), open_index(path):
        pass
    with pytest.raises(UnreadableInputError, match="no such index"), open_index(tmp_path / "absent.db"):
        pass


def test_a_truncated_index_is_told(tmp_path):
    path = tmp_path / "faces.db"
    write_index(path, _entries(200), model="m 1", dim=32)
    shutil.copy(path, tmp_path / "cut.db")
    os.truncate(tmp_path / "cut.db", path.stat().st_size // 2)
    with pytest.raises(UnreadableInputError), open_index(tmp_path / "cut.db") as index:
        list(index.entries())
