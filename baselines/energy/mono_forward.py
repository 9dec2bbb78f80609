"""Mono-Forward: every layer learns to name the class by itself, from a projection of its own.

J. Gong, B. Li, W. Abdulla, 2025, "Mono-Forward: Backpropagation-Free Algorithm for Efficient Neural
Network Training Harnessing Local Errors", https://arxiv.org/abs/2501.09238. Layer i has a matrix
M_i (classes, width) beside its weights and learns both from its own loss alone:

    a_i = ReLU(W_i a_{i-1} + b_i) ,    G_i = a_i M_i^T ,    L_i = cross-entropy(softmax G_i, y) .

The class is the largest entry of the last G: inference costs what it costs after backpropagation.

Departs from the paper:
1. The scenario's output layer, which has a bias, serves as the M of the last hidden layer.
2. Network and budget are the scenario's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.shared import flops
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class MonoForward:
    """No gradient leaves the layer it was computed in."""

    lr: float = 1e-3  # step size of Adam
    batch_size: int = 50  # samples per step

    space = {"lr": LogUniform(1e-4, 1e-2)}
    requires = frozenset({"labels", "layers"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        *self.hidden, output = (m for m in self.model.layers if isinstance(m, nn.Linear))
        sizes = [(w.out_features, problem.classes) for w in self.hidden[:-1]]
        own = [nn.utils.skip_init(nn.Linear, *size, bias=False) for size in sizes]
        for m in own:  # as torch does by default
            nn.init.kaiming_uniform_(m.weight, math.sqrt(5), generator=problem.rng)
        self.model.projections = nn.ModuleList(own).to(problem.device)
        self.projections = [*own, output]  # M_1 .. M_L
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr)

    def learn(self, experience: Labelled) -> None:
        update = flops.adam(self.model.parameters())
        for x, y in experience.batches(self.batch_size):  # (B, inputs) float32, (B,) int64
            self.optimizer.zero_grad()
            a = x
            for w, m in zip(self.hidden, self.projections, strict=True):
                a = F.relu(w(a.detach()))  # (B, width)
                F.cross_entropy(m(a), y).backward()  # frees what it needed before the next layer
            self.optimizer.step()
            experience.spend(uncounted_flops=update)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
