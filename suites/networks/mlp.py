"""Networks that scenarios name in a `Call`. Imported only in the process of a method."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def active_outputs(outputs: int, heads: Sequence[Sequence[int]] | None) -> Tensor | None:
    """Which outputs belong to each task (T, outputs) bool, from each task's labels."""
    if heads is None:
        return None
    active = torch.zeros(len(heads), outputs, dtype=torch.bool)
    for task, labels in enumerate(heads):
        active[task, list(labels)] = True
    return active


class Mlp(nn.Module):
    """Fully connected layers with ReLU between them; several heads are parts of one output."""

    active: Tensor | None

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        heads: Sequence[Sequence[int]] | None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, following in pairwise([inputs, *hidden]):
            layers += [nn.Linear(width, following), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear([inputs, *hidden][-1], outputs))
        active = active_outputs(outputs, heads)
        # Not persistent: it is no weight, so an audit of the state dict must not count it.
        self.register_buffer("active", active, persistent=False)  # (T, outputs) bool

    def forward(self, x: Tensor, task: int | Tensor | None = None) -> Tensor:
        """Logits (B, outputs) of x (B, ...); -inf outside the head of `task` where there are heads.

        `task` is one position in the stream for all of x, or one per sample (B,) int64; with None
        every output is active.
        """
        logits: Tensor = self.layers(x.flatten(1))
        if self.active is None or task is None:
            return logits
        return logits.masked_fill(~self.active[task], -torch.inf)


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    heads: Sequence[Sequence[int]] | None = None,
) -> Mlp:
    """A network with layers of these widths, initialised as torch does by default.

    `heads` lists each task's labels; without it, `task` is ignored.
    """
    return Mlp(inputs, hidden, outputs, heads)
