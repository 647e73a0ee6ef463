"""Bad pictures through the commands that judge them: exit code 3, one line that names the file, nothing harmed."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from fakes.photographs import photograph
from vitapps.apps.main import main
from vitapps.shared_backbones.weights.cards import list_cards

JPEG = cv2.imencode(".jpg", photograph(0, 96, 96, quality=0))[1].tobytes()
BOMB = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x0f\xff\xff\x00\x0f\xff\xff\x08\x02\x00\x00\x00\x00\x00\x00\x00"
CONTENTS = {"absent": None, "empty": b"", "text": b"no picture", "truncated": JPEG[: len(JPEG) // 3], "bomb": BOMB}
VERBS = {"localize": "out.png", "liveness": "out.json", "deepfake": "out.json", "expression": "out.json"}


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb == "localize" or f"face-{verb}" in list_cards()])
@pytest.mark.parametrize("content", CONTENTS)
def test_bad_picture(content: str, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, out = tmp_path / "bad.jpg", tmp_path / VERBS[verb]
    if (data := CONTENTS[content]) is not None:
        picture.write_bytes(data)
    out.write_text("an earlier result")
    words = ["face", verb, str(picture), "-o", str(out), "--overwrite", *(["--crop"] if verb != "localize" else [])]
    assert main(words) == 3
    shown = capsys.readouterr()
    errors = [line for line in shown.err.splitlines() if line.startswith("vitapps: error: ")]
    assert len(errors) == 1 and "bad.jpg" in errors[0] and "Traceback" not in shown.err and shown.out == ""
    assert out.read_text() == "an earlier result" and {item.name for item in tmp_path.iterdir()} <= {
        "bad.jpg",
        out.name,
    }
