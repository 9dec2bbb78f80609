"""View-batch learning, on top of experience replay: several views of few samples, then a rest.

H. Kang, G. Seifer, D. Lee, J. Ryu, 2025, "Do Your Best and Get Enough Rest for Continual Learning",
https://arxiv.org/abs/2503.18371. A batch of B holds B/V samples, each as V augmented views, and the
number of batches stays, so that a sample comes back V times less often. With p_j the softmax of
view j, after the first epochs,

    L = mean_j CE(z_j, y) + sum_{j>1} KL(stopgrad p_1 || p_j) / (V - 1) .

Departs from the paper:
1. Replayed samples are as many as new ones and seen in V views too; the base method is experience
   replay with a reservoir (one of several in the paper).
2. Views are made by noise and by pixels set to 0, since the streams here also shuffle pixels, so
   that crops and flips mean nothing; the paper has RandAugment. The first view is the sample.
3. Plain SGD with a tuned step size and batches of 32, as in all methods here.
4. Network and budget are the scenario's; the buffer holds 200 samples in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared import schedule
from baselines.shared.reservoir import Reservoir
from harness.contract import Labelled, Problem
from harness.space import LogUniform, Uniform


@dataclass
class ViewBatch:
    """Learn much from a sample at once, and come back to it later."""

    lr: float = 0.1  # step size of SGD
    views: int = 4  # V: of each sample in a batch
    noise: float = 0.1  # standard deviation added to each pixel of a view
    erased: float = 0.1  # share of a view's pixels that are set to 0
    warm_up: float = 0.1  # share of a task's steps without the divergence
    batch_size: int = 32  # views of new samples per step, and as many replayed
    buffer_size: int = 200  # samples kept

    space = {"lr": LogUniform(0.01, 0.3), "erased": Uniform(0.0, 0.3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        self.buffer = Reservoir(self.buffer_size, problem.rng)

    def learn(self, experience: Labelled) -> None:
        size = max(1, self.batch_size // self.views)  # different samples in a batch
        epochs = self.problem.budget.epochs
        visits = None if epochs is None else epochs / self.views  # as many batches as others have
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        offered = 0
        for step, (x, y) in enumerate(experience.batches(size, epochs=visits)):
            new = (x, y, torch.full_like(y, experience.task))
            old = self.buffer.sample(size)
            inputs, targets, tasks = map(torch.cat, zip(new, old, strict=True)) if old else new
            z = torch.stack([self.model(v, tasks) for v in self.augmented(inputs)])  # (V, B, C)
            loss = F.cross_entropy(z.flatten(0, 1), targets.repeat(len(z)))
            if step >= self.warm_up * steps:
                loss = loss + divergence(z)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if offered < len(experience):  # the first epoch shows every sample once
                self.buffer.add(*new)
                offered += len(y)

    def augmented(self, x: Tensor) -> Tensor:
        """V views (V, B, ...) of inputs (B, ...), the first of them the inputs themselves."""
        shape, rng = (self.views - 1, *x.shape), self.problem.rng
        noise = self.noise * torch.randn(shape, generator=rng).to(x)
        kept = (torch.rand(shape, generator=rng) >= self.erased).to(x)
        return torch.cat([x[None], (x + noise) * kept])

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)


def divergence(z: Tensor) -> Tensor:
    """mean_{j>1} mean_x KL(stopgrad p_1 || p_j) of logits (V, B, C); 0 for one view.

    Outputs that are -inf in all views have no part in it.
    """
    if len(z) == 1:
        return z.new_zeros(())
    log_p = z.log_softmax(2)
    log_p = log_p.masked_fill(~z.isfinite(), 0)  # of probability 0: 0 log 0 = 0
    p_1 = z[0].softmax(1).detach()  # (B, C)
    return (p_1 * (log_p[0].detach() - log_p[1:])).sum(2).mean()
