"""Direct preference optimisation: learn from comparisons without a reward model.

R. Rafailov, A. Sharma, E. Mitchell, S. Ermon, C. D. Manning, C. Finn, 2023, "Direct Preference
Optimization: Your Language Model is Secretly a Reward Model", https://arxiv.org/abs/2305.18290:

    loss = -log sigmoid( beta [log pi/pi_0 (chosen) - log pi/pi_0 (rejected)] ) .

Departs from the paper:
1. Adam with a constant step size, tuned like beta; the paper has RMSprop with a warm-up.
2. Many passes over few comparisons, as the budget counts steps; the paper has about one.
3. The policy starts uniform instead of fine-tuned on what was chosen; network and budget are the
   scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.contract import Preferences, Problem
from harness.space import LogUniform


@dataclass
class Dpo:
    """Raise the chosen above the rejected, relative to the base policy."""

    lr: float = 1e-3  # step size of Adam
    beta: float = 0.1  # how soon a difference suffices: the implied reward per nat
    batch_size: int = 64  # comparisons per step

    space = {"lr": LogUniform(1e-4, 1e-2), "beta": LogUniform(0.01, 1.0)}
    requires = frozenset({"preferences"})

    def start(self, problem: Problem) -> None:
        self.rng = problem.rng
        self.model, self.base = problem.model(), problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr)

    def learn(self, experience: Preferences) -> None:
        for _, chosen, rejected in experience.batches(self.batch_size):  # (B, L) each
            loss = self.loss(chosen, rejected)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def loss(self, chosen: Tensor, rejected: Tensor) -> Tensor:
        """Mean over comparisons (B, L)."""
        both = torch.cat([chosen, rejected])  # (2 B, L)
        with torch.no_grad():
            log_p0 = self.base.log_probs(both).sum(1)
        better, worse = (self.model.log_probs(both).sum(1) - log_p0).chunk(2)  # (B,) each
        return -F.logsigmoid(self.beta * (better - worse)).mean()

    def predict(self, inputs: Tensor) -> Tensor:
        return self.model.sample(len(inputs), self.rng)
