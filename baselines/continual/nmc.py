"""Nearest mean of classes over features that are frozen after the first experience.

P. Janson, W. Zhang, R. Aljundi, M. Elhoseiny, 2022, "A Simple Baseline that Questions the Use of
Pretrained-Models in Continual Learning", https://arxiv.org/abs/2210.04428. With phi the frozen
features and n_c the samples of class c seen so far, every sample moves its class mean, and an input
gets the class whose mean is nearest:

    mu_c <- mu_c + (phi(x) - mu_c) / n_c ,   y(x) = argmin_c || phi(x) - mu_c || .

The means are exact whatever the order of the samples, and nothing is ever forgotten.

Departs from the paper:
1. No pretrained features: phi is what the scenario's network learns in the first experience, all
   but the last layer; it stays as it is from then on.
2. A class is a pair of task and label where labels come again (one mean per task and label, the
   nearest of all answers); in class-incremental streams this is the paper's. Where the scenario
   tells the task, only that task's means answer.
3. Plain SGD with a tuned step size for the first experience, as in all methods here.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Nmc:
    """Learn to see once; from then on only remember where each class lies."""

    lr: float = 0.1  # step size of SGD in the first experience
    batch_size: int = 32  # samples per step

    space = {"lr": LogUniform(0.01, 0.3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.means: dict[tuple[int, int], Tensor] = {}  # (task, label) -> mu (D,)
        self.counts: dict[tuple[int, int], int] = {}  # (task, label) -> n

    def learn(self, experience: Labelled) -> None:
        if experience.task == 0:
            self._represent(experience)
            self.model.eval()  # from now on
            parts = experience.inputs.split(500), experience.targets.split(500)
            for x, y in zip(*parts, strict=True):
                self.observe(x, y, 0)
            return
        for x, y in experience.batches(self.batch_size, epochs=1):
            self.observe(x, y, experience.task)

    def _represent(self, experience: Labelled) -> None:
        """Learn the first experience with the whole network, as a classifier."""
        optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x, experience.task), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def observe(self, x: Tensor, y: Tensor, task: int) -> None:
        """Move the means of a task's labels (B,) by inputs (B, ...)."""
        phi = self.features(x)  # (B, D)
        for label in y.unique().tolist():
            mine, key = phi[y == label], (task, label)
            self.counts[key] = self.counts.get(key, 0) + len(mine)
            mu = self.means.get(key, torch.zeros_like(phi[0]))
            self.means[key] = mu + (mine - mu).sum(0) / self.counts[key]

    def features(self, x: Tensor) -> Tensor:
        """What the last layer gets (B, D)."""
        phi: Tensor = self.model.layers[:-1](x.flatten(1))
        return phi

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        keys = [key for key in self.means if task is None or key[0] == task]
        if not keys:  # a task still to come
            return self.model(inputs, task).argmax(1)
        mu = torch.stack([self.means[key] for key in keys])  # (G, D)
        nearest = torch.cdist(self.features(inputs), mu).argmin(1)
        return torch.tensor([label for _, label in keys], device=inputs.device)[nearest]
