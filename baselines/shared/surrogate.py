"""Surrogate gradients: what stands in for the derivative of a step function.

E. O. Neftci, H. Mostafa, F. Zenke, 2019, "Surrogate Gradient Learning in Spiking Neural Networks",
https://arxiv.org/abs/1901.09948. Here the derivative of a sigmoid around the threshold.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def slope(u: Tensor, threshold: float, width: float) -> Tensor:
    """ds/du = sigmoid(z) (1 - sigmoid(z)) / width, z = (u - threshold) / width; like u (...)."""
    p = torch.sigmoid((u - threshold) / width)
    return p * (1 - p) / width


def spike(u: Tensor, threshold: float, width: float) -> Tensor:
    """1 where u >= threshold, else 0, with `slope` as its derivative; like u (...)."""
    s: Tensor = _Spike.apply(u, threshold, width)  # type: ignore[no-untyped-call]
    return s


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, threshold: float, width: float) -> Tensor:
        ctx.save_for_backward(u)
        ctx.threshold, ctx.width = threshold, width
        return (u >= threshold).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (u,) = ctx.saved_tensors
        return gradients[0] * slope(u, ctx.threshold, ctx.width), None, None
