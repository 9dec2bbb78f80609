"""Online elastic weight consolidation: one quadratic penalty for all earlier tasks together.

J. Schwarz, J. Luketina, W. M. Czarnecki, A. Grabska-Barwinska, Y. W. Teh, R. Pascanu, R. Hadsell,
2018, "Progress & Compress: A scalable framework for continual learning",
https://arxiv.org/abs/1805.06370. With theta* the weights after the previous task, task k minimises

    L(theta) = CE(theta) + strength/2 sum_i F_i (theta_i - theta*_i)^2 ,

and after it F <- decay F + F_k, F_k being the diagonal Fisher information of task k.

Departs from the paper:
1. Only the penalty: no second network and no distillation from one into the other.
2. Each F_k keeps its scale, where the paper normalises it to let tasks weigh the same.
3. The expectation over labels in the Fisher information is exact and its gradients are of single
   samples (`baselines.shared.fisher`).
4. Plain SGD with a tuned step size, as in all methods here, the penalty by implicit steps
   (`baselines.shared.anchor`).
5. All outputs are active unless the scenario tells the task. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from baselines.shared import anchor, fisher, optimizers
from harness.contract import Labelled, Problem
from harness.space import LogUniform, Uniform


@dataclass
class OnlineEwc:
    """Pull each weight back to where the last task left it, by how much all tasks need it."""

    lr: float = 0.1  # step size of SGD
    strength: float = 100.0  # lambda; its scale belongs to the formula above
    decay: float = 0.9  # gamma: what is kept of the Fisher information with every task
    batch_size: int = 32  # samples per step
    rule: str = "sgd"  # of the steps, or "adam"

    space = {
        "lr": LogUniform(0.01, 0.3),
        "strength": LogUniform(1.0, 1e3),
        "decay": Uniform(0.5, 1.0),
    }
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = optimizers.by_name(self.rule, self.model.parameters(), self.lr)
        self.anchor = anchor.theta(self.model)  # theta* (P,)
        self.fisher = torch.zeros_like(self.anchor)  # F (P,)

    def learn(self, experience: Labelled) -> None:
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x, experience.task), y)
            self.optimizer.zero_grad()
            loss.backward()
            anchor.step(self.optimizer, self.model, self.anchor, self.strength * self.fisher)
        found = fisher.diagonal(self.model, experience.inputs, experience.task)
        self.fisher = self.decay * self.fisher + parameters_to_vector(found.values())
        self.anchor = anchor.theta(self.model)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
