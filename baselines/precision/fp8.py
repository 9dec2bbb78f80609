"""8-bit floating point with a scale per tensor: E4M3 forward, E5M2 for gradients.

P. Micikevicius et al., 2022, "FP8 Formats for Deep Learning", https://arxiv.org/abs/2209.05433.
Weights and activations are rounded to E4M3, gradients of activations to E5M2, each after being
scaled so that its largest magnitude becomes the largest of the format; sums are float32.

Departs from the paper:
1. Scales come from the tensor itself ("current scaling"); the paper leaves open how they are found.
2. First and last layer stay float32, as the scenario allows; the paper keeps the last high.
3. Adam with a tuned step size by a cosine, as in all methods here.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from baselines.shared import quantised_linear as ql
from baselines.shared import schedule
from baselines.shared.optimizer_state import state_bytes
from harness.contract import Labelled, Problem
from harness.space import Choice, LogUniform


@dataclass
class Fp8:
    """Round weights and activations to E4M3 and gradients to E5M2."""

    lr: float = 0.003  # step size of Adam at the start, cosine to 0
    batch_size: int = 16  # samples per step

    space = {"lr": LogUniform(3e-4, 3e-2), "batch_size": Choice(16, 32, 64)}
    requires = frozenset({"labels", "fp8"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model, self.network = problem.model(), problem.model()
        self.names = ql.matrices(self.model, problem.constraint.high)
        e4m3, e5m2 = ql.rounded("e4m3"), ql.rounded("e5m2")
        recipe = ql.Recipe((e4m3, e4m3), (e5m2, e4m3), (e5m2, e4m3))
        self.count = ql.install(self.network, recipe, problem.constraint.high)
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.lr)

    def learn(self, experience: Labelled) -> None:
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        lr = CosineAnnealingLR(self.optimizer, steps)
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.network(x).flatten(0, -2), y.flatten())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            lr.step()
        self.count.report(experience)
        experience.spend(optimizer_state_bytes=state_bytes(self.optimizer))
        self.encoded = ql.deliver(self.network, self.model, self.names, "e4m3")

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(-1)
