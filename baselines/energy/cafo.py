"""Cascaded Forward: random blocks that are never trained, each with a linear head that is solved.

G. Zhao, T. Wang, Y. Li, Y. Jin, C. Lang, H. Ling, 2023, "The Cascaded Forward Algorithm for Neural
Network Training", https://arxiv.org/abs/2303.09728; the variant with random blocks ("CaFo-Rand")
and squared error. With A_l (N, width) what block l makes of all samples and Y (N, classes) their
labels as ones and zeros,

    W_l = (A_l^T A_l + penalty N I)^-1 A_l^T Y ,

and the class is the largest entry of the sum over blocks of softmax(A_l W_l).

Departs from the paper:
1. Blocks are the scenario's hidden layers; the paper has convolutions and pooling.
2. A block's output is standardised with the mean and deviation of the training samples, which then
   stay; the paper's batch normalisation is not frozen, so that test samples decide their own.
3. A penalty on the weights, tuned; the paper turns to the pseudo-inverse where A^T A is singular.
4. One epoch is all it needs; the rest of the budget is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.shared import flops
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Cafo:
    """One pass forward, one linear system per block, no gradient anywhere."""

    penalty: float = 0.03  # on squared weights, per sample; features have variance 1

    space = {"penalty": LogUniform(1e-4, 10.0)}
    requires = frozenset({"labels", "layers"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        *self.blocks, _ = (m for m in self.model.layers if isinstance(m, nn.Linear))
        self.classes = problem.classes
        self.model.heads = nn.ParameterList()  # W_l, each (width, classes)
        self.statistics: list[tuple[Tensor, Tensor]] = []  # mean and deviation, (width,) each

    @torch.no_grad()
    def learn(self, experience: Labelled) -> None:
        for x, y in experience.batches(len(experience), epochs=1):  # all samples at once
            targets = F.one_hot(y, self.classes).to(x.dtype)  # Y
            a = x
            for block in self.blocks:
                a = F.relu(block(a))  # (N, width)
                mean, deviation = a.mean(0), a.std(0)
                deviation[deviation == 0] = 1
                a = (a - mean) / deviation
                self.statistics.append((mean, deviation))
                self.model.heads.append(self.solution(a, targets))
                experience.spend(uncounted_flops=flops.solve(a.shape[1], self.classes))

    def solution(self, a: Tensor, targets: Tensor) -> Tensor:
        """W (width, classes), the ridge regression of targets (N, classes) on a (N, width)."""
        ridge = self.penalty * len(a) * torch.eye(a.shape[1], device=a.device)
        return torch.linalg.solve(a.T @ a + ridge, a.T @ targets)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        a, votes = inputs, inputs.new_zeros(len(inputs), self.classes)
        for block, (mean, deviation), w in zip(
            self.blocks, self.statistics, self.model.heads, strict=True
        ):
            a = (F.relu(block(a)) - mean) / deviation
            votes += F.softmax(a @ w, 1)
        return votes.argmax(1)
