"""`doc layout` and `doc eval-layout`: JSON, record and preview; measures on made-up folders; bad inputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fakes.line_readers import FakeReader
from vitapps.apps.main import main
from vitapps.datasets.formats.page_json import page_from_dict, read_pages
from vitapps.datasets.formats.page_text import Block, Line, Page, quad_of
from vitapps.datasets.formats.picture import Picture
from vitapps.datasets.synth.pages import make_page
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.pipelines.document.evaluate_layout import covered
from vitapps.pipelines.document.lay_out import layout_page
from vitapps.pipelines.document.read_page import PageReader, read_page

FACES = find_faces(())  # Pillow's own, on every machine the same


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.png"
    Image.fromarray(
        make_page(11, faces=FACES, body=(22, 22), kind="article", turn=0, skew=0.0, worn=False, largest=700).image
    ).save(path)
    return path


def test_layout_is_written_with_record_and_preview(page_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main(["doc", "layout", str(page_file), "-o", str(out), "--preview", "--quiet"]) == 0
    (page,) = read_pages(out)
    assert len(page.lines) > 10
    assert not page.words
    record = json.loads((tmp_path / "out.json.run.json").read_text())
    assert record["results"]["lines"] == len(page.lines)
    with Image.open(tmp_path / "out.json.preview.png") as drawn:
        assert max(drawn.size) <= 1600
    before = out.read_bytes()
    assert main(["doc", "layout", str(page_file), "-o", str(out), "--quiet"]) == 5
    assert out.read_bytes() == before


def test_layout_is_printed_and_a_pdf_has_a_tree_a_page(
    page_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doc", "layout", str(page_file), "--layout", "rules", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (page,) = [page_from_dict(item) for item in printed["pages"]]
    assert len(page.lines) == printed["lines"] > 10
    book = tmp_path / "book.pdf"
    with Image.open(page_file) as image:
        image.convert("L").save(book, save_all=True, append_images=[image.convert("L")], resolution=100)
    assert main(["doc", "layout", str(book), "--layout", "rules", "-o", str(tmp_path / "book.json"), "--quiet"]) == 0
    assert [page.number for page in read_pages(tmp_path / "book.json")] == [1, 2]


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"no picture at all"])
def test_what_is_no_picture_is_refused_in_one_line(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    assert main(["doc", "layout", str(path), "-o", str(tmp_path / "o.json")]) == 3
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "o.json").exists()
    assert main(["doc", "layout", str(tmp_path / "absent.png")]) == 3


def test_measures_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doc", "eval-layout", "--data", str(tmp_path)]) == 3
    made = make_page(11, faces=FACES, body=(22, 22), kind="article", turn=0, skew=0.0, worn=False, largest=700)
    for name in ("sroie", "pages", "publaynet"):
        (tmp_path / name).mkdir()
        Image.fromarray(made.image).save(tmp_path / name / "a.jpg")
    rows = [",".join(str(round(value)) for corner in line.quad for value in corner) for line in made.page.lines]
    (tmp_path / "sroie" / "a.csv").write_text("\n".join(f"{row},some, text" for row in rows))
    boxes = [[block.box[0], block.box[1], block.box[2] - block.box[0], block.box[3] - block.box[1]]
             for block in made.page.blocks]  # fmt: skip
    kinds = ["text", "title", "list", "table", "figure"]
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": number, "name": kind} for number, kind in enumerate(kinds)],
        "annotations": [
            {"image_id": 1, "bbox": box, "category_id": kinds.index(block.kind) if block.kind in kinds else 0}
            for box, block in zip(boxes, made.page.blocks, strict=True)
        ],
    }
    (tmp_path / "publaynet" / "coco.json").write_text(json.dumps(coco))
    capsys.readouterr()
    assert main(["doc", "eval-layout", "--data", str(tmp_path), "--json"]) == 0
    cover, *blocks, turns = json.loads(capsys.readouterr().out)["rows"]
    assert cover["score"] > 0.9
    assert [row["measure"].rsplit(", ", 1)[1] for row in blocks] == ["rules", "network"] * 3
    assert all(row["recall"] > 0.3 for row in blocks[:2])
    assert turns["right"] == turns["total"] == 4


def test_cover_wants_more_than_six_tenths_of_a_box() -> None:
    block = Block(lines=(Line(words=(), quad=quad_of((0, 0, 100, 20))),))
    page = Page(width=200, height=100, blocks=(block,))
    assert covered([(0, 0, 100, 20), (0, 0, 160, 20), (0, 0, 170, 20), (0, 50, 10, 60)], page) == 2


def test_a_picture_is_a_figure_and_light_writing_on_dark_is_found() -> None:
    rng = np.random.default_rng(0)
    image = Image.new("L", (900, 900), 255)
    draw = ImageDraw.Draw(image)
    for row in range(8):
        draw.text((60, 40 + 30 * row), "some plain words of a paragraph here", fill=0, font_size=22)
    image.paste(Image.fromarray(rng.integers(0, 160, (260, 400)).astype(np.uint8)), (60, 320))
    draw.rectangle((60, 640, 800, 760), fill=0)
    draw.text((90, 680), "light words upon a dark panel", fill=255, font_size=24)
    grey = np.asarray(image)
    picture = Picture(pixels=np.repeat(grey[..., None], 3, axis=2), name="made")
    page = layout_page(picture)
    assert [block.kind for block in page.blocks].count("figure") >= 1
    assert sum(line.box[3] < 300 for line in page.lines) == 8
    read = read_page(picture, PageReader(lines=FakeReader()))
    assert [640 < line.box[1] < 760 for line in read.lines].count(True) == 1
