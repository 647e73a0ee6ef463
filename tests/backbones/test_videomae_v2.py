"""Dual masking: tubes that hold through time, an encoder that sees nothing hidden, a loss on what is asked for."""

from __future__ import annotations

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.ssl._clip_tokens import encode, normalised_tubelets, tube_mask
from vitapps.shared_backbones.ssl.videomae_v2 import VideoMae, VideoMaeConfig, running_cells

GRID = (2, 4, 4)


def made(**changes: object) -> VideoMae:
    torch.manual_seed(0)
    encoder = ViT(
        ViTConfig(
            in_chans=1, image_size=(4, 16, 16), patch=(2, 4, 4), dim=24, depth=1, heads=2, class_token=False,
            pos="sincos", pool="mean",
        )
    )  # fmt: skip
    return VideoMae(encoder, VideoMaeConfig(hidden=0.75, decoder_dim=24, decoder_depth=1, decoder_heads=2, **changes))  # type: ignore[arg-type]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_tubes_hide_the_same_places_at_all_times() -> None:
    seen = tube_mask(5, GRID, 0.75, seeded()).reshape(5, 2, 16)
    assert (seen.sum(dim=2) == 4).all()
    assert torch.equal(seen[:, 0], seen[:, 1])
    assert not torch.equal(seen[0], seen[1])
    with pytest.raises(UsageError, match="hidden"):
        tube_mask(1, GRID, 1.0)


def test_running_cells_take_half_and_turn() -> None:
    cells = running_cells(GRID).reshape(GRID)
    assert cells[0, :2, :2].sum() == 2
    assert torch.equal(cells[0], ~cells[1])


@pytest.mark.parametrize("dual", [True, False])
def test_the_encoder_sees_nothing_hidden(dual: bool) -> None:
    module = made(dual=dual)
    clip = torch.randn(2, 1, 4, 16, 16, generator=seeded())
    seen = tube_mask(2, GRID, 0.75, seeded())
    places = seen.int().argsort(dim=1, descending=True, stable=True)[:, :8]
    pixels = seen.reshape(2, 1, *GRID).repeat_interleave(2, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    other = torch.where(pixels, clip, clip + 5 * torch.randn_like(clip))
    with torch.inference_mode():
        assert torch.equal(encode(module.encoder, clip, places), encode(module.encoder, other, places))
        assert not torch.equal(encode(module.encoder, clip, places), encode(module.encoder, clip + 1, places))


def test_targets_are_tubelets_of_unit_deviation() -> None:
    clip = 7 + 3 * torch.randn(1, 2, 4, 16, 16, generator=seeded())
    found = normalised_tubelets(clip, (2, 4, 4))
    assert found.shape == (1, 32, 64)
    first = clip[0, 0, :2, :4, :4].flatten()
    wanted = (first - first.mean()) / first.var().sqrt()
    assert torch.allclose(found[0, 0, :32], wanted, atol=1e-4)


def test_what_can_be_guessed_is_learnt() -> None:
    module = made()
    ramp = torch.linspace(-1, 1, 16)[None, None, None, None].expand(4, 1, 4, 16, 16)
    optimizer = torch.optim.AdamW(module.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = module(ramp, seeded())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_a_class_token_is_refused() -> None:
    with pytest.raises(UsageError, match="class token"):
        VideoMae(ViT(ViTConfig(image_size=(4, 16, 16), patch=(2, 4, 4), dim=24, depth=1, heads=2)), VideoMaeConfig())
