"""Training the layout head: its pages, targets and loss, and a short run that comes out the same twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fakes.layout_networks import DETECTOR  # noqa: E402
from vitapps.datasets.formats.page_text import Block, Line, quad_of  # noqa: E402
from vitapps.datasets.synth.journal_pages import make_journal_page  # noqa: E402
from vitapps.datasets.synth.text.fonts import find_faces  # noqa: E402
from vitapps.errors import MissingError, UsageError  # noqa: E402
from vitapps.options import RunOptions  # noqa: E402
from vitapps.pipelines.document import train_layout  # noqa: E402
from vitapps.pipelines.document.layout_network import LayoutNetwork  # noqa: E402
from vitapps.pipelines.document.layout_truth import layout_loss, targets_of  # noqa: E402
from vitapps.pipelines.document.train_layout import LayoutFit, batches, check, fit_head, known_pages, split  # noqa: E402
from vitapps.shared_backbones.engines.load import load_model  # noqa: E402
from vitapps.shared_backbones.models.layout_head import (  # noqa: E402
    LAYOUT_KINDS,
    LayoutHeadConfig,
    OrderedLayoutHead,
    layout_example,
    pair_geometry,
)
from vitapps.shared_backbones.weights.cards import load_card  # noqa: E402

FACES = find_faces(())  # Pillow's own, on every machine the same
QUICK = LayoutFit(pages=3, steps=2, batch=2, seed=1)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_layout, "some_page", lambda seed: make_journal_page(seed, faces=FACES, body=(10, 12)))


def test_journal_pages_are_the_same_for_a_seed_and_their_lines_stand_on_ink() -> None:
    found = set()
    for seed in range(6):
        made = make_journal_page(seed, faces=FACES, worn=False)
        found |= {block.kind for block in made.page.blocks}
        high, wide = made.image.shape
        assert all(
            x0 >= -1 and x1 <= wide + 1 and y1 <= high + 1 for x0, _, x1, y1 in (b.box for b in made.page.blocks)
        )
        for line in made.page.lines[::7]:
            x0, y0, x1, y1 = (int(value) for value in line.box)
            assert made.image[y0 : y1 + 1, x0 : x1 + 1].min() < 215
    assert found == {"text", "title", "list", "table", "figure", "caption", "header", "footer"}
    again = make_journal_page(5, faces=FACES, worn=False)
    assert (again.image == made.image).all()
    assert again.page == made.page


def test_elements_belong_to_the_line_that_holds_them_else_to_the_smallest_block() -> None:
    line = Line(words=(), quad=quad_of((10, 10, 90, 20)))
    blocks = [
        Block(lines=(line,), kind="caption", box=(10, 10, 90, 20)),
        Block(lines=(), kind="figure", box=(0, 0, 100, 100)), Block(lines=(), kind="table", box=(40, 40, 60, 60)),
    ]  # fmt: skip
    boxes = [(12, 11, 50, 19), (20, 70, 30, 80), (45, 45, 55, 55), (200, 200, 210, 210), (5, 5, 95, 95)]
    kinds, numbers = targets_of(boxes, blocks)
    assert [LAYOUT_KINDS[kind] for kind in kinds] == ["caption", "figure", "table", "nothing", "figure"]
    assert numbers.tolist() == [0, 1, 2, -1, 1]
    assert targets_of(boxes, [])[1].tolist() == [-1] * 5


def test_the_loss_is_small_for_the_right_answer_alone() -> None:
    kinds, block = torch.tensor([1, 1, 2, 0]), torch.tensor([0, 0, 1, -1])
    one = (block[:, None] == block[None]) & (block >= 0)[:, None]
    answers = 20 * torch.nn.functional.one_hot(kinds, len(LAYOUT_KINDS)).float()[None]
    links = (40 * one.float() - 20)[None]
    order = 20 * torch.sign(block[None] - block[:, None]).float()[None]
    assert float(layout_loss((answers, links, order), kinds, block)) < 1e-4
    assert float(layout_loss((answers, -links, order), kinds, block)) > 5
    assert float(layout_loss((answers, links, -order), kinds, block)) > 5


def test_links_are_symmetric_order_is_not_and_elements_may_stand_in_any_order() -> None:
    torch.manual_seed(0)
    head = OrderedLayoutHead(LayoutHeadConfig(dim=16, depth=2, heads=2)).eval()
    rows = torch.rand(1, 7, layout_example(head.config).shape[2])
    turn = torch.randperm(7)
    with torch.inference_mode():
        kinds, links, order = head(rows)
        mixed = head(rows[:, turn])
    assert torch.equal(links, links.transpose(1, 2))
    assert torch.equal(order, -order.transpose(1, 2))
    torch.testing.assert_close(mixed[0], kinds[:, turn])
    torch.testing.assert_close(mixed[1], links[:, turn][:, :, turn])
    torch.testing.assert_close(mixed[2], order[:, turn][:, :, turn])


def test_what_is_published_answers_as_in_training_but_for_the_order() -> None:
    head = OrderedLayoutHead(LayoutHeadConfig(dim=16, depth=2, heads=2)).eval()
    rows = torch.rand(1, 7, layout_example(head.config).shape[2])
    with torch.inference_mode():
        taught, published = head(rows), head.without_order()(rows)
    assert len(published) == 2 and all(map(torch.equal, published, taught[:2]))
    left_out = set(head.state_dict()) - set(head.without_order().state_dict())
    assert {name.partition(".")[0] for name in left_out} == {"before", "after", "order_bias"}


def test_the_embedded_head_holds_no_part_for_the_order() -> None:
    network = load_model(load_card("page-layout"), RunOptions(threads=1, engine="openvino"))
    assert len(network(np.zeros((1, 3, 194), np.float32))) == 2


def test_geometry_of_a_pair() -> None:
    pair = pair_geometry(torch.tensor([[[0.0, 0, 10, 2], [4, 5, 8, 7]]]))
    steps = [4, -2, 1, 5, 5, 5, -6, 3]  # edges, middles, then the gaps: 6 over one another across, 3 apart down
    torch.testing.assert_close(pair[0, 0, 1], torch.asinh(torch.tensor(steps, dtype=torch.float32)))


@pytest.mark.usefixtures("small_pages")
def test_a_run_comes_out_the_same_twice_and_uses_the_pages_again(tmp_path: Path) -> None:
    pages = known_pages(tmp_path, QUICK, DETECTOR)
    assert [len(rows) == len(kinds) == len(blocks) > 20 for rows, kinds, blocks in pages] == [True] * 3
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    again = known_pages(tmp_path, QUICK, DETECTOR)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == kept
    assert all((one[0] == other[0]).all() for one, other in zip(pages, again, strict=True))
    first = fit_head(tmp_path / "a.pt", pages, QUICK).kind.weight
    second = fit_head(tmp_path / "b.pt", pages, QUICK).kind.weight
    fit_head(tmp_path / "c.pt", pages, replace(QUICK, steps=1))
    whole, later = list(batches(0, pages, QUICK)), list(batches(1, pages, QUICK))
    assert torch.equal(first, second)
    assert torch.equal(whole[1][0], later[0][0])
    found = check(OrderedLayoutHead(LayoutHeadConfig()).eval(), pages)
    assert all(0 <= share <= 1 for share in (found.kinds, found.links, found.order))


def test_pages_without_writing_teach_nothing() -> None:
    empty = (np.zeros((0, 0), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))
    with pytest.raises(UsageError, match="too little"):
        split([empty, empty])


@pytest.mark.usefixtures("small_pages")
def test_a_short_run_leaves_a_card_for_pages_of_any_number_of_elements(tmp_path: Path) -> None:
    path, found = train_layout.train(tmp_path, config=replace(QUICK, pages=20), detector=DETECTOR)
    card = load_card(path, "doc.layout")
    assert found.pages == 1
    assert card.training["command"].endswith("--pages 20 --steps 2 --batch 2 --seed 1")
    network = load_model(card, RunOptions(threads=1, engine="openvino"))
    for number in (1, 31):
        kinds, links = network(np.zeros((1, number, 194), np.float32))
        assert (kinds.shape, links.shape) == ((1, number, 9), (1, number, number))
    with pytest.raises(MissingError, match="trained on another"):
        LayoutNetwork.load(str(path), RunOptions(threads=1, engine="openvino"))


@pytest.mark.parametrize("change", [{"pages": 1}, {"steps": 0}, {"batch": 0}])
def test_impossible_runs_are_refused(change: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        train_layout.train(tmp_path, config=replace(QUICK, **change), detector=DETECTOR)
