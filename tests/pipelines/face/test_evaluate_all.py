"""`face eval all`: what is there is scored once, what is missing is named, one failure stops nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.photographs import photograph, write_png
from vitapps.apps.main import main
from vitapps.errors import OutputError, UnreadableInputError
from vitapps.pipelines.face.evaluate_all import EVALUATIONS, Evaluation, Setting, evaluate_all

LINES = dict.fromkeys("abc", lambda report: [f"scored {report}"])


def bad(*_: Any) -> list[str]:
    raise UnreadableInputError("broken", hint="mend it")


def test_parts(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()

    def good(data: Path, setting: Setting) -> list[str]:
        return [str(data), str(setting.limit)]

    parts = evaluate_all(
        tmp_path, LINES, Setting(limit=7),
        evaluations={"a": Evaluation("one", bad), "b": Evaluation("two", good), "c": Evaluation("one", good)},
    )  # fmt: skip
    assert [(part.name, part.table, part.failed) for part in parts] == [
        ("a", None, "broken"), ("b", None, ""), ("c", [str(tmp_path), "7"], ""),
    ]  # fmt: skip
    assert "two" in parts[1].skipped and parts[2].lines == [f"scored {parts[2].table}"] and parts[2].peak_mb > 10
    with pytest.raises(UnreadableInputError, match="two"):
        evaluate_all(tmp_path, LINES, evaluations={"b": Evaluation("two", good)})


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    data, keep = tmp_path / "data", tmp_path / "keep"
    (data / "one").mkdir(parents=True)
    calls: list[str] = []

    def run(name: str, *, stop: bool = False) -> Any:
        def score(*_: Any) -> list[float]:
            calls.append(name)
            if stop:
                raise KeyboardInterrupt
            return [0.5, float("nan")]

        return Evaluation("one", score)

    with pytest.raises(KeyboardInterrupt):
        evaluate_all(data, LINES, keep=keep, evaluations={"a": run("a"), "b": run("b", stop=True)})
    rest = {"a": run("a"), "b": run("b"), "c": Evaluation("one", bad)}
    parts = evaluate_all(data, LINES, keep=keep, evaluations=rest)
    assert calls == ["a", "b", "b"] and [part.kept for part in parts] == [True, False, False]
    assert parts[0].table == [0.5, None] and parts[0].lines == ["scored [0.5, nan]"]
    assert not (keep / "c.json").exists()  # what failed is scored again
    evaluate_all(data, LINES, Setting(limit=3), keep=keep, evaluations=rest)
    (data / "one" / "new.txt").write_text("another picture")
    evaluate_all(data, LINES, Setting(limit=3), keep=keep, evaluations=rest)
    assert calls[3:] == ["a", "b", "a", "b"]  # another limit, other data


def test_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "a.json").write_text('{"mine": 1}')
    with pytest.raises(OutputError, match=r"a\.json"):
        evaluate_all(tmp_path, LINES, keep=tmp_path, evaluations={"a": Evaluation("one", bad)})
    assert (tmp_path / "a.json").read_text() == '{"mine": 1}'


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    for name in ("Tp", "Gt", "Au"):
        (data / "localize" / name).mkdir(parents=True)
    mask = np.zeros((96, 128), np.uint8)
    mask[20:60, 30:80] = 255
    write_png(data / "localize" / "Tp" / "a.png", photograph(1, 96, 128))
    write_png(data / "localize" / "Gt" / "a.png", mask)
    write_png(data / "localize" / "Au" / "b.png", photograph(2, 96, 128))
    words = ["face", "eval", "all", "--data", str(data), "--keep", str(tmp_path / "keep")]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["tables"]) == {"localize"} and set(found["skipped"]) == set(EVALUATIONS) - {"localize"}
    assert {row["method"] for row in found["tables"]["localize"]["rows"]} >= {"all", "ela", "selfmatch"}
    assert main(words) == 0
    said = capsys.readouterr().out
    assert ", kept)" in said and "selfmatch" in said and "CPU time of all tables" in said
    (data / "localize" / "Gt" / "a.png").unlink()
    assert main(words) == 6
    assert "no mask for a.png" in capsys.readouterr().out
