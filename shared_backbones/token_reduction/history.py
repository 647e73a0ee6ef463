"""History router: what the last frames' objects resemble goes through the blocks, the rest passes them by and comes
back (Zhang et al. 2024, ToC3D, arXiv:2409.00633)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState, ascending, drop

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "S066",
    "name": "history",
    "family": "token_reduction",
    "paper": "Zhang et al. 2024, ToC3D, arXiv:2409.00633",
    "equation": "motion query-guided token selection; dynamic router, salient tokens take the blocks",
    "deviations": "likeness of tokens to the objects' last tokens and nearness to where they are expected, in place "
    "of a trained attention and its loss; the cheap path is the identity; one view, two dimensions",
    "slots": ["reducer"],
    "cost": "O(Q N C) once for Q objects",
    "status": "paper",
}
NEAR = 1.0  # weight of a place against a likeness of 1
REACH = 0.1  # of the image: how fast nearness falls


class HistoryRouter(Reducer):
    """Without a history nothing is routed: every token takes every block. `span`: blocks of the route."""

    stage = "before"
    needs = "the objects of the frames before (`remember`)"

    def __init__(self, span: int, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.span, self.grid = span, grid
        self._objects: Tensor | None = None
        self._places: Tensor | None = None

    def remember(self, objects: Tensor | None, places: Tensor | None = None) -> None:
        """For the frames to come: tokens B Q C of the objects seen last, as they enter the route, and where in 0..1 of
        each axis they are expected now, B Q axes (motion added; None: anywhere). None forgets."""
        self._objects, self._places = objects, places

    def forward(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None = None) -> tuple[Tensor, TokenState]:
        return super().forward(x, state, 0 if self._objects is None else r, metric)

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        scores = self.salience(x[:, state.prefix :])
        kept = ascending(scores.topk(scores.shape[1] - r, dim=1).indices)  # B n-r
        return drop(x, state, kept, parked=x)

    def salience(self, patches: Tensor) -> Tensor:
        """How much each patch B n C promises an object, B n: the best of all objects, by likeness and nearness."""
        assert self._objects is not None
        unit, seen = (functional.normalize(part.float(), dim=-1) for part in (patches, self._objects))
        found = unit @ seen.transpose(1, 2)  # B n Q, -1..1
        if self._places is not None:
            if patches.shape[1] != (count := torch.Size(self.grid).numel()):
                raise UsageError(f"{patches.shape[1]} patches, the places are of {count}", hint="the native image size")
            centres = [(torch.arange(size, device=patches.device) + 0.5) / size for size in self.grid]
            where = torch.stack(torch.meshgrid(*centres, indexing="ij"), dim=-1).flatten(0, -2)  # n axes
            away = (where[None, :, None] - self._places.float()[:, None]).square().sum(dim=-1)  # B n Q
            found = found + NEAR * torch.exp(-away / (2 * REACH**2))
        return found.amax(dim=-1)


def build(config: ViTConfig) -> HistoryRouter:
    """Slots `reduce_span`, blocks that the others pass by, and the native grid."""
    routed = [index for index, r in enumerate(config.reduce) if r]
    if routed and config.reduce_span < 1:
        raise UsageError("history needs a span", hint="set reduce_span, the number of blocks of the route")
    return HistoryRouter(config.reduce_span, config.grid)
