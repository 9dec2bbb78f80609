"""Quantisation-aware training: learn weights that will be rounded, rounding them in every pass.

B. Jacob et al., 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", https://arxiv.org/abs/1712.05877, section 3. A layer computes
with its weights as they would be delivered; the gradient passes the rounding unchanged and moves
float32 weights behind them (straight-through; Y. Bengio, N. Leonard, A. Courville, 2013,
https://arxiv.org/abs/1308.3432).

Where no format is asked for nothing is rounded, and it is float32 training.

Departs from the paper:
1. Weights alone are rounded, since the delivered network is judged with float32 activations.
2. Scales come from the largest magnitude of what shares one; the paper has a range with a zero
   point.
3. Trained from the initial weights and without batch normalisation to fold in.
4. First and last layer stay float32, as the scenario allows.
5. Adam with a tuned step size by a cosine, as in all methods here.
6. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from baselines.shared import quantised_linear as ql
from baselines.shared import schedule, weight_formats
from baselines.shared.optimizer_state import state_bytes
from harness.contract import Labelled, Problem
from harness.formats import quantise
from harness.space import Choice, LogUniform


class RoundedLinear(nn.Module):
    """A linear layer with weights (O, I) rounded to a format on their way forward."""

    def __init__(self, linear: nn.Linear, _: ql.Count, format_name: str) -> None:
        super().__init__()
        self.weight, self.bias, self.format = linear.weight, linear.bias, format_name

    def forward(self, x: Tensor) -> Tensor:
        """x (..., I) -> (..., O)."""
        w = self.weight
        w = w + (quantise(w.detach(), self.format) - w).detach()
        return F.linear(x, w, self.bias)


@dataclass
class Qat:
    """Train with the weights that will be delivered."""

    lr: float = 0.003  # step size of Adam at the start, cosine to 0
    batch_size: int = 16  # samples per step

    space = {"lr": LogUniform(3e-4, 3e-2), "batch_size": Choice(16, 32, 64)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model, self.network = problem.model(), problem.model()
        self.format, self.names = weight_formats.wanted(self.model, problem.constraint)
        if self.names:
            layer = partial(RoundedLinear, format_name=self.format)
            ql.replace(self.network, layer, problem.constraint.high)
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
