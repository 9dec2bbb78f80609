"""Backpropagation through time for spiking networks, with surrogate gradients.

E. O. Neftci, H. Mostafa, F. Zenke, 2019, "Surrogate Gradient Learning in Spiking Neural Networks",
https://arxiv.org/abs/1901.09948. The network is unrolled over its T steps and differentiated as
one graph, with a bell curve around the threshold in place of a spike's derivative; so all T steps
stay in memory until the backward pass.

Departs from the paper:
1. No gradient through the reset: F. Zenke, T. P. Vogels, 2021, "The Remarkable Robustness of
   Surrogate Gradient Learning for Instilling Complex Function in Spiking Neural Networks",
   https://doi.org/10.1162/neco_a_01367, found that it does harm.
2. Cross-entropy of mean outputs; direct coding computes the first layer's input once for all t.
3. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared import flops
from baselines.shared.surrogate import spike
from harness.contract import Labelled, Problem
from harness.space import LogUniform, Uniform


@dataclass
class SnnBptt:
    """The chain rule through all layers and all time steps."""

    lr: float = 1e-3  # step size of Adam
    width: float = 0.25  # of the surrogate's bell around the threshold, in membrane potential
    batch_size: int = 50  # samples per step

    space = {"lr": LogUniform(1e-4, 1e-2), "width": Uniform(0.1, 1.0)}
    requires = frozenset({"labels", "spiking"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr)

    def learn(self, experience: Labelled) -> None:
        update = flops.adam(self.model.parameters())
        for x, y in experience.batches(self.batch_size):  # (B, inputs) float32, (B,) int64
            loss = F.cross_entropy(self.logits(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            experience.spend(uncounted_flops=update)

    def logits(self, x: Tensor) -> Tensor:
        """Mean outputs (B, classes) of x (B, inputs), with a gradient; layer by layer, all t."""
        net = self.model
        first, *between, readout = net.layers
        currents = first(x).expand(net.steps, -1, -1)  # (T, B, width)
        s = self.spikes(currents)
        for layer in between:
            s = self.spikes(layer(s))
        return readout(s.mean(0))

    def spikes(self, currents: Tensor) -> Tensor:
        """s_l[1..T] of one layer, from what flows in; both (T, B, width)."""
        net, u, s, found = self.model, 0.0, torch.zeros(()), []
        for current in currents:
            u = net.advance(u, s.detach(), current)
            s = spike(u, net.threshold, self.width)
            found.append(s)
        return torch.stack(found)

    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
