"""`face eval all`: what is there is scored, what is missing is named, one failure stops nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.photographs import photograph, write_png
from vitapps.apps.main import main
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.evaluate_all import EVALUATIONS, evaluate_all


def test_parts(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()

    def good(data: Path, *_: Any) -> list[str]:
        return [str(data)]

    def bad(*_: Any) -> list[str]:
        raise UnreadableInputError("broken", hint="mend it")

    parts = evaluate_all(tmp_path, evaluations={"a": ("one", bad), "b": ("two", good), "c": ("one", good)})
    assert [(part.name, part.report, part.failed) for part in parts] == [
        ("a", None, "broken"), ("b", None, ""), ("c", [str(tmp_path)], ""),
    ]  # fmt: skip
    assert "two" in parts[1].skipped
    with pytest.raises(UnreadableInputError, match="two"):
        evaluate_all(tmp_path, evaluations={"b": ("two", good)})


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Tp", "Gt", "Au"):
        (tmp_path / "localize" / name).mkdir(parents=True)
    mask = np.zeros((96, 128), np.uint8)
    mask[20:60, 30:80] = 255
    write_png(tmp_path / "localize" / "Tp" / "a.png", photograph(1, 96, 128))
    write_png(tmp_path / "localize" / "Gt" / "a.png", mask)
    write_png(tmp_path / "localize" / "Au" / "b.png", photograph(2, 96, 128))
    words = ["face", "eval", "all", "--data", str(tmp_path)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["tables"]) == {"localize"} and set(found["skipped"]) == set(EVALUATIONS) - {"localize"}
    assert {row["method"] for row in found["tables"]["localize"]["rows"]} >= {"all", "ela", "selfmatch"}
    (tmp_path / "localize" / "Gt" / "a.png").unlink()
    assert main(words) == 6
    assert "no mask for a.png" in capsys.readouterr().out
