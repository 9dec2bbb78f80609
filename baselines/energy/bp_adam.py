"""Backpropagation with Adam: what everything else here is measured against.

D. E. Rumelhart, G. E. Hinton, R. J. Williams, 1986, "Learning representations by back-propagating
errors", https://doi.org/10.1038/323533a0, with the steps of D. P. Kingma, J. Ba, 2014, "Adam: A
Method for Stochastic Optimization", https://arxiv.org/abs/1412.6980.

Departs from the paper:
1. Cross-entropy and ReLU in place of squared error and sigmoids, as in all methods here.
2. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared import flops
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class BpAdam:
    """The chain rule through all layers, and a step size per weight."""

    lr: float = 1e-3  # step size of Adam
    batch_size: int = 50  # samples per step

    space = {"lr": LogUniform(1e-4, 1e-2)}
    requires = frozenset({"labels", "layers"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr)

    def learn(self, experience: Labelled) -> None:
        update = flops.adam(self.model.parameters())
        for x, y in experience.batches(self.batch_size):  # (B, inputs) float32, (B,) int64
            loss = F.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            experience.spend(uncounted_flops=update)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
