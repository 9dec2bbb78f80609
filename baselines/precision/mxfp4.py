"""MXFP4: blocks of 32 values of four bits under a power of two.

B. D. Rouhani et al., 2023, "Microscaling Data Formats for Deep Learning",
https://arxiv.org/abs/2310.10537. Every operand of a product is rounded from its float32 values
along the dimension that is summed over, so a weight is rounded one way forward and another way
backward; sums, master weights and the optimiser's state are float32.

Departs from the paper:
1. Activations and gradients have four bits too; the paper trains with six for both.
2. Gradients are rounded stochastically, after A. Tseng et al., 2025, "Training LLMs with MXFP4",
   https://arxiv.org/abs/2502.20586, but without its Hadamard transform and without its factor 3/4
   against clipping, so they are not quite unbiased.
3. First and last layer stay float32, as the scenario allows.
4. Adam with a tuned step size by a cosine, as in all methods here.
5. Network and budget are the scenario's.
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
class Mxfp4:
    """Round all operands to four bits, in blocks of 32."""

    lr: float = 0.003  # step size of Adam at the start, cosine to 0
    batch_size: int = 16  # samples per step
    stochastic: bool = True  # round gradients stochastically, else to nearest

    space = {"lr": LogUniform(3e-4, 3e-2), "batch_size": Choice(16, 32, 64)}
    requires = frozenset({"labels", "mxfp4"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model, self.network = problem.model(), problem.model()
        self.names = ql.matrices(self.model, problem.constraint.high)
        near = ql.rounded("mxfp4_e2m1")
        gradient = ql.rounded("mxfp4_e2m1", problem.rng if self.stochastic else None)
        recipe = ql.Recipe((near, near), (gradient, near), (gradient, near))
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
        self.encoded = ql.deliver(self.network, self.model, self.names, "mxfp4_e2m1")

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(-1)
