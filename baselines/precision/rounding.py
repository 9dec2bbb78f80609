"""Round to nearest: train in float32, round the weights once at the end.

M. Nagel, M. Fournarakis, R. A. Amjad, Y. Bondarenko, M. van Baalen, T. Blankevoort, 2021, "A White
Paper on Neural Network Quantization", https://arxiv.org/abs/2106.08295, section 3, the simplest of
what it calls post-training quantisation. What any method that trains in a format must beat.

Where no format is asked for nothing is rounded, and it is float32 training.

Departs from the paper:
1. Weights alone are rounded, scaled by the largest magnitude of what shares a scale; the paper
   rounds activations too, searches their ranges and corrects biases on samples.
2. First and last layer stay float32, as the scenario allows.
3. Adam with a tuned step size by a cosine, as in all methods here; the paper takes networks as they
   come.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from baselines.shared import quantised_linear as ql
from baselines.shared import schedule, weight_formats
from baselines.shared.optimizer_state import state_bytes
from harness.contract import Labelled, Problem
from harness.space import Choice, LogUniform


@dataclass
class Rounding:
    """Plain training, then one rounding into whatever format is asked for."""

    lr: float = 0.003  # step size of Adam at the start, cosine to 0
    batch_size: int = 16  # samples per step

    space = {"lr": LogUniform(3e-4, 3e-2), "batch_size": Choice(16, 32, 64)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model, self.network = problem.model(), problem.model()
        self.format, self.names = weight_formats.wanted(self.model, problem.constraint)
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
        experience.spend(optimizer_state_bytes=state_bytes(self.optimizer))
        self.encoded = ql.deliver(self.network, self.model, self.names, self.format)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(-1)
