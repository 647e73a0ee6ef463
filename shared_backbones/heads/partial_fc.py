"""Partial FC: margin softmax over a sample of the class centres, sharded over processes.

An et al. 2022, arXiv:2203.15565, section 3: every step takes the centres of the batch's own classes and random others
up to a share r of all, and updates only those. With r = 1 it is the full softmax. Over processes each holds a
contiguous shard of the centres; embeddings and labels are gathered, the softmax is normalised over all shards
(section 3.1).

    head = PartialFC(classes=1_000_000, dim=512, rate=0.1)
    loss = head(embeddings, labels)            # B dim, B; in a process group: this process's part of the batch
    loss.backward()
    LazySGD([head.centres], lr=0.1).step()     # touches the sampled rows alone
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.heads.margin_softmax import ARCFACE, Margin, margin_logits

CARD = {
    "id": "S164",
    "name": "partial_fc",
    "family": "heads",
    "paper": "An et al. 2022, arXiv:2203.15565",
    "equation": "section 3.1-3.2, eq. 3",
    "deviations": "momentum of sampled centres lies in a lazy optimizer, not in the head",
    "slots": [],
    "cost": "O(B r K dim) a step instead of O(B K dim); gradients and logits hold r K rows",
    "status": "paper",
}


class PartialFC(nn.Module):
    """`forward(embeddings B dim, labels B) -> mean loss` of the whole batch; labels count from 0 over all `classes`.

    `rate` 0..1 is the share of this shard's centres in a step (its own positives are always in). Gradients reaching
    the embeddings are those of the whole batch's mean loss; a wrapper that averages gradients over processes (DDP)
    therefore needs them times the number of processes. Raises UsageError for labels out of range.
    """

    def __init__(
        self, classes: int, dim: int, *, rate: float = 1.0, margin: Margin = ARCFACE, seed: int = 0
    ) -> None:  # fmt: skip
        super().__init__()
        if classes < 1 or not 0 < rate <= 1:
            raise UsageError(f"{classes} classes at rate {rate:g}", hint="at least one class, 0 < rate <= 1")
        self.classes, self.rate, self.margin = classes, rate, margin
        rank, number = _place()
        self.first, last = classes * rank // number, classes * (rank + 1) // number
        start = torch.randn(last - self.first, dim, generator=torch.Generator().manual_seed(seed + rank))
        self.centres = nn.Parameter(0.01 * start)
        self.draws = torch.Generator().manual_seed(seed + rank)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
            raise UsageError(f"a label outside 0 to {self.classes - 1}", hint="number the identities from 0")
        if _place()[1] > 1:
            embeddings, labels = _Gather.apply(embeddings), _gathered(labels)
        chosen, places = self.sample(labels)
        centres = self.centres if chosen is None else _rows(self.centres, chosen)  # K' dim
        cosines = functional.linear(functional.normalize(embeddings), functional.normalize(centres))  # B K'
        logits = margin_logits(cosines, places, self.margin)
        if _place()[1] > 1:
            loss: Tensor = _ShardedCrossEntropy.apply(logits, places)
            return loss
        return functional.cross_entropy(logits, places)

    def sample(self, labels: Tensor) -> tuple[Tensor | None, Tensor]:
        """Rows of this shard that take part (None: all), and for each label its place among them (-1: elsewhere)."""
        size = self.centres.shape[0]
        own = (labels >= self.first) & (labels < self.first + size)
        places = torch.where(own, labels - self.first, -1)
        if self.rate >= 1:
            return None, places
        positives = torch.unique(places[own])
        wanted = max(int(self.rate * size), len(positives))
        order = torch.rand(size, generator=self.draws).to(labels.device)
        order[positives] = 2.0  # positives first, the others at random
        chosen = torch.topk(order, wanted).indices.sort().values
        return chosen, torch.where(own, torch.searchsorted(chosen, places.clamp(min=0)), -1)


class LazySGD(torch.optim.Optimizer):
    """SGD with momentum whose state and updates touch only the rows that a sparse gradient holds (An et al. 2022,
    section 3.2: momentum of centres that were not sampled waits). Dense gradients update every row."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, *, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:  # fmt: skip
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update; the loss of `closure` where one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        gradient = parameter.grad
        rows: Tensor | slice = slice(None)
        if gradient.is_sparse:
            gradient = gradient.coalesce()
            rows, gradient = gradient.indices()[0], gradient.values()
        gradient = gradient + group["weight_decay"] * parameter[rows]
        velocity = group["momentum"] * state["momentum"][rows] + gradient
        state["momentum"][rows] = velocity
        parameter[rows] -= group["lr"] * velocity


class _Gather(torch.autograd.Function):
    """All processes' rows in order of rank; backward sums what every process wants of this one's rows."""

    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        context.count = rows.shape[0]
        return _gathered(rows)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        first = _place()[0] * context.count
        return total[first : first + context.count]


class _ShardedCrossEntropy(torch.autograd.Function):
    """Mean cross entropy of logits B K' whose columns are spread over processes; `places` B as in `margin_logits`."""

    @staticmethod
    def forward(context: Any, logits: Tensor, places: Tensor) -> Tensor:
        largest = logits.amax(dim=1)  # B
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        powers = (logits - largest[:, None]).exp()
        total = powers.sum(dim=1)
        own = places >= 0
        true = torch.where(own, logits.gather(1, places.clamp(min=0)[:, None])[:, 0], 0)
        distributed.all_reduce(total)
        distributed.all_reduce(true)
        context.save_for_backward(powers / total[:, None], places)
        return (total.log() + largest - true).mean()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        shares, places = context.saved_tensors
        rows = torch.nonzero(places >= 0)[:, 0]
        wanted = shares.clone()
        wanted[rows, places[rows]] -= 1
        return wanted * (gradients[0] / len(places)), None


def _place() -> tuple[int, int]:
    """This process's rank and the number of processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _gathered(rows: Tensor) -> Tensor:
    parts = [torch.empty_like(rows) for _ in range(_place()[1])]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def _rows(centres: Tensor, chosen: Tensor) -> Tensor:
    """Rows of the centres with a gradient that holds these rows alone."""
    return functional.embedding(chosen, centres, sparse=True)
