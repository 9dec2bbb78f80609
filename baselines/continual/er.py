"""Experience replay with a reservoir buffer.

A. Chaudhry, M. Rohrbach, M. Elhoseiny, T. Ajanthan, P. K. Dokania, P. H. S. Torr, M. Ranzato, 2019,
"On Tiny Episodic Memories in Continual Learning", https://arxiv.org/abs/1902.10486.

Departs from the paper:
1. Several epochs per task where the paper has one; the buffer is offered each sample once, in the
   first epoch, so that it holds no sample twice.
2. All outputs are active unless the scenario tells the task; the paper's split streams have a head
   per task.
3. Plain SGD with a tuned step size and batches of 32, as in all methods here; the paper has 10.
4. Network and budget are the scenario's; the buffer holds 200 samples in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared import optimizers
from baselines.shared.reservoir import Reservoir
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Er:
    """Beside every new batch, learn one of the same size from the buffer."""

    lr: float = 0.1  # step size of SGD
    batch_size: int = 32  # new samples per step, and as many replayed
    rule: str = "sgd"  # of the steps, or "adam"
    buffer_size: int = 200  # samples kept

    space = {"lr": LogUniform(0.01, 0.3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = optimizers.by_name(self.rule, self.model.parameters(), self.lr)
        self.buffer = Reservoir(self.buffer_size, problem.rng)

    def learn(self, experience: Labelled) -> None:
        offered = 0
        for x, y in experience.batches(self.batch_size):
            new = (x, y, torch.full_like(y, experience.task))
            old = self.buffer.sample(self.batch_size)
            inputs, targets, tasks = map(torch.cat, zip(new, old, strict=True)) if old else new
            loss = F.cross_entropy(self.model(inputs, tasks), targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if offered < len(experience):  # the first epoch shows every sample once
                self.buffer.add(*new)
                offered += len(y)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
