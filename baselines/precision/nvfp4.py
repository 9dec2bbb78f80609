"""NVFP4: blocks of four-bit values under 8-bit scales under a scale per tensor.

NVIDIA, 2025, "Pretraining Large Language Models with NVFP4", https://arxiv.org/abs/2509.25149.
Activations and gradients have blocks of 1x16 along the dimension that is summed over, weights of
16x16, so that forward and backward see the same weights. Both operands of the weight gradient go
through a random Hadamard transform with signs drawn once; gradients are rounded stochastically.
Sums, master weights and the optimiser's state are float32.

Departs from the paper:
1. Layers that stay high are the first and the last, in float32; the paper's are about a sixth of
   all linear layers, in bfloat16.
2. Adam with a tuned step size by a cosine, as in all methods here; the paper has AdamW with its own
   schedule.
3. Network and budget are the scenario's.
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
from harness.formats import hadamard, quantise, signs
from harness.space import Choice, LogUniform


@dataclass
class Nvfp4:
    """Round all operands to four bits, by the recipe that keeps training stable."""

    lr: float = 0.003  # step size of Adam at the start, cosine to 0
    batch_size: int = 16  # samples per step
    square_weights: bool = True  # blocks of 16x16 for weights, else of 1x16
    transform: bool = True  # random Hadamard transform of the weight gradient's operands
    stochastic: bool = True  # round gradients stochastically, else to nearest
    keep_high: bool = True  # first and last layer stay float32

    space = {"lr": LogUniform(3e-4, 3e-2), "batch_size": Choice(16, 32, 64)}
    requires = frozenset({"labels", "nvfp4"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model, self.network = problem.model(), problem.model()
        high = problem.constraint.high if self.keep_high else ()
        self.names = ql.matrices(self.model, high)
        self.format = "nvfp4_16x16" if self.square_weights else "nvfp4_1x16"
        self.rng = problem.rng if self.stochastic else None
        self.flips = signs(problem.rng).to(problem.device)
        self.count = ql.install(self.network, self._recipe(), high)
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.lr)

    def _recipe(self) -> ql.Recipe:
        weight, near = ql.rounded(self.format), ql.rounded("nvfp4_1x16")
        gradient = ql.rounded("nvfp4_1x16", self.rng)
        return ql.Recipe(
            forward=(near, weight),
            input_gradient=(gradient, weight),
            weight_gradient=(self._mixed_gradient, self._mixed),
        )

    def _mixed(self, x: Tensor) -> Tensor:
        """x^T (I, B), transformed along the batch and rounded to nearest."""
        return quantise(hadamard(x, self.flips) if self.transform else x, "nvfp4_1x16")

    def _mixed_gradient(self, dy: Tensor) -> Tensor:
        """dy^T (O, B), transformed along the batch and rounded as gradients are."""
        dy = hadamard(dy, self.flips) if self.transform else dy
        return quantise(dy, "nvfp4_1x16", rng=self.rng)

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
        self.encoded = ql.deliver(self.network, self.model, self.names, self.format)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(-1)
