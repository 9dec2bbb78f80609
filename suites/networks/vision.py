"""Convolutional networks that scenarios name in a `Call`, with heads as in `networks`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suites.networks.mlp import active_outputs


class Masked(nn.Module):
    """Features, then one linear layer; outputs of other tasks are -inf where the task is told."""

    active: Tensor | None

    def __init__(
        self, features: nn.Module, width: int, outputs: int, heads: Sequence[Sequence[int]] | None
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(*features.children(), nn.Linear(width, outputs))
        self.register_buffer("active", active_outputs(outputs, heads), persistent=False)

    def forward(self, x: Tensor, task: int | Tensor | None = None) -> Tensor:
        """Logits (B, outputs) of images (B, C, H, W); see `networks.Mlp.forward`."""
        logits: Tensor = self.layers(x)
        if self.active is None or task is None:
            return logits
        return logits.masked_fill(~self.active[task], -torch.inf)


class Pixels(nn.Module):
    """Square images from what may be flat: methods feed `layers` with flattened inputs, too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) or (B, C H W) -> (B, C, H, W), H = W."""
        if x.dim() == 4:
            return x
        side = round((x.shape[1] / self.channels) ** 0.5)
        return x.reshape(len(x), self.channels, side, side)


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut (K. He et al., 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, after, H / stride, W / stride)."""
        h = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(h)) + self.shortcut(x))


def cnn(
    channels: int, size: int, outputs: int, heads: Sequence[Sequence[int]] | None = None
) -> Masked:
    """Two convolutions of 32 and 64 channels with pooling, a hidden layer of 128."""
    width = 64 * (size // 4) ** 2
    features = nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(width, 128), nn.ReLU(),
    )  # fmt: skip
    return Masked(features, 128, outputs, heads)


def reduced_resnet18(
    channels: int, width: int, outputs: int, heads: Sequence[Sequence[int]] | None = None
) -> Masked:
    """ResNet-18 for 32x32 images, `width` channels in place of 64 in the first stage.

    20 of them in D. Lopez-Paz, M. Ranzato, 2017, "Gradient Episodic Memory for Continual Learning",
    https://arxiv.org/abs/1706.08840.
    """
    stages: list[nn.Module] = [
        Pixels(channels),
        nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
    ]  # fmt: skip
    before = width
    for i in range(4):
        after = width << i
        stages += [Residual(before, after, 1 if i == 0 else 2), Residual(after, after, 1)]
        before = after
    features = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Masked(features, before, outputs, heads)
