"""bfloat16 operands everywhere, float32 master weights.

D. Kalamkar et al., 2019, "A Study of BFLOAT16 for Deep Learning Training",
https://arxiv.org/abs/1905.12322. Both operands of every product are rounded to nearest; sums,
master weights and the optimiser's state are float32.

Departs from the paper:
1. What a layer puts out is rounded where the next product takes it in, and not before.
2. Adam with a tuned step size by a cosine, as in all methods here; the paper has SGD and others.
3. Network and budget are the scenario's. First and last matrix are rounded too, though they need
   not be.
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
class Bf16:
    """Round both operands of every product to bfloat16."""

    lr: float = 0.003  # step size of Adam at the start, cosine to 0
    batch_size: int = 16  # samples per step

    space = {"lr": LogUniform(3e-4, 3e-2), "batch_size": Choice(16, 32, 64)}
    requires = frozenset({"labels", "bf16"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model, self.network = problem.model(), problem.model()
        self.names = ql.matrices(self.model, ())
        bf16 = ql.rounded("bfloat16")
        recipe = ql.Recipe((bf16, bf16), (bf16, bf16), (bf16, bf16))
        self.count = ql.install(self.network, recipe)
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
        self.encoded = ql.deliver(self.network, self.model, self.names, "bfloat16")

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(-1)
