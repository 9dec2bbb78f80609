"""A spiking network that scenarios name in a `Call`. Imported only in the process of a method."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class SpikingMlp(nn.Module):
    """Layers of leaky integrate-and-fire neurons, and a linear readout of their rates.

    In each of T steps, with s_0[t] = x at all of them (direct coding) and u_l[0] = s_l[0] = 0,

        u_l[t] = leak (u_l[t-1] - threshold s_l[t-1]) + W_l s_{l-1}[t] + b_l     membrane potential
        s_l[t] = 1 if u_l[t] >= threshold, else 0                                spike

    and the logits are the mean over t of o[t] = W s_L[t] + b.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        steps: int,
        leak: float,
        threshold: float,
    ) -> None:
        super().__init__()
        self.steps, self.leak, self.threshold = steps, leak, threshold
        widths = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def advance(self, u: Tensor | float, s: Tensor | float, current: Tensor) -> Tensor:
        """u[t] from u[t-1], s[t-1] and what flows in at t; all (B, width), or 0.0 before t = 1."""
        return self.leak * (u - self.threshold * s) + current

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, outputs) of x (B, inputs). Has no gradient: a spike is a step function."""
        first, *between, readout = self.layers
        current = first(x)  # (B, width): the same at every t
        u: list[Tensor | float] = [0.0] * (1 + len(between))
        s: list[Tensor | float] = [0.0] * (1 + len(between))
        rate = 0.0  # (B, width)
        for _ in range(self.steps):
            for layer in range(len(u)):
                flow = between[layer - 1](s[layer - 1]) if layer else current
                u[layer] = self.advance(u[layer], s[layer], flow)
                s[layer] = (u[layer] >= self.threshold).float()
            rate = rate + s[-1] / self.steps
        logits: Tensor = readout(rate)
        return logits


def spiking_mlp(
    inputs: int, hidden: Sequence[int], outputs: int, steps: int, leak: float, threshold: float
) -> SpikingMlp:
    """A spiking network with layers of these widths, initialised after He (2015).

    K. He et al., 2015, https://arxiv.org/abs/1502.01852. Torch's own default is smaller by a factor
    of 2.4: too small for the second layer to fire.
    """
    return SpikingMlp(inputs, hidden, outputs, steps, leak, threshold)
