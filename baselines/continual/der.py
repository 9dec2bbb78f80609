"""Dark experience replay: answer replayed inputs with the logits of the time they were stored.

P. Buzzega, M. Boschini, A. Porrello, D. Abati, S. Calderara, 2020, "Dark Experience for General
Continual Learning: a Strong, Simple Baseline", https://arxiv.org/abs/2004.07211. The buffer holds
inputs x' with the logits z' they had when they were offered, in any epoch:

    L = CE(h(x), y) + alpha mean_x' || z' - h(x') ||^2 .

(Not "Dynamically Expandable Representation", https://arxiv.org/abs/2103.16788.)

Departs from the paper:
1. The squared distance is summed over the classes, as the formula has it; the authors' code takes
   the mean, so that its alpha is larger by the number of classes.
2. Logits outside the head of a stored sample's task have no part where the scenario tells the task;
   the authors' code replays them all.
3. No augmentation; plain SGD with a tuned step size and batches of 32, as in all methods here.
4. Network and budget are the scenario's; the buffer holds 200 samples in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared.distillation import squared_distance
from baselines.shared.reservoir import Reservoir
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Der:
    """Beside every new batch, keep the logits of one from the buffer."""

    lr: float = 0.1  # step size of SGD
    alpha: float = 0.1  # weight of replay; its scale belongs to the formula above
    batch_size: int = 32  # new samples per step, and as many replayed
    buffer_size: int = 200  # samples kept

    space = {"lr": LogUniform(0.01, 0.3), "alpha": LogUniform(0.01, 1.0)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        self.buffer = Reservoir(self.buffer_size, problem.rng)

    def learn(self, experience: Labelled) -> None:
        for x, y in experience.batches(self.batch_size):
            task = torch.full_like(y, experience.task)
            z = self.model(x, task)  # (B, C)
            loss = F.cross_entropy(z, y)
            if len(self.buffer):
                old_x, old_task, old_z = self.buffer.sample(self.batch_size)
                loss = loss + self.alpha * squared_distance(self.model(old_x, old_task), old_z)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.buffer.add(x, task, z)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
