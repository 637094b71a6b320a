"""pytorch-msssim: the structural similarity of images and volumes, its gradients, and training by it."""

import pytest
import torch
from agreement import agree, drawn
from pytorch_msssim import MS_SSIM, SSIM, ms_ssim, ssim

A, B = (drawn(2, 3, 180, 180, seed=s).sigmoid() for s in (0, 1))


@pytest.mark.parametrize(
    "options", [{}, {"size_average": False}, {"win_size": 7}, {"nonnegative_ssim": True}, {"K": (0.02, 0.05)}]
)
def test_ssim(options):
    x = A[..., :40, :40].clone().requires_grad_()
    found = ssim(x, B[..., :40, :40], data_range=1.0, **options)
    found.sum().backward()
    agree(f"ssim-{'-'.join(options)}", {"found": found, "gradient": x.grad}, 1e-4, 2e-6)


def test_ms_ssim():
    x = A.clone().requires_grad_()
    found = ms_ssim(x, 0.7 * A + 0.3 * B, data_range=1.0)
    found.backward()
    agree("ms-ssim", {"found": found, "gradient": x.grad}, 1e-3, 1e-8)


def test_volumes():
    volume = drawn(1, 2, 14, 14, 14).sigmoid()
    agree("volumes", {"found": SSIM(data_range=1.0, channel=2, spatial_dims=3)(volume, volume * 0.9)})


def test_training_by_it():
    x = torch.nn.Parameter(B[:1, :1, :64, :64].clone())
    measure, optimizer = SSIM(data_range=1.0, channel=1), torch.optim.Adam([x], lr=0.02)
    first = None
    for _ in range(10):
        loss = 1 - measure(x, A[:1, :1, :64, :64])
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    agree("training", {"loss": loss}, 1e-3)
    assert loss.item() < first
    assert MS_SSIM(data_range=1.0, channel=3)(A, A).item() == pytest.approx(1, abs=1e-5)
