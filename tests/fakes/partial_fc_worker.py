"""One of two processes that share the centres and the batch of a Partial FC head."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, distributed

from vitapps.shared_backbones.heads.partial_fc import PartialFC

CLASSES, DIM, BATCH = 13, 8, 6


def batch() -> tuple[Tensor, Tensor]:
    """Embeddings BATCH DIM and labels BATCH, always the same."""
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.randn(BATCH, DIM, generator=generator, requires_grad=True)
    return embeddings, torch.randint(CLASSES, (BATCH,), generator=generator)


def work(rank: int, folder: str) -> None:
    """Write loss and gradients of this process's half to `folder`/`rank`.pt."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    head = PartialFC(CLASSES, DIM)
    with torch.no_grad():
        head.centres.copy_(torch.load(Path(folder) / "centres.pt")[head.first : head.first + len(head.centres)])
    embeddings, labels = batch()
    half = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    mine = embeddings.detach()[half].requires_grad_()
    loss = head(mine, labels[half])
    loss.backward()
    found = {"loss": loss.detach(), "centres": head.centres.grad, "embeddings": mine.grad}
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()
