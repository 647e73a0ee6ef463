"""The disk cache: bounded, self-healing, safe to share; and the engines go through it."""

import gc
import os
import subprocess
import sys

import numpy as np
import pytest

from vitapps.options import RunOptions
from vitapps.shared_backbones.engines import onnxruntime, openvino
from vitapps.shared_backbones.engines.cache import CONTENT_AT, DiskCache, cache_folder, entry_key, open_cache
from vitapps.shared_backbones.engines.load import load_model


@pytest.fixture
def card(vit):
    return vit


def test_what_is_put_comes_back(tmp_path):
    cache = DiskCache(tmp_path / "deep" / "folder")
    assert cache.get("a") is None
    cache.put("a", b"content")
    assert cache.get("a") == b"content"
    assert list(cache.contents()) == [b"content"]
    cache.remove("a")
    assert cache.get("a") is None


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:80] + b"x" + b[81:], lambda b: b"?" + b]
)
def test_a_damaged_entry_is_forgotten(tmp_path, damage):
    cache = DiskCache(tmp_path)
    cache.put("a", bytes(100))
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("a") is None
    assert not path.exists()
    path.write_bytes(damage(bytes(164)))
    assert cache.mapped("a") is None
    assert not path.exists()


def test_a_mapped_entry_outlives_its_file_and_leaves_it_as_it_was(tmp_path):
    cache = DiskCache(tmp_path)
    assert cache.mapped("a") is None
    cache.put("a", b"content")
    found = cache.mapped("a")
    assert found is not None and found[CONTENT_AT:] == b"content"
    found[CONTENT_AT:] = b"changed"
    assert cache.get("a") == b"content"
    cache.remove("a")
    assert found[CONTENT_AT:] == b"changed"


def test_the_entries_used_longest_ago_go(tmp_path):
    cache = DiskCache(tmp_path, limit=350)
    for age, key in enumerate("abc"):
        cache.put(key, bytes(36))  # 100 bytes with its head
        os.utime(tmp_path / f"{key}.entry", (age, age))
    assert cache.get("a") is not None  # used now
    cache.put("d", bytes(36))
    assert [cache.get(key) is not None for key in "abcd"] == [True, False, True, True]
    assert cache.size() <= 350
    cache.put("huge", bytes(400))
    assert cache.get("huge") is None
    assert cache.get("d") is not None


def test_an_unwritable_folder_is_no_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VITAPPS_CACHE", str(tmp_path / "file"))
    assert open_cache("x") is None
    DiskCache(tmp_path / "file").put("a", b"b")  # nor an error


def test_the_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.delenv("VITAPPS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert cache_folder() == tmp_path / "vitapps"
    monkeypatch.setenv("VITAPPS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_keys_depend_on_every_part():
    parts = {"graph": "1", "engine": "2", "cpu": ("a", "b")}
    keys = {entry_key(parts), *(entry_key({**parts, name: "other"}) for name in parts)}
    assert len(keys) == 4
    assert entry_key(parts) == entry_key(dict(reversed(parts.items())))


def test_many_processes_share_one_folder(tmp_path):
    """Writers and readers of the same few keys, with a limit that evicts all the time: nothing but whole entries."""
    code = (
        "import random, sys\n"
        "from pathlib import Path\n"
        "from vitapps.shared_backbones.engines.cache import DiskCache\n"
        f"cache = DiskCache(Path({str(tmp_path)!r}), limit=30_000)\n"
        "draw = random.Random(int(sys.argv[1]))\n"
        "for _ in range(60):\n"
        "    key = draw.choice('abcdef')\n"
        "    cache.put(key, key.encode() * 8000)\n"
        "    found = cache.get(draw.choice('abcdef'))\n"
        "    assert found is None or found == found[:1] * 8000\n"
    )
    running = [subprocess.Popen([sys.executable, "-P", "-c", code, str(seed)]) for seed in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert all(path.suffix == ".entry" for path in tmp_path.iterdir())


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_compiled_network_is_kept_and_a_damaged_one_made_again(card, engine, tmp_path, monkeypatch):
    monkeypatch.setenv("VITAPPS_CACHE", str(tmp_path))
    image = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    options = RunOptions(engine=engine, device="cpu", threads=1)

    def entry():
        (path,) = (tmp_path / engine).iterdir()
        return path

    first = load_model(card, options)(image)[0]
    stored = entry().read_bytes()
    module = {"openvino": openvino, "onnxruntime": onnxruntime}[engine]
    if engine == "openvino":  # the second load reads no graph
        monkeypatch.setattr(module, "read_graph", lambda *_: pytest.fail("the graph was read again"))
    again = load_model(card, options)
    gc.collect()  # nothing but the model holds what it computes with
    assert np.array_equal(again(image)[0], first)
    monkeypatch.undo()
    monkeypatch.setenv("VITAPPS_CACHE", str(tmp_path))
    entry().write_bytes(stored[: len(stored) // 2])
    assert np.array_equal(load_model(card, options)(image)[0], first)
    assert len(entry().read_bytes()) > 0.9 * len(stored)  # names of nodes differ in length
    DiskCache(tmp_path / engine).put(entry().stem, b"whole, but no network")
    assert np.array_equal(load_model(card, options)(image)[0], first)
    assert len(entry().read_bytes()) > 0.9 * len(stored)  # names of nodes differ in length


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_work_without_a_cache(card, engine, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VITAPPS_CACHE", str(tmp_path / "file"))
    image = np.zeros((1, 3, 32, 32), np.float32)
    assert load_model(card, RunOptions(engine=engine, device="cpu", threads=1))(image)[0].shape == (1, 10)
    chosen = load_model(card, RunOptions(device="cpu", threads=1))
    assert "not measured" in chosen.reason
    assert chosen.precision == "exact"
